/// Tensor parallelism on a grid of ranks (Colossal-AI): activations and weights are both cut in blocks, so that no rank holds
/// a whole row or column, for more and smaller transfers. y = x W, x: [T, k], W: [k, n], elements of e bytes.
///
/// 2D (SUMMA; Xu et al. 2021, arXiv 2104.05343), q x q ranks: q steps, in each a block of x along the row, a block of W along
/// the column, their product. Backward the same twice, a broadcast and a reduction each: dx = dy W^T, dW = x^T dy.
/// Transfers of a rank, forward and backward: 3 e (T k + k n) / q, as pipelined broadcasts (Colossal-AI's table counts q - 1
/// sends for each, 6 (q-1)/q of a square matrix).
///
/// 2.5D (Wang et al. 2021, arXiv 2105.14500), d layers of q x q: each layer has T / d of the tokens and the whole of W, whose
/// gradients are summed over the layers once a step: 3 e (T k / d + k n) / q.
///
/// 3D (Bian et al. 2021, arXiv 2105.14450), q x q x q: x gathered along one axis, W along another, y scattered along the third;
/// backward dy gathered, dx and dW scattered: 6 (q-1)/q^3 of a square matrix.
///
/// Embedding and head stay one-dimensional, and attention splits by heads and sequences, whatever the grid.

#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {

/// Shapes of one local product and of the tensors that it needs.
struct BlockBuilder::GridProduct {
  double m, k, n;  ///< of a step's product
  int steps;       ///< q, or one on a cube
  double x, w, y;  ///< bytes of a block of each, as a step moves it
};

BlockBuilder::GridProduct BlockBuilder::grid_product(const LinearOp& linear) const {
  const double q = s_.grid_side, d = s_.grid_depth;
  const double m = T_ / (q * d), k = static_cast<double>(linear.in) / q, n = static_cast<double>(linear.out) / q;
  return {m, k, n, s_.tensor_grid == "3d" ? 1 : static_cast<int>(q), e_ * m * k, e_ * k * n, e_ * m * n};
}

/// One of a product's transfers along an axis of the grid.
void BlockBuilder::grid_transfer(OpList& ops, std::string_view name, Pass pass, GroupKind axis, double bytes) {
  const bool cube = s_.tensor_grid == "3d";
  const bool gathers = name.starts_with("spread");
  const auto kind = gathers ? (cube ? CollectiveKind::all_gather : CollectiveKind::broadcast)
                            : (cube ? CollectiveKind::reduce_scatter : CollectiveKind::reduce);
  const int producer = static_cast<int>(ops.size()) - 1;
  ops.push_back({.name = name,
                 .pass = pass,
                 .work = Collective{kind, axis, Bytes(bytes)},
                 .lane = Lane::comm,
                 .after = producer >= 0 && ops.back().lane == Lane::compute ? producer : -1});
}

void BlockBuilder::grid_forward(const LinearOp& linear, std::string_view name, Pass pass, OpList& ops) {
  const GridProduct g = grid_product(linear);
  const bool cube = s_.tensor_grid == "3d";
  // Blocks of the next step are on their way while this one's are multiplied.
  std::vector<int> arrived;
  for (int step = 0; step < g.steps; ++step) {
    grid_transfer(ops, "spread_input", pass, GroupKind::tensor_row, g.x);
    grid_transfer(ops, "spread_weight", pass, GroupKind::tensor_column, g.w);
    arrived.push_back(static_cast<int>(ops.size()) - 1);
  }
  for (int step = 0; step < g.steps; ++step) {
    await(arrived[static_cast<std::size_t>(step)]);
    kernel(ops, name, pass, Gemm{.m = g.m, .n = g.n, .k = g.k, .precision = linear_precision(), .layout = Layout::tn});
  }
  if (!cube) return;
  grid_transfer(ops, "sum_output", pass, GroupKind::tensor_depth, g.y);
  await(static_cast<int>(ops.size()) - 1);
}

void BlockBuilder::grid_backward(const LinearOp& linear, std::string_view name, OpList& ops) {
  const GridProduct g = grid_product(linear);
  const bool cube = s_.tensor_grid == "3d";
  const Gemm input{.m = g.m, .n = g.k, .k = g.n, .precision = linear_precision(), .layout = Layout::nn};
  if (cube) {
    grid_transfer(ops, "spread_output_gradient", Pass::backward_input, GroupKind::tensor_depth, g.y);
    await(static_cast<int>(ops.size()) - 1);
    kernel(ops, name, Pass::backward_input, input);
    grid_transfer(ops, "sum_input_gradient", Pass::backward_input, GroupKind::tensor_row, g.x);
    const int summed = static_cast<int>(ops.size()) - 1;
    weight_gradient(ops, name, g.k, g.n, g.m, linear_precision());
    grid_transfer(ops, "sum_weight_gradient", Pass::backward_weight, GroupKind::tensor_column, g.w);
    await(summed);
    return;
  }
  for (int step = 0; step < g.steps; ++step) {
    grid_transfer(ops, "spread_weight", Pass::backward_input, GroupKind::tensor_column, g.w);
    await(static_cast<int>(ops.size()) - 1);
    kernel(ops, name, Pass::backward_input, input);
    grid_transfer(ops, "sum_input_gradient", Pass::backward_input, GroupKind::tensor_row, g.x);
  }
  const int summed = static_cast<int>(ops.size()) - 1;
  for (int step = 0; step < g.steps; ++step) {
    grid_transfer(ops, "spread_input", Pass::backward_weight, GroupKind::tensor_row, g.x);
    await(static_cast<int>(ops.size()) - 1);
    weight_gradient(ops, name, g.k, g.n, g.m, linear_precision());
    grid_transfer(ops, "sum_weight_gradient", Pass::backward_weight, GroupKind::tensor_column, g.w);
  }
  if (s_.grid_depth > 1) {  // once a step: spread over its microbatches
    ops.push_back({.name = "sum_over_layers",
                   .pass = Pass::backward_weight,
                   .work = Collective{CollectiveKind::all_reduce, GroupKind::tensor_depth,
                                      Bytes(g.w * g.steps / s_.grid_side / s_.microbatches)},
                   .lane = Lane::comm,
                   .after = static_cast<int>(ops.size()) - 1});
  }
  await(summed);
}

/// Mean and variance of a token lie on the ranks of a row: two numbers a token.
void BlockBuilder::grid_statistics(Pass pass, OpList& ops) {
  const double tokens = T_ / (s_.grid_side * s_.grid_depth);
  const int producer = static_cast<int>(ops.size()) - 1;
  ops.push_back({.name = "sum_norm_statistics",
                 .pass = pass,
                 .work = Collective{CollectiveKind::all_reduce, GroupKind::tensor_row, Bytes(8 * tokens)},
                 .lane = Lane::comm,
                 .after = producer});
  await(static_cast<int>(ops.size()) - 1);
}

}  // namespace stepcast
