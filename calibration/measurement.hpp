#pragma once
/// One measured time, and the file of them that `calibrate measure` writes and `calibrate fit` reads.
///
/// A file holds one JSON object a line (JSONL), each whole in itself, so that files can be cut and concatenated:
///
///   {"schema":1,"kind":"gemm","gpu":"h100-80gb-sxm","device":"NVIDIA H100 80GB HBM3",...,"time_us":1512.3,
///    "m":8192,"n":8192,"k":8192,"batch":1,"layout":"tn","precision":"bf16","accumulate_fp32":false}
///
/// The names of the members below are the keys of the file. What was not recorded is left out of the line or null.
/// Reading is strict: an unknown or repeated key, a missing one, NaN, a negative time are errors with file and line.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "simulator/base/error.hpp"

namespace stepcast {

/// `batch` independent products [m, k] x [k, n], as in simulator/workload/op.hpp: the tokens are m in the forward pass
/// and the input gradient, and k in the weight gradient.
struct GemmPoint {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;
  std::string layout = "tn";       ///< tn (forward), nn (input gradient), nt (weight gradient)
  std::string precision = "bf16";  ///< of the operands: bf16, fp16, tf32, fp32, fp8
  bool accumulate_fp32 = false;    ///< adds into an fp32 output; otherwise the output is overwritten, in bf16 for fp8

  bool operator==(const GemmPoint&) const = default;
};

/// Fused attention of `batch` sequences.
struct AttentionPoint {
  std::int64_t batch = 1;
  std::int64_t heads = 0, kv_heads = 0;
  std::int64_t query_length = 0, key_length = 0;
  std::int64_t head_dim = 0;
  bool causal = true;
  bool backward = false;
  std::string precision = "bf16";
  std::string kernel = "cudnn";  ///< cudnn, flash2, flash3, ...

  bool operator==(const AttentionPoint&) const = default;
};

/// A kernel bound by memory traffic.
struct MemoryPoint {
  std::string op = "copy";            ///< copy, read, write, layernorm, ...: memory_ops()
  std::int64_t bytes = 0;             ///< that the kernel has to read and write, each tensor counted once a touch
  std::optional<std::int64_t> width;  ///< elements of a row, for what works on rows
  std::optional<bool> warm = {};      ///< executed again on the same buffers, which the L2 holds if they fit

  bool operator==(const MemoryPoint&) const = default;
};

/// One kernel launch; time_us is the time of one. Of a graph: its time over the hundred kernels in it.
struct LaunchPoint {
  std::string mode = "stream";  ///< stream, graph
  /// call: the host's side of a launch. empty: empty kernels back to back. gap: idle time between dependent kernels.
  std::string quantity = "call";

  bool operator==(const LaunchPoint&) const = default;
};

/// One copy by the copy engines, or between GPUs; host memory is pinned.
struct CopyPoint {
  std::string from = "host";  ///< host, device
  std::string to = "device";  ///< host, device, peer
  std::int64_t bytes = 0;     ///< moved; on one device each is read and written

  bool operator==(const CopyPoint&) const = default;
};

/// One NCCL operation as nccl-tests counts it.
struct CollectivePoint {
  std::string op = "all_reduce";  ///< all_reduce, all_gather, reduce_scatter, ...: collective_ops()
  std::int64_t bytes = 0;  ///< nccl-tests' size: of the whole tensor (all_gather: gathered), of a message (send_recv)
  std::int64_t ranks = 0;
  std::int64_t nodes = 1;
  bool in_place = false;
  std::string precision = "fp32";  ///< of the elements: also fp64, int8, uint8, int32, uint32, int64, uint64
  double algbw = 0;                ///< GB/s: bytes over time
  double busbw = 0;                ///< GB/s: algbw times the operation's factor (nccl-tests doc/PERFORMANCE.md)

  bool operator==(const CollectivePoint&) const = default;
};

/// A GEMM while something else runs on the same GPU; time_us is the GEMM's time beside it.
struct OverlapPoint {
  std::int64_t m = 0, n = 0, k = 0;
  std::string precision = "bf16";
  std::string other = "copy";    ///< copy, read, write (HBM traffic of a kernel limited to other_sms) or a collective
  std::int64_t other_bytes = 0;  ///< traffic of one such kernel; of a collective as in CollectivePoint
  std::int64_t other_sms = 0;    ///< SMs it occupies; 0: not known (NCCL chooses)
  std::int64_t ranks = 1;
  double alone_us = 0;        ///< the GEMM's time alone
  double other_alone_us = 0;  ///< the other's time alone
  double other_us = 0;        ///< the other's time beside the GEMM

