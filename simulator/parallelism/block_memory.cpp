/// Bytes of one block on one rank: what it keeps between its passes, and its parameters.

#include <algorithm>
#include <optional>

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
  /// Its input; eager RMSNorm a wide copy of it and the result before scaling.
  Kept operator()(const NormOp& norm) const {
    const double copies = norm.kind == NormKind::rmsnorm ? *s.framework->norm_saved_bytes / 2 : 1;
    const double input = e * norm_elements(norm, h, s);
    return {input, input * (copies - 1)};
  }
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
    const double bytes = rows * static_cast<double>(activation.width);
    const bool narrow = gated && s.precision == Precision::fp8 && *s.framework->fp8_saves_gates;
    // A gate of its own is a tensor of its own, which its product with the other half keeps.
    return {(gated ? 2 : 1) * (narrow ? 1 : e) * bytes, gated && !*s.framework->fused_bias_activation ? e * bytes : 0};
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
    for (std::int64_t width : adapter.outs) sum += rank * (in + static_cast<double>(width));
    return adapter.split == TensorSplit::whole ? whole(sum) : sum / t;
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

/// Gradients alive while one operator runs backward, in bytes.
struct Gradients {
  double output = 0;  ///< of what it wrote: comes in
  double input = 0;   ///< of what it read: goes out
  double beside = 0;  ///< of its weight before that is added to the sum; gathered copies; work space

  double total() const { return output + input + beside; }
};

/// Shapes as in SavedBytes; sequence parallelism gathers what a region multiplies (Korthikanti et al. 2022, 4.2.2).
struct GradientBytes {
  double h, e, T, T_sp, t;
  const Sharding& s;
  bool frozen = false;  ///< the operator has no weight gradients

  bool accumulates_apart() const {
    return !frozen && !*s.framework->gradient_accumulation_fusion && (s.microbatches > 1 || s.gradient > e);
  }
  Gradients operator()(const NormOp& norm) const {
    const double bytes = e * norm_elements(norm, h, s);
    return {bytes, bytes};
  }
  Gradients operator()(const AdapterOp& adapter) const {
    const double rows = adapter.split == TensorSplit::whole ? T_sp : T;
    double out = 0;
    for (std::int64_t width : adapter.outs) out += static_cast<double>(width);
    return {e * rows * out / t,
            e * rows * static_cast<double>(adapter.in) / (adapter.split == TensorSplit::row ? t : 1)};
  }
  Gradients operator()(const ConvolutionOp& convolution) const {
    const double bytes = e * T * static_cast<double>(convolution.width) / t;
    return {bytes, bytes, bytes};  // its output, computed again
  }
  /// Of a chunk's states, as they were and their gradient, in fp32 (ssd_combined.py).
  Gradients operator()(const StateSpaceOp& scan) const {
    const StateSpace& ssm = scan.shape;
    const double inner = static_cast<double>(ssm.inner()), chunk = static_cast<double>(ssm.chunk);
    const double states = ssm.selective() ? 0 : 2 * 4 * inner * static_cast<double>(ssm.state) / chunk;
    return {e * T * inner / t, e * T * static_cast<double>(ssm.convolved()) / t, T * states / t};
  }
  Gradients operator()(const LinearOp& linear) const {
    const double in = static_cast<double>(linear.in), out = static_cast<double>(linear.out);
    const double inside = rows_inside(linear.rows, s), stored = rows_stored(linear.rows, s);
    const double weight = accumulates_apart() ? e * in * out / (linear.split == TensorSplit::whole ? 1 : t) : 0;
    const double gathered = s.sequence_parallel && linear.starts_region && !frozen ? e * inside * in : 0;
    if (linear.split == TensorSplit::column) return {e * inside * out / t, e * inside * in, weight + gathered};
    if (linear.split == TensorSplit::row) return {e * inside * out, e * inside * in / t, weight};
    return {e * stored * out, e * stored * in, weight};
  }
  Gradients operator()(const RotaryOp& rotary) const {
    const double bytes = e * T * static_cast<double>(rotary.width) / t;
    return {bytes, bytes};
  }
  Gradients operator()(const CoreAttentionOp& attention) const {
    const double output = e * T * attention.output_width() / t;
    const double keys = attention.crosses ? s.encoded_tokens() : T;
    const double inputs = e * (T * attention.query_width() + keys * attention.key_value_width()) / t;
    // Fused: dQ is summed in fp32 (Dao-AILab/flash-attention flash_api.cpp, dq_accum). Unfused: dP and dS.
    const double beside =
        s.flash_attention ? 4 * T * attention.query_width() / t : 2 * e * score_elements(attention, s);
    return {output, inputs, beside};
  }
  Gradients operator()(const ActivationOp& activation) const {
    const bool gated = activation.kind == Activation::swiglu || activation.kind == Activation::geglu;
    const bool routed = activation.routing.experts > 0;
    const double rows = routed ? expert_rows(s, activation.routing) / s.expert.tensor : T / t;
    const double bytes = e * rows * static_cast<double>(activation.width);
    return {bytes, gated && *s.framework->activation_gradient_in_place ? 0 : (gated ? 2 : 1) * bytes};
  }
  Gradients operator()(const RouterOp& router) const {
    return {0, e * T_sp * h, 8 * T_sp * static_cast<double>(router.routing.experts)};
  }
  Gradients operator()(const DispatchOp& dispatch) const {
    return {e * expert_rows(s, dispatch.routing) * h, e * T_sp * h, sent(dispatch.routing)};
  }
  Gradients operator()(const ExpertLinearOp& linear) const {
    const double rows = expert_rows(s, linear.routing), split = s.expert.tensor;
    const double in = static_cast<double>(linear.in), out = static_cast<double>(linear.out);
    const double weight = accumulates_apart() ? e * local_experts(s, linear.routing) * in * out / split : 0;
    if (linear.split == TensorSplit::row) return {e * rows * out, e * rows * in / split, weight};
    return {e * rows * out / split, e * rows * in, weight};
  }
  Gradients operator()(const CombineOp& combine) const {
    return {e * T_sp * h, e * expert_rows(s, combine.routing) * h, sent(combine.routing)};
  }
  Gradients operator()(const ResidualOp&) const { return {e * T_sp * h, e * T_sp * h}; }
  Gradients operator()(const EmbeddingOp& embedding) const {  // a dense gradient of the table, then added to the sum
    const bool apart = !frozen && (s.microbatches > 1 || s.gradient > e);
    return {e * T_sp * h, 0, (s.sequence_parallel ? e * T * h : 0) + (apart ? e * table(embedding.vocab) : 0)};
  }
  Gradients operator()(const LmHeadOp& head) const {  // that of the logits is among the bytes of the loss
    const bool apart = !frozen && (s.microbatches > 1 || s.gradient > e);
    return {0, e * T * h, (s.sequence_parallel ? e * T * h : 0) + (apart ? e * table(head.vocab) : 0)};
  }
  Gradients operator()(const CrossEntropyOp&) const { return {}; }

