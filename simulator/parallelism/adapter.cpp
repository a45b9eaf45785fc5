/// Low-rank adapters (LoRA, arXiv 2106.09685) beside the linears of a block: x A B, added to the linear's output.
///
/// Tensor parallelism as in Megatron-Bridge `peft/utils.py`, ParallelLinearAdapter: beside a column-split linear the rank
/// of A is split and its output gathered, and B is split as the linear is; beside a row-split one A is split by inputs,
/// its partial sums are reduced, and B is whole. Left out: Megatron-Bridge's own reduction of the adapter's input
/// gradient, which is summed with the linear's here.

#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {
namespace {

/// One adapter on one rank: [rows, in] x [in, latent], then [outer, whole latent] x [rank, out] for each part.
struct Shape {
  double rows, in, latent;  ///< of A
  double outer;             ///< rows of B's product
  double rank, whole;       ///< columns of A for one part, for all of them
  double out_share;         ///< of B's columns
};

Shape shape_of(const AdapterOp& adapter, const Sharding& s) {
  const double t = s.tensor;
  const double in = static_cast<double>(adapter.in), rank = static_cast<double>(adapter.rank);
  const double whole = rank * static_cast<double>(adapter.outs.size());
  switch (adapter.split) {
    case TensorSplit::column: return {s.tokens, in, whole / t, s.tokens, rank, whole, 1 / t};
    case TensorSplit::row: return {s.tokens, in / t, whole, s.stored_tokens(), rank, whole, 1};
    case TensorSplit::whole: return {s.stored_tokens(), in, whole, s.stored_tokens(), rank, whole, 1};
  }
  return {};
}

}  // namespace

void BlockBuilder::forward(const AdapterOp& adapter, std::string_view, Pass pass, OpList& ops) {
  const Shape shape = shape_of(adapter, s_);
  if (adapter.dropout > 0) memory(ops, "adapter_dropout", pass, (2 * e_ + 1) * shape.rows * shape.in);
  kernel(ops, "adapter_down", pass,
         Gemm{.m = shape.rows, .n = shape.latent, .k = shape.in, .precision = wide_precision(), .layout = Layout::tn});
  if (adapter.split == TensorSplit::column) {
    blocking(ops, "all_gather_adapter", pass, CollectiveKind::all_gather, e_ * shape.rows * shape.whole, false);
  } else if (adapter.split == TensorSplit::row) {
    blocking(ops, s_.sequence_parallel ? "reduce_scatter_adapter" : "all_reduce_adapter", pass,
             s_.sequence_parallel ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce,
             e_ * shape.rows * shape.whole, false);
  }
  for (const std::int64_t width : adapter.outs) {
    const double out = static_cast<double>(width) * shape.out_share;
    kernel(ops, "adapter_up", pass,
           Gemm{.m = shape.outer, .n = out, .k = shape.rank, .precision = wide_precision(), .layout = Layout::tn});
    memory(ops, "adapter_add", pass, 3 * e_ * shape.outer * out);
  }
}

void BlockBuilder::backward(const AdapterOp& adapter, std::string_view, OpList& ops) {
  const Shape shape = shape_of(adapter, s_);
  const Pass input = Pass::backward_input, weight = Pass::backward_weight;
  for (const std::int64_t width : adapter.outs) {
    const double out = static_cast<double>(width) * shape.out_share;
    kernel(ops, "adapter_up", input,
           Gemm{.m = shape.outer, .n = shape.rank, .k = out, .precision = wide_precision(), .layout = Layout::nn});
    kernel(ops, "adapter_up", weight,
           Gemm{.m = shape.rank, .n = out, .k = shape.outer, .precision = wide_precision(), .layout = Layout::nt});
  }
  if (adapter.split == TensorSplit::column) {
    blocking(ops, "reduce_scatter_adapter_gradient", input, CollectiveKind::reduce_scatter,
             e_ * shape.rows * shape.whole, false);
  } else if (adapter.split == TensorSplit::row && s_.sequence_parallel) {
    blocking(ops, "all_gather_adapter_gradient", input, CollectiveKind::all_gather, e_ * shape.rows * shape.whole,
             false);
  }
  kernel(ops, "adapter_down", weight,
         Gemm{.m = shape.in, .n = shape.latent, .k = shape.rows, .precision = wide_precision(), .layout = Layout::nt});
  if (!passes_gradient_) return;
  kernel(ops, "adapter_down", input,
         Gemm{.m = shape.rows, .n = shape.in, .k = shape.latent, .precision = wide_precision(), .layout = Layout::nn});
  if (adapter.dropout > 0) memory(ops, "adapter_dropout", input, (2 * e_ + 1) * shape.rows * shape.in);
  memory(ops, "gradient_sum", input, 3 * e_ * shape.rows * shape.in);  // with that of the linear beside it
}

}  // namespace stepcast
