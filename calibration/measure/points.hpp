#pragma once
/// What is measured by default. Plain lists: no GPU is needed to read them.

#include <cstdint>
#include <string>
#include <vector>

#include "calibration/measurement.hpp"

namespace stepcast::measure {

/// What the lists depend on.
struct Scope {
  bool quick = false;  ///< a few points of each kind
  bool fp8 = true;     ///< compute capability 8.9 and newer
  int sms = 132;
  int gpus = 1;   ///< that this process drives
  int ranks = 1;  ///< GPUs of the whole job
  int nodes = 1;
};

using Points = std::vector<MeasuredPoint>;

/// Products of real layers: weights of 7B to 175B models on one tensor-parallel rank, forward, input gradient and
/// weight gradient; the batched products of unfused attention; shapes that fit no tile; small ones.
Points gemm_points(const Scope& scope);
Points attention_points(const Scope& scope);
Points memory_points(const Scope& scope);
Points launch_points(const Scope& scope);
Points copy_points(const Scope& scope);
Points collective_points(const Scope& scope);
Points overlap_points(const Scope& scope);
/// One point for each second of each load.
Points clock_points(const Scope& scope);

/// Bytes that one row of `width` elements, or one element (width 1) of what has no rows, reads and writes.
std::int64_t row_bytes(const std::string& memory_op, std::int64_t width);

}  // namespace stepcast::measure
