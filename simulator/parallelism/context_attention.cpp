/// Attention over a sequence that lies on several ranks: by a ring of keys and values, by gathering them, by exchanging heads
/// for sequence, or by both (Transformer Engine's `cp_comm_type`, context_parallel.py), or as PyTorch does it. Work is
/// balanced under a causal mask: each rank has one part of the front and its mirror of the back.

#include <algorithm>

#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {

/// Documents of a packed sequence do not see each other: as many as give the same sum of squared lengths run, each of the
/// length that a token's own document has on average.
AttentionKernel BlockBuilder::fused_attention(const CoreAttentionOp& attention, bool backward) const {
  const double length = attention.crosses ? s_.sequence_length : s_.attention_length();
  return {.sequences = s_.sequences * s_.sequence_length / length,
          .heads = static_cast<double>(attention.heads) / s_.tensor,
          .kv_heads = std::max(1.0, static_cast<double>(attention.kv_heads) / s_.tensor),
          .query_length = length,
          .key_length = attention.crosses ? s_.encoded_length : length,
          .head_dim_qk = static_cast<double>(attention.head_dim),
          .head_dim_v = static_cast<double>(attention.head_dim_v),
          .causal = attention.causal,
          .window = static_cast<double>(attention.window),
          .backward = backward,
          .skips_masked = *framework_.skips_causal_blocks,
          .kernel = s_.attention_kernel,
          .precision = wide_precision()};
}

void BlockBuilder::context_attention(const CoreAttentionOp& attention, std::string_view name, Pass pass, bool backward,
                                     OpList& ops) {
  if (s_.cp_comm_type == "all_gather") return gathered_attention(attention, name, pass, backward, ops);
  if (s_.cp_comm_type == "torch_ring") return torch_ring_attention(attention, name, pass, backward, ops);
  const double inner = s_.context_inner;
  if (inner > 1) {
    // Forward: queries, keys, values there and the output back; backward: the output's gradient there, theirs back.
    exchange_heads(backward ? attention.output_width() : sent_width(attention), pass, ops);
  }
  const double ring = s_.context / inner;
  if (ring > 1) {
    ring_attention(attention, name, pass, backward, ops);
  } else {
    AttentionKernel kernel = fused_attention(attention, backward);
    kernel.heads /= inner;
    kernel.kv_heads = std::max(1.0, kernel.kv_heads / inner);
    push(ops, {.name = name, .pass = pass, .work = kernel});
  }
  if (inner > 1) exchange_heads(backward ? sent_width(attention) : attention.output_width(), pass, ops);
}

/// Queries, keys and values of a token on all tensor-parallel ranks; a key-value head that two ranks need is sent to both.
double BlockBuilder::sent_width(const CoreAttentionOp& attention) const {
  const double local = std::max(1.0, static_cast<double>(attention.kv_heads) / t_);
  const double copies =
      std::max(1.0, s_.context_inner / local) * std::max(1.0, t_ / static_cast<double>(attention.kv_heads));
  return attention.query_width() + attention.key_value_width() * copies;
}

/// An all_to_all that attention waits for: [T, width / t] from shards of the sequence to shards of the heads, or back
/// (Jacobs et al. 2023, arXiv 2309.14509, section 3.2: 4 tensors of T h / c forward, as many backward).
void BlockBuilder::exchange_heads(double width, Pass pass, OpList& ops) {
  blocking_context(ops, "exchange_heads", pass, CollectiveKind::all_to_all, GroupKind::context_inner,
                   e_ * T_ * width / t_);
}

void BlockBuilder::blocking_context(OpList& ops, std::string_view name, Pass pass, CollectiveKind kind, GroupKind group,
                                    double bytes) {
  await(background(ops, name, pass, kind, bytes, group));
}

