/// Low-rank adapters (LoRA, arXiv 2106.09685) beside the linears of a block: x A B, added to the linear's output.
///
/// Tensor parallelism is that of Megatron-Bridge (peft/utils.py, ParallelLinearAdapter). Beside a column-split linear the
/// rank of A is split and its output gathered, and B is split as the linear is. Beside a row-split one A is split by
/// inputs and its partial sums are reduced; B is split by outputs, which are gathered. Input gradients are summed with
/// those of the linear and reduced with them.

#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {
namespace {

/// One adapter on one rank: [rows, in] x [in, latent], then [rows, rank] x [rank, out / t] for each part.
struct Shape {
  double rows, in, latent;
  double rank, whole;  ///< columns of A for one part, for all of them
  double t;            ///< ranks that B's outputs are split over
};

Shape shape_of(const AdapterOp& adapter, const Sharding& s) {
  const double t = s.tensor;
  const double in = static_cast<double>(adapter.in), rank = static_cast<double>(adapter.rank);
  const double whole = rank * static_cast<double>(adapter.outs.size());
  switch (adapter.split) {
    case TensorSplit::column: return {s.tokens, in, whole / t, rank, whole, t};
    case TensorSplit::row: return {s.tokens, in / t, whole, rank, whole, t};
    case TensorSplit::whole: return {s.stored_tokens(), in, whole, rank, whole, 1};
  }
  return {};
}

}  // namespace

void BlockBuilder::forward(const AdapterOp& adapter, std::string_view, Pass pass, OpList& ops) {
  const Shape shape = shape_of(adapter, s_);
  if (adapter.dropout > 0) memory(ops, "adapter_dropout", pass, (2 * e_ + 1) * shape.rows * shape.in);
  kernel(ops, "adapter_down", pass,
         Gemm{.m = shape.rows, .n = shape.latent, .k = shape.in, .precision = wide_precision(), .layout = Layout::tn});
  const double latent = e_ * shape.rows * shape.whole;
  if (adapter.split == TensorSplit::column) {
    blocking(ops, "all_gather_adapter", pass, CollectiveKind::all_gather, latent);
  } else if (adapter.split == TensorSplit::row) {
    blocking(ops, "all_reduce_adapter", pass, CollectiveKind::all_reduce, latent);
  }
  for (const std::int64_t width : adapter.outs) {
    const double out = static_cast<double>(width);
    kernel(
        ops, "adapter_up", pass,
        Gemm{
            .m = shape.rows, .n = out / shape.t, .k = shape.rank, .precision = wide_precision(), .layout = Layout::tn});
    const bool gathered = adapter.split == TensorSplit::row;
    if (gathered) {
      blocking(ops, "all_gather_adapter", pass, CollectiveKind::all_gather, e_ * shape.rows * out);
    }
    memory(ops, "adapter_add", pass, 3 * e_ * (gathered ? T_sp_ * out : shape.rows * out / shape.t));
  }
}

void BlockBuilder::backward(const AdapterOp& adapter, std::string_view, OpList& ops) {
  const Shape shape = shape_of(adapter, s_);
  const Pass input = Pass::backward_input, weight = Pass::backward_weight;
  for (const std::int64_t width : adapter.outs) {
    const double out = static_cast<double>(width);
    if (adapter.split == TensorSplit::row && s_.sequence_parallel) {
      blocking(ops, "all_gather_adapter_gradient", input, CollectiveKind::all_gather, e_ * shape.rows * out);
    }
    kernel(
        ops, "adapter_up", input,
        Gemm{
            .m = shape.rows, .n = shape.rank, .k = out / shape.t, .precision = wide_precision(), .layout = Layout::nn});
    kernel(
        ops, "adapter_up", weight,
        Gemm{
            .m = shape.rank, .n = out / shape.t, .k = shape.rows, .precision = wide_precision(), .layout = Layout::nt});
  }
  if (adapter.split != TensorSplit::whole) {
    blocking(ops, "all_reduce_adapter_gradient", input, CollectiveKind::all_reduce, e_ * shape.rows * shape.whole);
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
