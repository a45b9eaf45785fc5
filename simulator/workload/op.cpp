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
    case CollectiveKind::reduce: return "reduce";
    case CollectiveKind::scatter: return "scatter";
    case CollectiveKind::gather: return "gather";
    case CollectiveKind::send_recv: return "send_recv";
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
  // Of n = s / block rows of tiles the i-th runs those from the window's edge to the diagonal, min(i, q) + 1 with
  // q = window / block: (q + 1) (n - q / 2) of n^2.
  const double s = key_length;
  const double w = window > 0 ? std::min(window, s) : s;
  return std::min(1.0, (w + block) / s * (1 - w / (2 * s)));
}

Flops AttentionKernel::flops() const {
  // scores [s, s] = Q K^T over head_dim_qk; output = P V over head_dim_v. Backward: scores again, dP and dV over
  // head_dim_v, dQ and dK over head_dim_qk.
  const double square = 2 * sequences * heads * query_length * key_length * executed_fraction();
  return Flops(backward ? square * (3 * head_dim_qk + 2 * head_dim_v) : square * (head_dim_qk + head_dim_v));
}

Bytes AttentionKernel::bytes() const {
  // Forward: Q, K, V in, O and one fp32 log-sum-exp a row out. Backward: Q, K, V, O, dO and two numbers a row in,
  // dQ, dK, dV out.
  const double queries = sequences * heads * query_length;
  const double keys = sequences * kv_heads * key_length;
  const double tensors = queries * (head_dim_qk + head_dim_v) + keys * (head_dim_qk + head_dim_v);
  const double extra = backward ? tensors + queries * head_dim_v : 0;
  return Bytes(element_bytes(precision) * (tensors + extra) + 4 * queries * (backward ? 2 : 1));
}

}  // namespace stepcast