/// Keys and values go round while each rank works on what it has. Balanced causal halves: the diagonal step is causal,
/// each later one half a rectangle.
void BlockBuilder::ring_attention(const CoreAttentionOp& attention, std::string_view name, Pass pass, bool backward,
                                  OpList& ops) {
  const double inner = s_.context_inner, ranks = s_.context / inner;
  const GroupKind group = inner > 1 ? GroupKind::context_outer : GroupKind::context;
  AttentionKernel kernel = fused_attention(attention, backward);
  kernel.heads /= inner;
  kernel.kv_heads = std::max(1.0, kernel.kv_heads / inner);
  const double keys_and_values = e_ * s_.sequences * s_.sequence_length * kernel.kv_heads *  // of all ranks
                                 static_cast<double>(attention.head_dim + attention.head_dim_v);
  const int round = background(ops, "ring_keys_values", pass, CollectiveKind::all_gather, keys_and_values, group);
  kernel.query_length = kernel.key_length = s_.attention_length() / ranks;
  push(ops, {.name = name, .pass = pass, .work = kernel});
  kernel.causal = false;
  kernel.key_length = s_.attention_length() / (2 * ranks);
  for (int step = 1; step < static_cast<int>(ranks); ++step) {
    push(ops, {.name = name, .pass = pass, .work = kernel});
    if (!backward) {  // the partial outputs are rescaled: read the new one, read and write the fp32 sum
      memory(ops, "attention_merge", pass, (e_ + 8) * T_ * attention.output_width() / t_);
    }
  }
  int last = round;
  if (backward) {
    last = background(ops, "ring_key_value_gradients", pass, CollectiveKind::reduce_scatter, keys_and_values, group);
  }
  await(last);
}

/// PyTorch's context_parallel with its default, `allgather` (torch/distributed/tensor/experimental/_attention.py of 2.6,
/// _templated_ring_attention and its backward). Kernels are the balanced ring's, but keys and values are gathered at once,
/// and their gradients go round in fp32, a message after each kernel, the last one home. Heads of grouped queries travel
/// in as many copies as the model makes before attention. Compiled, a collective is waited for where it is issued
/// (_functional_collectives.py, _maybe_wrap_tensor); in eager mode where its result is used.
/// Sums in fp32, read and written beside the new 16-bit part: of the output forward, of three gradients backward.
void BlockBuilder::torch_ring_attention(const CoreAttentionOp& attention, std::string_view name, Pass pass,
                                        bool backward, OpList& ops) {
  const bool waits = *framework_.launch_mode == LaunchMode::compiled;
  AttentionKernel kernel = fused_attention(attention, backward);
  const double sent_heads = *framework_.repeats_key_value_heads ? kernel.heads : kernel.kv_heads;
  const double sent_width = sent_heads * static_cast<double>(attention.head_dim + attention.head_dim_v);
  const double sequence = s_.sequences * s_.sequence_length;
  const int gathered = background(ops, "gather_keys_values", pass, CollectiveKind::all_gather,
                                  e_ * sequence * sent_width, GroupKind::context);
  if (waits) await(gathered);
  kernel.query_length = kernel.key_length = s_.attention_length() / s_.context;
  int sent = -1;
  for (int step = 0; step < static_cast<int>(s_.context); ++step) {
    if (step == 1) {
      if (!waits) await(gathered);
      kernel.causal = false;
      kernel.key_length = s_.attention_length() / (2 * s_.context);
    }
    push(ops, {.name = name, .pass = pass, .work = kernel});
    if (!backward) {
      if (step > 0) memory(ops, "attention_merge", pass, (e_ + 8) * T_ * attention.output_width() / t_);
      continue;
    }
    if (sent >= 0 && !waits) await(sent);
    memory(ops, "attention_gradient_sum", pass, (e_ + 8) * T_ * (attention.query_width() / t_ + sent_width));
    sent = background(ops, "rotate_key_value_gradients", pass, CollectiveKind::send_recv,
                      4 * sequence / s_.context * sent_width, GroupKind::context);
    if (waits) await(sent);
  }
  if (sent >= 0) await(sent);
}

/// Keys and values of the whole sequence come before the attention starts, and again before its backward pass; their
/// gradients are scattered after it (arXiv 2407.21783, section 3.3.2). One kernel for each of a rank's two parts, whose
/// keys are half the sequence on average.
void BlockBuilder::gathered_attention(const CoreAttentionOp& attention, std::string_view name, Pass pass, bool backward,
                                      OpList& ops) {
  AttentionKernel kernel = fused_attention(attention, backward);
  const double keys_and_values = e_ * s_.sequences * s_.sequence_length * kernel.kv_heads *
                                 static_cast<double>(attention.head_dim + attention.head_dim_v);
  blocking_context(ops, "gather_keys_values", pass, CollectiveKind::all_gather, GroupKind::context, keys_and_values);
  kernel.query_length = s_.attention_length() / (2 * s_.context);
  kernel.key_length = kernel.skips_masked ? s_.attention_length() / 2 : s_.attention_length();
  kernel.causal = false;
  for (int part = 0; part < 2; ++part) push(ops, {.name = name, .pass = pass, .work = kernel});
  if (backward) {
    blocking_context(ops, "scatter_key_value_gradients", pass, CollectiveKind::reduce_scatter, GroupKind::context,
                     keys_and_values);
  }
}

}  // namespace stepcast
