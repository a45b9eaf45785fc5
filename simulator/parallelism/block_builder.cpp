#include "simulator/parallelism/block_builder.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "simulator/parallelism/fp8_casts.hpp"

namespace stepcast {

BlockBuilder::BlockBuilder(const Block& block, double hidden, const Sharding& sharding, bool recomputed)
    : block_(block),
      hidden_(static_cast<std::int64_t>(hidden)),
      h_(hidden),
      s_(sharding),
      framework_(*sharding.framework),
      recomputed_(recomputed),
      t_(sharding.tensor),
      T_(sharding.tokens),
      T_sp_(sharding.stored_tokens()),
      e_(sharding.element) {}

LocalBlock BlockBuilder::build() {
  LocalBlock local;
  for (const ModelOp& op : block_.ops) forward(op, Pass::forward, local.forward);
  pending_ = later_ = -1;
  const std::size_t first = first_with_backward();
  const bool runs_back = first < block_.ops.size();
  if (runs_back && recomputed_ && s_.recompute == Recompute::full) recompute_forward(local.backward);
  if (runs_back && recomputed_ && s_.recompute == Recompute::selective_op) recompute_selected(local.backward);
  for (std::size_t i = block_.ops.size(); i-- > first;) {
    if (runs_again(i) && !runs_again(i + 1)) recompute_modules(i, local.backward);
    if (!waits_for_exchange(block_.ops[i])) backward_at(i, local.backward);
  }
  local.recomputed_share = recomputed_share(local);
  account_memory(local);
  return local;
}

void BlockBuilder::backward_at(std::size_t index, OpList& ops) {
  const ModelOp& op = block_.ops[index];
  frozen_ = op.frozen;
  passes_gradient_ = block_.passes_gradient || index > first_with_backward();
  std::visit([&](const auto& what) { backward(what, op.name, ops); }, op.what);
}

/// Autograd goes back no further than to the first weight that is trained.
std::size_t BlockBuilder::first_with_backward() const {
  if (block_.passes_gradient) return 0;
  const auto trained = std::find_if(block_.ops.begin(), block_.ops.end(),
                                    [&](const ModelOp& op) { return !op.frozen && parameters(op, hidden_) > 0; });
  return static_cast<std::size_t>(trained - block_.ops.begin());
}

double rows_inside(Rows rows, const Sharding& sharding) {
  switch (rows) {
    case Rows::tokens: return sharding.tokens;
    case Rows::encoded: return sharding.encoded_tokens();
    case Rows::sequences: return sharding.sequences;
  }
  return 0;
}

double rows_stored(Rows rows, const Sharding& sharding) {
  if (rows == Rows::sequences) return sharding.sequences;
  return rows_inside(rows, sharding) / (sharding.sequence_parallel ? sharding.tensor : 1);
}

double norm_elements(const NormOp& norm, double hidden, const Sharding& sharding) {
  const double width = width_or(norm.width, hidden);
  if (norm.vectors == 0) return rows_stored(norm.rows, sharding) * width;
  return rows_inside(norm.rows, sharding) * static_cast<double>(norm.vectors) * width / sharding.tensor;
}

SoftmaxTraffic softmax_traffic(const CoreAttentionOp& attention, const Sharding& s) {
  const double e = s.element;
  const bool fuses = *s.framework->fused_softmax && !attention.alibi;
  // Scale, mask and softmax one after the other, in the scores' own type.
  if (!fuses) return {6 * e, 7 * e, 3};
  const double matrices = s.sequences * static_cast<double>(attention.heads) / s.tensor;
  const bool fits =
      key_length(attention, s) <= 2048 && std::fmod(s.sequence_length, 4) == 0 && std::fmod(matrices, 4) == 0;
  // To fp32 e + 4, scaled 8, masked 8, softmax 8, back 4 + e; backwards the softmax reads its output as well.
  if (!fits) return {2 * e + 32, 2 * e + 36, 5};
  return attention.causal ? SoftmaxTraffic{1.5 * e, 2 * e, 1} : SoftmaxTraffic{2 * e, 3 * e, 1};
}

bool BlockBuilder::runs_again(std::size_t op) const {
  return recomputed_ && op < block_.ops.size() && (block_.ops[op].modules & s_.recompute_modules) != 0;
}

/// Runs the operators up to `last` that are computed again, without a gap between them.
void BlockBuilder::recompute_modules(std::size_t last, OpList& ops) {
  std::size_t first = last;
  while (first > 0 && runs_again(first - 1)) --first;
  for (std::size_t i = first; i <= last; ++i) forward(block_.ops[i], Pass::recompute, ops);
}

/// Of the forward pass, what the host launches again.
double BlockBuilder::recomputed_share(const LocalBlock& local) const {
  if (!recomputed_) return 0;
  if (s_.recompute == Recompute::full || s_.recompute == Recompute::selective_op) return 1;
  if (s_.recompute != Recompute::modules) return 0;
  const auto again = std::count_if(local.backward.begin(), local.backward.end(),
                                   [](const LocalOp& op) { return op.pass == Pass::recompute; });
  return static_cast<double>(again) / static_cast<double>(local.forward.size());
}

// --- emission ---------------------------------------------------------------------------------------------------

void BlockBuilder::push(OpList& ops, LocalOp op) {
  if (pending_ >= 0 && ops[static_cast<std::size_t>(pending_)].lane != op.lane) {
    op.after = pending_;
    pending_ = std::exchange(later_, -1);
  }
  ops.push_back(op);
}

void BlockBuilder::kernel(OpList& ops, std::string_view name, Pass pass, Gemm gemm) {
  push(ops, {.name = name, .pass = pass, .work = gemm});
}

void BlockBuilder::kernel(OpList& ops, std::string_view name, Pass pass, GroupedGemm gemm) {
  push(ops, {.name = name, .pass = pass, .work = gemm});
}

void BlockBuilder::memory(OpList& ops, std::string_view name, Pass pass, double bytes, double kernels) {
  push(ops, {.name = name, .pass = pass, .work = MemoryBound{Bytes(bytes), kernels}});
}

void BlockBuilder::blocking(OpList& ops, std::string_view name, Pass pass, CollectiveKind kind, double bytes) {
  if (s_.tensor == 1) return;
  const int producer = static_cast<int>(ops.size()) - 1;
  ops.push_back({.name = name,
                 .pass = pass,
                 .work = Collective{kind, GroupKind::tensor, Bytes(bytes)},
                 .lane = Lane::comm,
                 .after = producer});
  await(static_cast<int>(ops.size()) - 1);
}

int BlockBuilder::background(OpList& ops, std::string_view name, Pass pass, CollectiveKind kind, double bytes,
                             GroupKind group) {
  const int producer = static_cast<int>(ops.size()) - 1;
  ops.push_back({.name = name,
                 .pass = pass,
                 .work = Collective{kind, group, Bytes(bytes)},
                 .lane = Lane::comm,
                 .after = producer});
  return static_cast<int>(ops.size()) - 1;
}

void BlockBuilder::quantise(OpList& ops, Pass pass, double tensor_elements, double weight_elements) {
  if (s_.precision != Precision::fp8) return;
  const Fp8Casts casts = fp8_casts(s_.fp8_recipe);
  const double passes = casts.weights_once ? s_.microbatches : 1;
  memory(ops, "fp8_cast", pass, casts.input * tensor_elements + casts.weight * weight_elements / passes);
}

void BlockBuilder::quantise_backward(OpList& ops, double gradient_elements, double input_elements,
                                     double weight_elements) {
  if (s_.precision != Precision::fp8) return;
  const Fp8Casts casts = fp8_casts(s_.fp8_recipe);
  memory(ops, "fp8_cast", Pass::backward_input,
         casts.gradient * gradient_elements + (frozen_ ? 0 : casts.input_again) * input_elements +
             (passes_gradient_ ? casts.weight_again : 0) * weight_elements);
}

void BlockBuilder::rescale(OpList& ops, Pass pass, double result_elements) {
  const double bytes = s_.precision == Precision::fp8 ? fp8_casts(s_.fp8_recipe).rescaled : 0;
  if (bytes > 0) memory(ops, "fp8_rescale", pass, bytes * result_elements);
}

// --- forward ----------------------------------------------------------------------------------------------------

namespace {

/// Bytes of one rotation of queries and keys: read and write once, or as PyTorch's operators do it, x cos + turned(x) sin:
/// half of x is negated (1) and joined with the other (2), two products (2 + 2) and their sum (3). The form with complex
/// numbers moves as many: to fp32 (3), their product (4), and back (3).
double rotary_bytes(const Framework& framework, double element) { return (*framework.fused_rotary ? 2 : 10) * element; }

/// Queries, keys and values of latent attention are put together by a kernel each.
double rotary_kernels(const RotaryOp& rotary, const Framework& framework) {
  return (*framework.fused_rotary ? 1 : 4) + (rotary.assembles ? 2 : 0);
}

}  // namespace

void BlockBuilder::forward(const ModelOp& op, Pass pass, OpList& ops) {
  if (waits_for_exchange(op)) return;
  std::visit([&](const auto& what) { forward(what, op.name, pass, ops); }, op.what);
}

void BlockBuilder::forward(const NormOp& norm, std::string_view name, Pass pass, OpList& ops) {
  memory(ops, name, pass, framework_.norm_forward_bytes * (e_ / 2) * norm_elements(norm, h_, s_));
  if (s_.on_grid()) grid_statistics(pass, ops);
}

std::vector<double> BlockBuilder::local_outputs(const LinearOp& linear) const {
  const double split = linear.split == TensorSplit::column ? t_ : 1;
  const bool separate = linear.parts.size() == 3   ? *framework_.separate_qkv
                        : linear.parts.size() == 2 ? *framework_.separate_gate
                                                   : false;
  if (!separate) return {static_cast<double>(linear.out) / split};
  std::vector<double> outs;
  for (std::int64_t part : linear.parts) outs.push_back(static_cast<double>(part) / split);
  return outs;
}

void BlockBuilder::forward(const LinearOp& linear, std::string_view name, Pass pass, OpList& ops) {
  if (s_.on_grid()) return grid_forward(linear, name, pass, ops);
  const double in = static_cast<double>(linear.in);
  const bool column = linear.split == TensorSplit::column;
  const bool row = linear.split == TensorSplit::row;
  const double k = row ? in / t_ : in;
  const double whole = rows_inside(linear.rows, s_);
  const double tokens = column || row ? whole : rows_stored(linear.rows, s_);
  const bool gathers = column && linear.starts_region && s_.sequence_parallel;
  const bool scatters = row && linear.ends_region && s_.sequence_parallel;
  std::vector<Gemm> products;
  for (double n : local_outputs(linear)) {
    products.push_back({.m = tokens, .n = n, .k = k, .precision = linear_precision(), .layout = Layout::tn});
  }
  if (gathers && !overlaps_products()) {
    blocking(ops, "all_gather_input", pass, CollectiveKind::all_gather, e_ * whole * in);
  }
  quantise(ops, pass, tokens * k, in * static_cast<double>(linear.out) / (column || row ? t_ : 1));
  if (gathers && overlaps_products()) return gathered_products(ops, name, pass, e_ * whole * in, products);
  if (scatters && overlaps_products()) {
    return scattered_products(ops, name, pass, e_ * whole * static_cast<double>(linear.out), products);
  }
  for (const Gemm& product : products) kernel(ops, name, pass, product);
  if (row && linear.ends_region) {
    const auto kind = s_.sequence_parallel ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce;
    blocking(ops, s_.sequence_parallel ? "reduce_scatter_output" : "all_reduce_output", pass, kind,
             e_ * whole * static_cast<double>(linear.out));
  }
}

void BlockBuilder::forward(const RotaryOp& rotary, std::string_view name, Pass pass, OpList& ops) {
  memory(ops, name, pass, rotary_bytes(framework_, e_) * T_ * static_cast<double>(rotary.width) / t_,
         rotary_kernels(rotary, framework_));
}

void BlockBuilder::forward(const CoreAttentionOp& attention, std::string_view name, Pass pass, OpList& ops) {
  if (s_.context > 1) return context_attention(attention, name, pass, false, ops);
  if (s_.flash_attention) {
    push(ops, {.name = name, .pass = pass, .work = fused_attention(attention, false)});
    return;
  }
  // Unfused: S = Q K^T, softmax (scaled and masked), dropout, P V; scores live in HBM.
  const double scores = score_elements(attention, s_);
  const double batch = s_.sequences * static_cast<double>(attention.heads) / t_;
  const double s = s_.sequence_length;
  const double keys = key_length(attention, s_);
  const double d = static_cast<double>(attention.head_dim);
  const double d_v = static_cast<double>(attention.head_dim_v);
  kernel(ops, "attention_scores", pass, Gemm{.m = s, .n = keys, .k = d, .batch = batch, .precision = wide_precision()});
  const SoftmaxTraffic softmax = softmax_traffic(attention, s_);
  memory(ops, "attention_softmax", pass, softmax.forward * scores, softmax.kernels);
  if (attention.dropout > 0) memory(ops, "attention_dropout", pass, (2 * e_ + 1) * scores);
  kernel(ops, "attention_context", pass,
         Gemm{.m = s, .n = d_v, .k = keys, .batch = batch, .precision = wide_precision()});
  // Heads and tokens change places before the projection: [b, a/t, s, d] -> [s, b, a d / t].
  memory(ops, "attention_transpose", pass, 2 * e_ * T_ * attention.output_width() / t_);
}

void BlockBuilder::forward(const ActivationOp& activation, std::string_view name, Pass pass, OpList& ops) {
  const bool gated = activation.kind == Activation::swiglu || activation.kind == Activation::geglu;
  const double elements = rows_of(activation.routing) * width_of(activation);
  const double tensors = gated ? 3 : 2;  // gate and up in, product out; or one in, one out
  const bool fused = *framework_.fused_bias_activation;
  const double extra = fused ? 0 : (activation.bias ? 2 : 0) + (gated ? 2 : 0);  // bias, and the gate's own kernel
  memory(ops, name, pass, (tensors + extra) * e_ * elements, fused ? 1 : 2);
}

void BlockBuilder::forward(const ResidualOp& residual, std::string_view name, Pass pass, OpList& ops) {
  const double elements = T_sp_ * h_;
  const double mask = residual.dropout > 0 ? 1 : 0;
  double tensors = 3;  // y and x in, sum out
  double kernels = 1;
  if (!*framework_.fused_bias_dropout_add) {
    tensors += (residual.bias ? 2 : 0) + (mask > 0 ? 2 : 0);
    kernels += (residual.bias ? 1 : 0) + mask;
  }
  memory(ops, name, pass, (tensors * e_ + mask) * elements, kernels);
}

void BlockBuilder::forward(const EmbeddingOp& embedding, std::string_view name, Pass pass, OpList& ops) {
  // Gather rows, zero the rows of other ranks; every tensor-parallel rank sees the whole sequence.
  if (embedding.vocab > 0) memory(ops, name, pass, (t_ > 1 ? 4 : 2) * e_ * T_ * h_, t_ > 1 ? 3 : 1);
  if (embedding.vocab > 0 && t_ > 1) {
    blocking(ops, s_.sequence_parallel ? "reduce_scatter_embedding" : "all_reduce_embedding", pass,
             s_.sequence_parallel ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce, e_ * T_ * h_);
  }
  if (embedding.positions > 0) memory(ops, "position_embedding", pass, 3 * e_ * T_sp_ * h_);
  if (embedding.norm) memory(ops, "embedding_norm", pass, framework_.norm_forward_bytes * (e_ / 2) * T_sp_ * h_);
  if (embedding.dropout > 0) memory(ops, "embedding_dropout", pass, (2 * e_ + 1) * T_sp_ * h_);
}

void BlockBuilder::forward(const LmHeadOp& head, std::string_view name, Pass pass, OpList& ops) {
  if (s_.sequence_parallel) {
    blocking(ops, "all_gather_input", pass, CollectiveKind::all_gather, e_ * T_ * h_);
  }
  kernel(ops, name, pass,
         Gemm{.m = T_,
              .n = static_cast<double>(head.vocab) / t_,
              .k = h_,
              .precision = wide_precision(),
              .layout = Layout::tn});
}

namespace {
/// Of the bytes per logit, the share that the forward pass of an unfused vocabulary-parallel cross-entropy moves:
/// fp32 upcast, max, subtract, exp, sum, divide 38; backward multiply and cast 14 (Megatron-LM cross_entropy.py).
constexpr double cross_entropy_forward_share = 38.0 / 52.0;
}  // namespace

void BlockBuilder::forward(const CrossEntropyOp& loss, std::string_view name, Pass pass, OpList& ops) {
  const double logits = T_ * static_cast<double>(loss.vocab) / t_;
  memory(ops, name, pass, framework_.cross_entropy_bytes * cross_entropy_forward_share * logits, 6);
  for (int i = 0; i < 3; ++i) {  // max, predicted logit, sum of exponentials: one fp32 a token
    blocking(ops, "all_reduce_loss", pass, CollectiveKind::all_reduce, 4 * T_);
  }
}

// --- backward ---------------------------------------------------------------------------------------------------

void BlockBuilder::recompute_forward(OpList& ops) {
  // A non-reentrant checkpoint stops when the last saved tensor is there: the block's final linear and what follows it
  // are not run again. Megatron's own checkpoint runs all.
  std::size_t count = block_.ops.size();
  if (*framework_.recompute_stops_early) {
    const auto is_linear = [](const ModelOp& op) {
      return std::holds_alternative<LinearOp>(op.what) || std::holds_alternative<ExpertLinearOp>(op.what);
    };
    while (count > 0 && !is_linear(block_.ops[count - 1])) --count;
    if (count > 0) --count;
  }
  for (std::size_t i = 0; i < count; ++i) forward(block_.ops[i], Pass::recompute, ops);
}

/// torchtitan's per-operator policy (activation_checkpoint.py): outputs of attention, of reductions and of every other
/// matrix product are kept; the second, fourth, ... product, pointwise kernels and gathers run again.
void BlockBuilder::recompute_selected(OpList& ops) {
  int products = 0;
  for (const ModelOp& op : block_.ops) {
    if (std::holds_alternative<CoreAttentionOp>(op.what)) continue;
    const auto* linear = std::get_if<LinearOp>(&op.what);
    if (linear == nullptr) {
      forward(op, Pass::recompute, ops);
      continue;
    }
    const bool column = linear->split == TensorSplit::column;
    const bool row = linear->split == TensorSplit::row;
    const double in = static_cast<double>(linear->in);
    if (column && linear->starts_region && s_.sequence_parallel) {
      blocking(ops, "all_gather_input", Pass::recompute, CollectiveKind::all_gather, e_ * T_ * in);
    }
    for (double n : local_outputs(*linear)) {
      if (++products % 2 != 0) continue;
      kernel(ops, op.name, Pass::recompute,
             Gemm{.m = column || row ? T_ : T_sp_,
                  .n = n,
                  .k = row ? in / t_ : in,
                  .precision = linear_precision(),
                  .layout = Layout::tn});
    }
  }
}

void BlockBuilder::backward(const NormOp& norm, std::string_view name, OpList& ops) {
  const double bytes = framework_.norm_backward_bytes * (e_ / 2) * norm_elements(norm, h_, s_);
  memory(ops, name, Pass::backward_input, bytes, 2);
  if (s_.on_grid()) grid_statistics(Pass::backward_input, ops);
}

/// dW [rows, columns] of a local weight, and its accumulation over microbatches.
void BlockBuilder::weight_gradient(OpList& ops, std::string_view name, double rows, double columns, double tokens,
                                   Precision precision) {
  if (frozen_) return;
  kernel(ops, name, Pass::backward_weight,
         Gemm{.m = rows,
              .n = columns,
              .k = tokens,
              .precision = precision,
              .layout = Layout::nt,
              .accumulate_fp32 = *framework_.gradient_accumulation_fusion && s_.gradient == 4});
  accumulate_weight_gradient(ops, rows * columns);
}

/// main_grad += dW, where the product did not do it: read dW, read and write the sum.
///
/// With fp32 sums beside bf16 gradients (deepspeedai/DeepSpeed runtime/bf16_optimizer.py) every microbatch clears the
/// bf16 gradient (e), autograd adds to it (3e), it is converted (e + g) and the copy is added to the sum (3g).
void BlockBuilder::accumulate_weight_gradient(OpList& ops, double elements) {
  if (frozen_ || *framework_.gradient_accumulation_fusion) return;
  if (*framework_.gradient_dtype == GradientType::fp32_beside_bf16 && s_.gradient > e_) {
    memory(ops, "gradient_accumulate", Pass::backward_weight, (5 * e_ + 4 * s_.gradient) * elements, 4);
    return;
  }
  if (s_.microbatches <= 1 && s_.gradient <= e_) return;
  memory(ops, "gradient_accumulate", Pass::backward_weight, (e_ + 2 * s_.gradient) * elements);
}

void BlockBuilder::linear_backward(OpList& ops, std::string_view name, const LocalLinear& linear) {
  const auto& [in, outs, split, bias, starts_region, tokens, gathers, wide] = linear;
  const bool column = split == TensorSplit::column;
  const Precision precision = wide ? wide_precision() : linear_precision();
  double out = 0;
  for (double n : outs) out += n;
  if (!wide) quantise_backward(ops, tokens * out, tokens * in, in * out);

  // Input gradient, with the re-gather of the saved input beside it.
  int gathered = -1;
  const bool region = column && starts_region && t_ > 1;
  if (region && s_.sequence_parallel && !frozen_) {
    gathered = background(ops, "all_gather_input", Pass::backward_weight, CollectiveKind::all_gather, e_ * tokens * in);
  }
  std::vector<Gemm> products;
  for (double n : outs) {
    products.push_back({.m = tokens, .n = in, .k = n, .precision = precision, .layout = Layout::nn});
  }
  const bool scatters = region && s_.sequence_parallel && s_.tp_overlap == "async" && passes_gradient_;
  if (!passes_gradient_) products.clear();
  if (gathers > 0 && passes_gradient_) {
    gathered_products(ops, name, Pass::backward_input, gathers, products);
  } else if (scatters) {
    scattered_products(ops, name, Pass::backward_input, e_ * tokens * in, products);
  } else {
    for (const Gemm& product : products) kernel(ops, name, Pass::backward_input, product);
  }
  if (!wide && passes_gradient_) rescale(ops, Pass::backward_input, tokens * in * static_cast<double>(outs.size()));
  if (outs.size() > 1 && passes_gradient_) {  // the partial input gradients of separate GEMMs are summed
    memory(ops, "gradient_sum", Pass::backward_input, 3 * e_ * tokens * in * static_cast<double>(outs.size() - 1),
           static_cast<double>(outs.size() - 1));
  }

  // Its reduction, beside the weight gradient when the framework overlaps it.
  int reduced = -1;
  if (region && passes_gradient_ && !scatters) {
    const auto kind = s_.sequence_parallel ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce;
    const std::string_view reduction =
        s_.sequence_parallel ? "reduce_scatter_input_gradient" : "all_reduce_input_gradient";
    if (*framework_.overlap_tp_backward) {
      reduced = background(ops, reduction, Pass::backward_input, kind, e_ * tokens * in);
    } else {
      blocking(ops, reduction, Pass::backward_input, kind, e_ * tokens * in);
    }
  }

  if (gathered >= 0) await(gathered);
  for (double n : outs) weight_gradient(ops, name, in, n, tokens, precision);
  if (!wide && !frozen_) rescale(ops, Pass::backward_weight, in * out);
  if (bias && !frozen_) memory(ops, "bias_gradient", Pass::backward_weight, e_ * tokens * out);
  if (reduced >= 0) await(reduced);
}

void BlockBuilder::backward(const LinearOp& linear, std::string_view name, OpList& ops) {
  if (s_.on_grid()) return grid_backward(linear, name, ops);
  const double in = static_cast<double>(linear.in);
  if (linear.split == TensorSplit::column) {
    linear_backward(
        ops, name,
        {in, local_outputs(linear), linear.split, linear.bias, linear.starts_region, rows_inside(linear.rows, s_)});
    return;
  }
  if (linear.split == TensorSplit::whole) {
    linear_backward(ops, name,
                    {in, local_outputs(linear), linear.split, linear.bias, false, rows_stored(linear.rows, s_)});
    return;
  }
  LocalLinear local{in / t_, local_outputs(linear), linear.split, linear.bias, false, T_};
  if (s_.sequence_parallel && linear.ends_region) {
    const double gathered = e_ * T_ * static_cast<double>(linear.out);
    if (overlaps_products()) {
      local.gathers = gathered;
    } else {
      blocking(ops, "all_gather_output_gradient", Pass::backward_input, CollectiveKind::all_gather, gathered);
    }
  }
  linear_backward(ops, name, local);
}

void BlockBuilder::backward(const RotaryOp& rotary, std::string_view name, OpList& ops) {
  memory(ops, name, Pass::backward_input, rotary_bytes(framework_, e_) * T_ * static_cast<double>(rotary.width) / t_,
         rotary_kernels(rotary, framework_));
}

void BlockBuilder::backward(const CoreAttentionOp& attention, std::string_view name, OpList& ops) {
  if (s_.context > 1) return context_attention(attention, name, Pass::backward_input, true, ops);
  if (s_.flash_attention) {
    push(ops, {.name = name, .pass = Pass::backward_input, .work = fused_attention(attention, true)});
    return;
  }
  if (recomputed_ && s_.recompute == Recompute::selective) forward(attention, name, Pass::recompute, ops);

  const double scores = score_elements(attention, s_);
  const double batch = s_.sequences * static_cast<double>(attention.heads) / t_;
  const double s = s_.sequence_length;
  const double keys = key_length(attention, s_);
  const double d = static_cast<double>(attention.head_dim);
  const double d_v = static_cast<double>(attention.head_dim_v);
  const Precision precision = wide_precision();
  const Pass pass = Pass::backward_input;
  memory(ops, "attention_transpose", pass, 2 * e_ * T_ * attention.output_width() / t_);
  kernel(ops, "attention_context", pass,
         Gemm{.m = s, .n = keys, .k = d_v, .batch = batch, .precision = precision});  // dP
  kernel(ops, "attention_context", pass,
         Gemm{.m = keys, .n = d_v, .k = s, .batch = batch, .precision = precision});  // dV
  if (attention.dropout > 0) memory(ops, "attention_dropout", pass, (2 * e_ + 1) * scores);
  const SoftmaxTraffic softmax = softmax_traffic(attention, s_);
  memory(ops, "attention_softmax", pass, softmax.backward * scores, softmax.kernels);
  kernel(ops, "attention_scores", pass, Gemm{.m = s, .n = d, .k = keys, .batch = batch, .precision = precision});  // dQ
  kernel(ops, "attention_scores", pass, Gemm{.m = keys, .n = d, .k = s, .batch = batch, .precision = precision});  // dK
}

void BlockBuilder::backward(const ActivationOp& activation, std::string_view name, OpList& ops) {
  const bool gated = activation.kind == Activation::swiglu || activation.kind == Activation::geglu;
  const double elements = rows_of(activation.routing) * width_of(activation);
  const double tensors = gated ? 5 : 3;  // output gradient and inputs in, input gradients out
  const bool fused = *framework_.fused_bias_activation;
  memory(ops, name, Pass::backward_input, (tensors + (fused ? 0 : gated ? 4 : 0)) * e_ * elements, fused ? 1 : 2);
}

void BlockBuilder::backward(const ResidualOp& residual, std::string_view name, OpList& ops) {
  const double elements = T_sp_ * h_;
  memory(ops, "residual_gradient", Pass::backward_input, 3 * e_ * elements);  // autograd sums the two branches
  if (residual.dropout > 0) memory(ops, name, Pass::backward_input, (2 * e_ + 1) * elements);
}

void BlockBuilder::backward(const EmbeddingOp& embedding, std::string_view name, OpList& ops) {
  if (embedding.dropout > 0) memory(ops, "embedding_dropout", Pass::backward_input, (2 * e_ + 1) * T_sp_ * h_);
  if (embedding.norm) {
    memory(ops, "embedding_norm", Pass::backward_input, framework_.norm_backward_bytes * (e_ / 2) * T_sp_ * h_, 2);
  }
  if (frozen_) return;
  if (embedding.positions > 0) memory(ops, "position_embedding", Pass::backward_weight, 2 * e_ * T_sp_ * h_);
  if (embedding.vocab == 0) return;
  if (s_.sequence_parallel) {
    blocking(ops, "all_gather_embedding_gradient", Pass::backward_input, CollectiveKind::all_gather, e_ * T_ * h_);
  }
  // Scatter-add of T rows into a dense gradient that is first cleared, then added to the accumulated one:
  // clear 2 + read 2 + read and write the fp32 sum 8 bytes a weight (Megatron-LM distributed_data_parallel.py).
  const double table = static_cast<double>(embedding.vocab) * h_ / t_;
  memory(ops, name, Pass::backward_weight, 3 * e_ * T_ * h_ + (2 * e_ + 2 * s_.gradient) * table, 3);
}

void BlockBuilder::backward(const LmHeadOp& head, std::string_view name, OpList& ops) {
  linear_backward(ops, name,
                  {.in = h_,
                   .outs = {static_cast<double>(head.vocab) / t_},
                   .split = TensorSplit::column,
                   .bias = false,
                   .starts_region = true,
                   .tokens = T_,
                   .wide = true});
}

void BlockBuilder::backward(const CrossEntropyOp& loss, std::string_view name, OpList& ops) {
  const double logits = T_ * static_cast<double>(loss.vocab) / t_;
  memory(ops, name, Pass::backward_input, framework_.cross_entropy_bytes * (1 - cross_entropy_forward_share) * logits,
         2);
}

}  // namespace stepcast
