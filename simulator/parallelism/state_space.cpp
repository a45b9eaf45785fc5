/// State-space layers on one rank: the kernels of state-spaces/mamba `ssd_combined.py` (Mamba-2, arXiv 2405.21060,
/// section 6), which run a sequence in chunks of Q tokens. Heads and groups are split over the tensor group.
///
/// H heads of P channels, G groups, N states a channel; I = H P. A rank keeps a state [I, N] a chunk: S = I N / Q elements
/// a token, in fp32. All kernels are bound by HBM: their products have 20 to 60 FLOPs a byte, less than any GPU with
/// tensor cores needs (V100: 140), so that they are counted by what they read and write. Tensors that heads share are
/// counted once, since the L2 holds them. Left out: how far the kernels stay below the bandwidth of
/// plain ones; a single scan on an A100 takes some three times as long in the paper's figure 10.

#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {
namespace {

/// Elements a token on one rank.
struct Widths {
  double inner, shared, heads, states, scores;  ///< I, G N, H, S, G Q
};

Widths widths_of(const StateSpace& ssm, double t) {
  const double inner = static_cast<double>(ssm.inner()) / t;
  const double groups = static_cast<double>(ssm.groups) / t;
  const double state = static_cast<double>(ssm.state), chunk = static_cast<double>(ssm.chunk);
  return {inner, groups * state, static_cast<double>(ssm.heads) / t, inner * state / chunk, groups * chunk};
}

constexpr double fp32 = 4;

/// Mamba's scan is one kernel that keeps its states on chip (selective_scan_fwd_kernel.cuh): x, dt and the gate in, y out;
/// backward once more, with y, its gradient, and the gradients of the three. Left out: its exponentials, one a state.
constexpr double selective_forward = 4, selective_backward = 8;

/// dt and its sums, the state of each chunk, states passed from chunk to chunk, and C B^T within chunks.
double chunk_bytes(const Widths& w, double e) {
  const double sums = (e + 2 * fp32) * w.heads;
  const double states = e * (w.inner + w.shared) + fp32 * w.states;
  const double passed = (fp32 + e) * w.states;
  const double products = 2 * e * w.shared + fp32 * w.scores;
  return sums + states + passed + products;
}
constexpr double chunk_kernels = 4;

}  // namespace

void BlockBuilder::forward(const ConvolutionOp& convolution, std::string_view name, Pass pass, OpList& ops) {
  memory(ops, name, pass, 2 * e_ * T_ * static_cast<double>(convolution.width) / t_);
}

void BlockBuilder::backward(const ConvolutionOp& convolution, std::string_view name, OpList& ops) {
  // Its output is computed again before the scan's backward pass; then input and gradient in, gradient out.
  memory(ops, name, Pass::backward_input, 5 * e_ * T_ * static_cast<double>(convolution.width) / t_, 2);
}

void BlockBuilder::forward(const StateSpaceOp& scan, std::string_view name, Pass pass, OpList& ops) {
  const Widths w = widths_of(scan.shape, t_);
  if (scan.shape.selective()) return memory(ops, name, pass, selective_forward * e_ * T_ * w.inner);
  memory(ops, "state_space_chunks", pass, T_ * chunk_bytes(w, e_), chunk_kernels);
  // Products, x, C and states in; y out. The norm behind it reads the gate as well.
  const double output = fp32 * w.scores + e_ * (2 * w.inner + w.shared + w.states) + e_ * w.inner;
  memory(ops, name, pass, T_ * output);
}

void BlockBuilder::backward(const StateSpaceOp& scan, std::string_view name, OpList& ops) {
  const Widths w = widths_of(scan.shape, t_);
  const Pass pass = Pass::backward_input;
  if (scan.shape.selective()) return memory(ops, name, pass, selective_backward * e_ * T_ * w.inner);
  memory(ops, "state_space_chunks", pass, T_ * chunk_bytes(w, e_), chunk_kernels);  // again, as nothing of it was kept
  // Gradients of: states (dy in), passed states (states and gradient in), x (x, dy and states' in), B (x and states' in),
  // C (dy and states in), products (x and dy in), and of B and C once more through the products.
  const double of_inner = e_ * (1 + 3 + 1 + 1 + 2) + e_;
  const double of_states = fp32 * (1 + 3 + 1 + 1 + 1);
  const double of_shared = e_ * (1 + 1 + 1 + 1 + 2 + 2);
  const double of_scores = fp32 * (1 + 1 + 2);
  memory(ops, name, pass,
         T_ * (of_inner * w.inner + of_states * w.states + of_shared * w.shared + of_scores * w.scores), 8);
}

}  // namespace stepcast
