/// Bytes of one block on one rank: what it keeps between its passes, and its parameters.

#include <algorithm>

#include "simulator/parallelism/block_builder.hpp"
#include "simulator/parallelism/recompute.hpp"

namespace stepcast {

/// What one operator keeps for its backward pass.
struct Kept {
  double input = 0;  ///< what the operator before it wrote
  double rest = 0;

  double total() const { return input + rest; }
};

/// Bytes that one operator keeps for its backward pass (Korthikanti et al. 2022, section 4.1, per operator).
struct SavedBytes {
  double h, e, T, T_sp, t;
  const Sharding& s;
  double scores = 0;  ///< out: of these, the attention scores, which selective recomputation drops

  /// Transformer Engine keeps the inputs of its fp8 linears quantised, 1 byte (transformer_engine/pytorch/module).
  bool quantised() const { return s.precision == Precision::fp8 && *s.framework->fp8_saves_inputs; }
  Kept operator()(const NormOp& norm) const { return {e * norm_elements(norm, h, s)}; }
  Kept operator()(const LinearOp& linear) const {
    const double input = quantised() ? 1 : e;
    const double in = static_cast<double>(linear.in);
    if (!linear.saves_input) return {};
    if (linear.split == TensorSplit::row) return {input * rows_inside(linear.rows, s) * in / t};
    return {linear.starts_region ? input * rows_stored(linear.rows, s) * in : 0};
  }
  /// Its input is gathered whole, and kept so (Megatron-Bridge peft/utils.py, return_layernorm_output_gathered).
  Kept operator()(const AdapterOp& adapter) const {
    const double rows = adapter.split == TensorSplit::whole ? T_sp : T;
    const double in = static_cast<double>(adapter.in) / (adapter.split == TensorSplit::row ? t : 1);
    const double latent = static_cast<double>(adapter.rank) * static_cast<double>(adapter.outs.size());
    return {e * rows * in, e * rows * latent + (adapter.dropout > 0 ? rows * in : 0)};
  }
  Kept operator()(const ConvolutionOp&) const { return {}; }  // run again from what the scan keeps
  Kept operator()(const StateSpaceOp& scan) const {
    const StateSpace& ssm = scan.shape;
    return {e * T * static_cast<double>(ssm.inner() + ssm.convolved() + (ssm.selective() ? 0 : ssm.heads)) / t};
  }
  Kept operator()(const RotaryOp&) const { return {}; }  // rotated in place of q and k
  Kept operator()(const CoreAttentionOp& attention) {
    const double keys = attention.crosses ? s.encoded_tokens() : T;
    const double qkv = e * (T * attention.query_width() + keys * attention.key_value_width()) / t;
    if (s.flash_attention) {
      // log-sum-exp, and the output where the projection that follows does not keep it as it is
      const double output = quantised() ? e * attention.output_width() : 0;
      return {qkv, (4 * static_cast<double>(attention.heads) + output) * T / t};
    }
    const double elements = score_elements(attention, s);
    // softmax output; with dropout its mask and its output as well (5 bytes a score, Korthikanti's "5 a s / h")
    scores = attention.dropout > 0 ? (2 * e + 1) * elements : e * elements;
    return {qkv, scores};
  }
  Kept operator()(const ActivationOp& activation) const {
    const bool gated = activation.kind == Activation::swiglu || activation.kind == Activation::geglu;
    const bool routed = activation.routing.experts > 0;
    const double rows = routed ? expert_rows(s, activation.routing) / s.expert.tensor : T / t;
    return {(gated ? 2 : 1) * e * rows * static_cast<double>(activation.width)};
  }
  // The norm's output, which shared experts multiply too; logits and scores in fp32, the choice and the map of rows.
  Kept operator()(const RouterOp& router) const {
    return {e * T_sp * h, 13 * T_sp * static_cast<double>(router.routing.experts)};
  }
  Kept operator()(const DispatchOp&) const { return {}; }
  Kept operator()(const ExpertLinearOp& linear) const {
    const double in = static_cast<double>(linear.in);
    const double element = quantised() ? 1 : e;
    return {element * expert_rows(s, linear.routing) * (linear.split == TensorSplit::row ? in / s.expert.tensor : in)};
  }
  Kept operator()(const CombineOp&) const { return {}; }  // rows are weighted before the second product
  Kept operator()(const ResidualOp& residual) const { return {0, residual.dropout > 0 ? T_sp * h : 0}; }  // mask
  Kept operator()(const EmbeddingOp& embedding) const {  // token ids, mask
    return {0, 8 * T + (embedding.dropout > 0 ? T_sp * h : 0) + (embedding.norm ? e * T_sp * h : 0)};
  }
  Kept operator()(const LmHeadOp&) const { return {e * T_sp * h}; }
  Kept operator()(const CrossEntropyOp& loss) const {
    return {0, s.framework->cross_entropy_memory * T * static_cast<double>(loss.vocab) / t};
  }
};

namespace {

/// Parameters of one rank, and those of them that every tensor-parallel rank holds whole.
struct LocalParameters {
  double h, t;
  const ExpertSharding& expert;
  double replicated = 0;
  double of_experts = 0;

