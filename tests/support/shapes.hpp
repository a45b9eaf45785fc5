#pragma once
/// Matrix products of a transformer layer, for tests and benchmarks of kernels.

#include <vector>

#include "simulator/workload/op.hpp"

namespace stepcast::fixtures {

/// The four linear layers of Llama 3 70B on tensor-parallel 8 (fused QKV and gate), 4,096 tokens: forward, input
/// gradient, weight gradient.
inline std::vector<Gemm> layer_shapes(Precision precision) {
  std::vector<Gemm> shapes;
  const double tokens = 4096;
  for (const auto& [in, out] : {std::pair(8192.0, 1280.0), {1024.0, 8192.0}, {8192.0, 7168.0}, {3584.0, 8192.0}}) {
    shapes.push_back({.m = tokens, .n = out, .k = in, .precision = precision});
    shapes.push_back({.m = tokens, .n = in, .k = out, .precision = precision, .layout = Layout::nn});
    shapes.push_back(
        {.m = in, .n = out, .k = tokens, .precision = precision, .layout = Layout::nt, .accumulate_fp32 = true});
  }
  return shapes;
}

}  // namespace stepcast::fixtures