 private:
  double table(std::int64_t vocab) const { return static_cast<double>(vocab) * h / t; }
  /// Rows in the order of their ranks, beside those in the order of their experts.
  double sent(const Routing& routing) const { return s.expert.parallel > 1 ? e * expert_rows(s, routing) * h : 0; }
};

/// Rows and columns of an operator's weight on one rank, where Transformer Engine multiplies it.
std::optional<std::pair<double, double>> weight_of(const ModelOp& op, const Sharding& s) {
  const auto local = [](const auto& linear, double split) {
    const bool row = linear.split == TensorSplit::row, whole = linear.split == TensorSplit::whole;
    return std::pair(static_cast<double>(linear.out) / (row || whole ? 1 : split),
                     static_cast<double>(linear.in) / (row ? split : 1));
  };
  if (const auto* linear = std::get_if<LinearOp>(&op.what)) return local(*linear, s.tensor);
  if (const auto* linear = std::get_if<ExpertLinearOp>(&op.what)) return local(*linear, s.expert.tensor);
  return std::nullopt;
}

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
  Kept kept = std::visit(saved, op.what);
  // What the weight of an eager norm multiplies is for the gradient of that weight.
  if (op.frozen && std::holds_alternative<NormOp>(op.what)) kept.rest = std::max(0.0, kept.rest - kept.input);
  return kept;
}