  double whole(double count) { return replicated += count, count; }
  double operator()(const NormOp& norm) {
    const double values = values_per_width(norm.kind) * width_or(norm.width, h);
    return norm.vectors == 1 ? values / t : whole(values);  // heads share theirs
  }
  double operator()(const AdapterOp& adapter) {
    const double in = static_cast<double>(adapter.in), rank = static_cast<double>(adapter.rank);
    double sum = 0;
    for (std::int64_t width : adapter.outs) {
      const double out = static_cast<double>(width);
      switch (adapter.split) {
        case TensorSplit::column:
        case TensorSplit::row: sum += rank * (in + out) / t; break;
        case TensorSplit::whole: sum += whole(rank * (in + out)); break;
      }
    }
    return sum;
  }
  double operator()(const ConvolutionOp& convolution) {
    return static_cast<double>(convolution.width * (convolution.taps + 1)) / t;
  }
  double operator()(const StateSpaceOp& scan) { return static_cast<double>(scan.shape.scan_values()) / t; }
  double operator()(const LinearOp& linear) {
    const double in = static_cast<double>(linear.in), out = static_cast<double>(linear.out);
    if (linear.split == TensorSplit::whole) return whole(in * out + (linear.bias ? out : 0));
    const double bias = !linear.bias ? 0 : linear.split == TensorSplit::column ? out / t : whole(out);
    return in * out / t + bias;
  }
  double operator()(const RotaryOp&) { return 0; }
  double operator()(const CoreAttentionOp&) { return 0; }
  double operator()(const ActivationOp&) { return 0; }
  double operator()(const ResidualOp&) { return 0; }
  double operator()(const EmbeddingOp& embedding) {
    return (embedding.shared ? 0 : static_cast<double>(embedding.vocab) * h / t) +
           whole(static_cast<double>(embedding.positions) * h + static_cast<double>(embedding.values)) +
           (embedding.norm ? whole(2 * h) : 0);
  }
  double operator()(const LmHeadOp& head) {
    return static_cast<double>(head.vocab) * ((head.tied ? 0 : h) + (head.bias ? 1 : 0)) / t;
  }
  double operator()(const CrossEntropyOp&) { return 0; }
  double operator()(const RouterOp& router) {
    return whole(static_cast<double>(router.routing.experts) * (h + (router.bias ? 1 : 0)));
  }
  double operator()(const DispatchOp&) { return 0; }
  double operator()(const ExpertLinearOp& linear) {
    const double in = static_cast<double>(linear.in), out = static_cast<double>(linear.out);
    const double bias = !linear.bias ? 0 : linear.split == TensorSplit::column ? out / expert.tensor : out;
    const double count =
        static_cast<double>(linear.routing.experts) / expert.parallel * (in * out / expert.tensor + bias);
    of_experts += count;
    return count;
  }
  double operator()(const CombineOp&) { return 0; }
};

}  // namespace

/// Of an operator in its place. A linear whose weights are frozen has no use for its input; a fused attention before it
/// has, which reads its output once more.
Kept BlockBuilder::kept_by(std::size_t index, SavedBytes& saved) const {
  if (index < first_with_backward()) return {};
  const ModelOp& op = block_.ops[index];
  const bool is_linear = std::holds_alternative<LinearOp>(op.what) || std::holds_alternative<ExpertLinearOp>(op.what) ||
                         std::holds_alternative<LmHeadOp>(op.what);
  const bool after_attention = index > 0 && std::holds_alternative<CoreAttentionOp>(block_.ops[index - 1].what);
  if (op.frozen && is_linear && !(after_attention && s_.flash_attention)) return {};
  return std::visit(saved, op.what);
}

void BlockBuilder::account_memory(LocalBlock& local) const {
  SavedBytes saved{h_, e_, T_, T_sp_, t_, s_};
  LocalParameters held{h_, t_ / s_.grid_depth, s_.expert};
  double bytes = 0;
  for (std::size_t i = 0; i < block_.ops.size(); ++i) {
    const ModelOp& op = block_.ops[i];
    bytes += kept_by(i, saved).total();
    held.replicated = held.of_experts = 0;
    const double count = std::visit(held, op.what);
    local.parameters += count;
    local.expert_parameters += held.of_experts;
    if (op.frozen) continue;
    local.replicated_parameters += held.replicated;
    local.trained += {count - held.of_experts, held.of_experts};
  }
  if (first_with_backward() == block_.ops.size()) return;  // it keeps nothing
  switch (recomputed_ ? s_.recompute : Recompute::none) {
    case Recompute::none: local.saved = Bytes(bytes); break;
    case Recompute::selective:
      local.saved = Bytes(bytes - saved.scores);
      local.working = Bytes(saved.scores);
      break;
    case Recompute::selective_op: {
      // The block's input, the attention's inputs and output, and every other linear's output.
      double kept = e_ * T_sp_ * h_;
      int products = 0;
      for (const ModelOp& op : block_.ops) {
        if (const auto* linear = std::get_if<LinearOp>(&op.what)) {
          for (double n : local_outputs(*linear)) {
            if (++products % 2 != 0) kept += e_ * (linear->split == TensorSplit::column ? T_ : T_sp_) * n;
          }
        } else if (const auto* attention = std::get_if<CoreAttentionOp>(&op.what)) {
          kept += (e_ * attention->output_width() + 4 * static_cast<double>(attention->heads)) * T_ / t_;
        }
      }
      local.saved = Bytes(kept);
      local.working = Bytes(std::max(0.0, bytes - kept));
      break;
    }
    case Recompute::modules: {
      // A part that is computed again keeps its input alone; one that discards its output spares what follows it the
      // input too. What a part drops is there again while it runs backward.
      const unsigned discarding = output_discarding(s_.recompute_modules);
      double kept = 0, dropped = 0, largest = 0;
      for (std::size_t i = 0; i < block_.ops.size(); ++i) {
        const Kept op = kept_by(i, saved);
        const bool within = i > 0 && runs_again(i) && runs_again(i - 1);
        const bool discarded = i > 0 && (block_.ops[i - 1].modules & discarding) != 0;
        const double keeps = (within || discarded ? 0 : op.input) + (runs_again(i) ? 0 : op.rest);
        dropped = op.total() > keeps ? dropped + op.total() - keeps : 0;
        largest = std::max(largest, dropped);
        kept += keeps;
      }
      local.saved = Bytes(kept);
      local.working = Bytes(largest);
      break;
    }
    case Recompute::full:
      local.saved = Bytes(e_ * T_sp_ * h_);  // the block's input
      local.working = Bytes(bytes);
      break;
  }
}

}  // namespace stepcast
