#pragma once
/// One run of the microbenchmarks: the device, the file that grows, what has been left out and why.

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calibration/measure/failures.hpp"
#include "calibration/measure/nvml.hpp"
#include "calibration/measure/points.hpp"
#include "calibration/measurement.hpp"

namespace stepcast::measure {

/// The GPU that is measured.
struct Device {
  std::string name;
  std::string pci_bus_id;
  int sms = 0;
  int compute_capability = 0;  ///< 90 for 9.0
  std::size_t l2_bytes = 0;
  std::size_t memory_bytes = 0;
  std::string cuda;  ///< version of the runtime: "13.0"
};

/// Of several executions, microseconds for one.
struct Timing {
  int repeats = 0;
  double median_us = 0, min_us = 0, p90_us = 0;
  Reading sensors;  ///< meanwhile
};

struct Outcome {
  Timing timing;
  std::optional<bool> verified;
};

/// Processes of one job, as a launcher (mpirun, srun) has started them, one a GPU.
struct Job {
  int rank = 0, ranks = 1;
  int local_rank = 0;
  int nodes = 1;
  std::string id_file;  ///< shared by the nodes: NCCL's unique id passes through it
  bool distributed() const { return ranks > 1; }
};

/// Thrown between two points.
struct Stopped {
  std::string why;
};

class Session {
 public:
  struct Options {
    std::string out;
    double seconds = 300;  ///< after these, no further point begins
    bool quick = false;
  };

  /// @param stop_requested  asked before each point
  Session(Options options, Device device, Job job, std::function<bool()> stop_requested);

  const Device& device() const { return device_; }
  const Sensors& sensors() const { return sensors_; }
  const Job& job() const { return job_; }
  const Options& options() const { return options_; }

  /// Measures a point unless the file has it. `work` may complete the point (bandwidths, times alone).
  /// An Unsupported or WrongResult that it throws is noted, and the run goes on.
  /// @param library  what does the work: "cuBLASLt 13.1.0"; empty: our own kernels
  /// @throws Stopped when the user interrupts or the time is up
  using Work = std::function<Outcome(MeasuredPoint& point)>;
  void measure(const std::string& library, const MeasuredPoint& point, const Work& work);

  // For what yields several points at once:
  bool has(const std::string& library, const MeasuredPoint& point) const;
  void record(const std::string& library, const MeasuredPoint& point, const Outcome& outcome);
  void reject(const MeasuredPoint& point, const std::string& why);
  void begin(const MeasuredPoint& point);  ///< shows it as the one at work
  void check_stop() const;
  void skip_existing() { ++skipped_; }

  /// Something that cannot be measured here.
  void leave_out(const std::string& what, const std::string& why);
  /// A line on standard error, above the progress.
  void note(const std::string& text);

  /// What was done and what was not, for standard error.
  std::string summary() const;
  int wrong_results() const { return static_cast<int>(wrong_.size()); }

 private:
  Measurement header(const std::string& library, const MeasuredPoint& point) const;

  Options options_;
  Device device_;
  Job job_;
  Sensors sensors_;
  std::optional<MeasurementLog> log_;  ///< on rank 0
  std::function<bool()> stop_requested_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int measured_ = 0, skipped_ = 0;
  std::map<std::string, std::vector<std::string>> left_out_;  ///< by reason
  std::vector<std::string> wrong_;
};

/// "gemm m=4096 n=8192 ...": what is measured, without where.
std::string describe(const MeasuredPoint& point);

// The benchmarks, one file each. All expect their device to be current.
void measure_gemm(Session& session, const Points& points);
void measure_attention(Session& session, const Points& points);
void measure_memory(Session& session, const Points& points);
void measure_launch(Session& session, const Points& points);
void measure_copies(Session& session, const Points& points);
void measure_collectives(Session& session, const Points& points);
void measure_overlap(Session& session, const Points& points);
void measure_clocks(Session& session, const Points& points);

}  // namespace stepcast::measure