/// What each operator of the block keeps from its forward pass, and what of that is dropped until its backward pass.
BlockBuilder::Held BlockBuilder::held_by_ops() const {
  SavedBytes saved{h_, e_, T_, T_sp_, t_, s_};
  Held held;
  const Recompute policy = recomputed_ ? s_.recompute : Recompute::none;
  const unsigned discarding = policy == Recompute::modules ? output_discarding(s_.recompute_modules) : 0;
  for (std::size_t i = 0; i < block_.ops.size(); ++i) {
    saved.scores = 0;
    const Kept kept = kept_by(i, saved);
    double stays = kept.total();
    bool again = false;  // runs again together with its neighbours
    switch (policy) {
      case Recompute::none: break;
      case Recompute::selective:
        again = saved.scores > 0;
        stays -= saved.scores;
        break;
      case Recompute::modules: {
        // A part that is computed again keeps its input alone; one that discards its output spares what follows it the
        // input too.
        again = runs_again(i);
        const bool within = i > 0 && again && runs_again(i - 1);
        const bool discarded = i > 0 && (block_.ops[i - 1].modules & discarding) != 0;
        stays = (within || discarded ? 0 : kept.input) + (again ? 0 : kept.rest);
        break;
      }
      case Recompute::full:
      case Recompute::selective_op: again = true, stays = 0; break;
    }
    held.ops.push_back({kept.total(), stays, again});
  }
  if (first_with_backward() == block_.ops.size()) return held;  // it keeps nothing
  if (policy == Recompute::full) held.rest = e_ * T_sp_ * h_;   // the block's input
  if (policy == Recompute::selective_op) {
    // The block's input, the attention's output, and every other linear's.
    held.rest = e_ * T_sp_ * h_;
    int products = 0;
    for (const ModelOp& op : block_.ops) {
      if (const auto* linear = std::get_if<LinearOp>(&op.what)) {
        for (double n : local_outputs(*linear)) {
          if (++products % 2 != 0) held.rest += e_ * (linear->split == TensorSplit::column ? T_ : T_sp_) * n;
        }
      } else if (const auto* attention = std::get_if<CoreAttentionOp>(&op.what)) {
        held.rest += (e_ * attention->output_width() + 4 * static_cast<double>(attention->heads)) * T_ / t_;
      }
    }
  }
  return held;
}

void BlockBuilder::account_memory(LocalBlock& local) const {
  LocalParameters held_parameters{h_, t_ / s_.grid_depth, s_.expert};
  for (const ModelOp& op : block_.ops) {
    held_parameters.replicated = held_parameters.of_experts = 0;
    const double count = std::visit(held_parameters, op.what);
    local.parameters += count;
    local.expert_parameters += held_parameters.of_experts;
    if (op.frozen) continue;
    local.replicated_parameters += held_parameters.replicated;
    local.trained += {count - held_parameters.of_experts, held_parameters.of_experts};
    const auto weight = weight_of(op, s_);
    if (weight && std::find(local.weights.begin(), local.weights.end(), *weight) == local.weights.end()) {
      local.weights.push_back(*weight);
    }
  }
  if (first_with_backward() == block_.ops.size()) return;  // it keeps nothing

  const Held held = held_by_ops();
  double saved = held.rest;
  for (const HeldByOp& op : held.ops) saved += op.stays;
  local.saved = Bytes(saved);

  // Backward: what an operator kept goes when it is done; what runs again is there again, all of its stretch at once.
  GradientBytes gradients{h_, e_, T_, T_sp_, t_, s_};
  const bool residual = std::any_of(block_.ops.begin(), block_.ops.end(),
                                    [](const ModelOp& op) { return std::holds_alternative<ResidualOp>(op.what); });
  const double passed_by = residual ? e_ * T_sp_ * h_ : 0;  // the gradient of the other branch
  double alive = saved;
  for (std::size_t i = block_.ops.size(); i-- > first_with_backward();) {
    const HeldByOp& op = held.ops[i];
    gradients.frozen = block_.ops[i].frozen;
    if (op.again && (i + 1 == held.ops.size() || !held.ops[i + 1].again)) {
      double dropped = 0;
      for (std::size_t j = i + 1; j-- > 0 && held.ops[j].again;) dropped += held.ops[j].all - held.ops[j].stays;
      // Outputs that torchtitan's policy keeps are among the inputs that operators keep.
      alive += s_.recompute == Recompute::selective_op ? std::max(0.0, dropped - held.rest) : dropped;
    }
    const double now = alive + passed_by + std::visit(gradients, block_.ops[i].what).total() - saved;
    if (now > local.working.si()) local.working = Bytes(now), local.fullest_op = block_.ops[i].name;
    alive -= op.again ? op.all : op.stays;
  }
}

}  // namespace stepcast
