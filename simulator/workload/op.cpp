#include "simulator/workload/op.hpp"

#include <algorithm>

namespace stepcast {

std::string_view name_of(Pass pass) {
  switch (pass) {
    case Pass::forward: return "forward";
    case Pass::recompute: return "recompute";
    case Pass::backward_input: return "backward_input";
    case Pass::backward_weight: return "backward_weight";
    case Pass::step: return "step";
  }
  return "";
}

std::string_view name_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_reduce: return "all_reduce";
    case CollectiveKind::all_gather: return "all_gather";
    case CollectiveKind::reduce_scatter: return "reduce_scatter";
    case CollectiveKind::all_to_all: return "all_to_all";
    case CollectiveKind::broadcast: return "broadcast";
  }
  return "";
}

Bytes Gemm::output_bytes() const {
  const double written = precision == Precision::fp8 ? 2 : element_bytes(precision);  // fp8 products come out in bf16
  return Bytes(batch * m * n * (accumulate_fp32 ? 8 : written));                      // fp32 += : read 4, write 4
}

double AttentionKernel::executed_fraction() const {
  if (!skips_masked || !causal) return 1;
  constexpr double block = 128;  // query rows of one tile; FlashAttention-2 uses 64 or 128
  const double s = key_length;
  const double half = std::min(1.0, (s + block) / (2 * s));
  if (window <= 0 || window >= s) return half;
  return std::min(half, window / s * (1 - window / (2 * s)) + block / (2 * s));
}

Flops AttentionKernel::flops() const {
  // scores [s, s] = Q K^T over head_dim_qk; output = P V over head_dim_v. Backward: scores again, dP and dV over
  // head_dim_v, dQ and dK over head_dim_qk.
  const double square = 2 * sequences * heads * query_length * key_length * executed_fraction();
  return Flops(backward ? square * (3 * head_dim_qk + 2 * head_dim_v) : square * (head_dim_qk + head_dim_v));
}

}  // namespace stepcast