  bool operator==(const OverlapPoint&) const = default;
};

/// One window of a sustained load: clock, power and temperature are its averages; time_us is the time of one iteration,
/// which is a product (load gemm), a copy (memory), or a product and a copy in turn (mixed).
struct ClockPoint {
  std::string load = "gemm";       ///< gemm, memory, mixed
  std::string data = "normal";     ///< normal, zeros
  std::int64_t seconds = 0;        ///< since the load began, at the window's end
  double tflops = 0;               ///< of the products over the whole window
  double gbps = 0;                 ///< GB/s of the memory kernels over the whole window
  std::string precision = "bf16";  ///< of the products

  bool operator==(const ClockPoint&) const = default;
};

using MeasuredPoint = std::variant<GemmPoint, AttentionPoint, MemoryPoint, LaunchPoint, CopyPoint, CollectivePoint,
                                   OverlapPoint, ClockPoint>;

/// What was measured, on what, and how long it took. An empty text or nullopt: not recorded.
struct Measurement {
  std::string gpu;     ///< the preset this device seems to be: "h100-80gb-sxm"; empty when none fits
  std::string device;  ///< as its driver names it: "NVIDIA H100 80GB HBM3"
  std::optional<std::int64_t> sms;
  std::string driver;   ///< "580.159.04"
  std::string cuda;     ///< "13.0"
  std::string library;  ///< what did the work: "cuBLASLt 13.1.0", "NCCL 2.28.9"; our own kernels: "stepcast"
  std::string date;     ///< UTC: "2026-11-22T09:30:00Z"
  std::string source;   ///< where it was imported from
  std::optional<std::int64_t> repeats;
  double time_us = 0;  ///< median of one execution
  std::optional<double> time_us_min, time_us_p90;
  std::optional<double> sm_clock_mhz, power_w, temperature_c;
  std::optional<bool> verified;  ///< the result was compared with a reference
  MeasuredPoint point;

  bool operator==(const Measurement&) const = default;
};

/// The preset that a GPU of this name seems to be: "NVIDIA H100 80GB HBM3" is "h100-80gb-sxm". Empty when none is.
std::string preset_of_device(std::string_view device);

/// gemm, attention, memory, launch, copy, collective, overlap, clock.
std::string_view kind_of(const MeasuredPoint& point);
const std::vector<std::string>& measurement_kinds();
const std::vector<std::string>& memory_ops();
const std::vector<std::string>& collective_ops();

/// Identifies what was measured and on what (device, library), not when or how long it took.
std::string key_of(const Measurement& measurement);

/// One line, without the newline.
std::string to_line(const Measurement& measurement);

/// @param where file and line for the error
/// @throws UserError
Measurement parse_line(std::string_view line, const Location& where);

/// All measurements of a file, in its order; empty lines are skipped.
/// @throws UserError, also when two lines have the same key
std::vector<Measurement> read_measurements(const std::string& path);

/// A file that grows line by line, so that an interrupted run can go on where it stopped.
class MeasurementLog {
 public:
  /// Reads what is there. A last line that was cut off while it was written is dropped from the file.
  /// @throws UserError as read_measurements(), and when the file cannot be written
  explicit MeasurementLog(std::string path);
  ~MeasurementLog();
  MeasurementLog(const MeasurementLog&) = delete;
  MeasurementLog& operator=(const MeasurementLog&) = delete;

  /// Whether a measurement with the same key is there.
  bool has(const Measurement& measurement) const { return lines_.count(key_of(measurement)) != 0; }
  std::size_t size() const { return lines_.size(); }

  /// Writes the line before it returns. @throws UserError for a key that is there, and when the disk refuses
  void append(const Measurement& measurement);

 private:
  void write_all(std::string_view text);

  std::string path_;
  int descriptor_ = -1;
  int last_line_ = 0;
  std::map<std::string, int> lines_;  ///< line of each key
};

}  // namespace stepcast
