#pragma once
/// From measurements to the numbers of a profile, with the error on measurements that were never fitted.
///
/// Each kind of measurement has a file of its own: gemm.cpp, attention.cpp, memory_bound.cpp, collective.cpp. All predict
/// by the simulator's own functions (gemm_time, attention_time, ...), at burst speed (`sustained` = 1).

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "calibration/fit/statistics.hpp"
#include "calibration/measurement.hpp"
#include "simulator/cluster/cluster.hpp"
#include "simulator/profiles/gpu.hpp"

namespace stepcast {

struct FitOptions {
  std::string held_out_source;   ///< a library (or its beginning) that is not fitted at all; empty: none
  std::string reference_source;  ///< whose clock the fitted speeds have; empty: the middle of all sources
  std::string relative_gpu;      ///< another GPU whose measurements count, but for their speed: layouts, shapes
  std::uint64_t seed = 1;
  std::function<void(const std::string&)> note;  ///< progress; may be empty
};

/// One number of a profile: "gemm.bf16.peak_fraction", its value as written there, and what it was fitted to.
struct FittedNumber {
  std::string path;
  std::string value;
  std::string source;
};

struct FittedSurface {
  std::string path;  ///< "gemm.bf16.residual"
  ResidualSurface surface;
};

/// Error on what was held out, for one operator and class of size.
struct HoldOutRow {
  std::string what;        ///< "gemm bf16"
  std::string held_out;    ///< "families", "source vidur"
  std::string size_class;  ///< "10-100 GFLOP"
  ErrorSummary formula;
  std::optional<ErrorSummary> with_surface;
};

/// Speed of a source's times relative to the fitted ones: its clock, its inputs, its way of timing.
struct SourceRatio {
  std::string what;
  std::string source;
  std::size_t n = 0;
  double time_ratio = 1;  ///< its times over the model's
  bool held_out = false;
};

struct PlotPoint {
  std::string what;
  double measured_us = 0, fitted_us = 0;
  bool held_out = false;
};

/// Of one kind, or of all together.
struct Fit {
  std::vector<FittedNumber> numbers;
  std::vector<FittedSurface> surfaces;
  std::vector<HoldOutRow> rows;
  std::vector<SourceRatio> ratios;
  std::vector<PlotPoint> points;
  std::vector<std::string> notes;

  void add(Fit other);
};

/// Fits every kind of which there are measurements. Launches, copies, overlaps and clocks are not fitted, which the
/// notes say.
/// @throws UserError for too few measurements, contradicting ones, ones of another GPU
Fit fit_gpu(const std::vector<Measurement>& measurements, const Gpu& base, const FitOptions& options);

/// The links inside a node, or those between nodes.
enum class Tier : std::uint8_t { node, network };

/// Fits one tier of links to collectives inside a node, or over several, with the other tier as it is in `base`.
/// @throws UserError for too few of them
Fit fit_links(const std::vector<Measurement>& measurements, const Cluster& base, Tier which, const FitOptions& options);

/// The same part while nothing has heated it up: measurements of single kernels are that.
Gpu at_burst_speed(Gpu gpu);

// One kind each, on a GPU at burst speed; `gpu` already holds what was fitted before it and takes what is fitted here.
Fit fit_gemm(const std::vector<const Measurement*>& measurements, Gpu& gpu, Precision precision,
             const FitOptions& options);
Fit fit_attention(const std::vector<const Measurement*>& measurements, Gpu& gpu, const FitOptions& options);
Fit fit_memory_bound(const std::vector<const Measurement*>& measurements, Gpu& gpu, const FitOptions& options);

// --- what the kinds share ------------------------------------------------------------------------------------------

/// Half of the families, the same half on every machine. A family is what the hold-out keeps together.
bool is_held_out(std::uint64_t family_a, std::uint64_t family_b, std::uint64_t seed, double share = 0.5);

/// Whether a library is the one that was named, or begins with it: "trtllm" names "trtllm-1.0.0".
bool names_source(const std::string& named, const std::string& library);

/// A number to four significant digits, as the profile will have it.
double rounded(double value, int digits = 4);

}  // namespace stepcast
