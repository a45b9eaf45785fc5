#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

double hidden(const FlopsInput& in) { return static_cast<double>(in.model.hidden); }
double layers(const FlopsInput& in) { return static_cast<double>(in.model.layers + in.model.predicted_ahead); }

/// Width of all heads' queries and values together: 2 a d, or with latent attention a (d_qk + d_v).
double attention_width(const FlopsInput& in) {
  const double heads = static_cast<double>(in.model.heads);
  if (!in.model.mla) return 2 * heads * static_cast<double>(in.model.head_dim);
  const LatentAttention& mla = *in.model.mla;
  return heads * static_cast<double>(mla.qk_nope_head_dim + mla.qk_rope_head_dim + mla.v_head_dim);
}

/// Weights of the attention of one layer that a token multiplies.
double attention_weights(const FlopsInput& in) {
  const Architecture& model = in.model;
  const double h = hidden(in);
  const double a = static_cast<double>(model.heads);
  if (!model.mla) {
    const double d = static_cast<double>(model.head_dim);
    return h * d * (2 * a + 2 * static_cast<double>(model.kv_heads));
  }
  const LatentAttention& mla = *model.mla;
  const double rope = static_cast<double>(mla.qk_rope_head_dim);
  const double nope = static_cast<double>(mla.qk_nope_head_dim);
  const double v = static_cast<double>(mla.v_head_dim);
  const double kv_rank = static_cast<double>(mla.kv_lora_rank);
  const double q_rank = static_cast<double>(mla.q_lora_rank.value_or(0));
  const double queries = mla.q_lora_rank ? q_rank * (h + a * (nope + rope)) : h * a * (nope + rope);
  return queries + h * (kv_rank + rope) + kv_rank * a * (nope + v) + a * v * h;
}

/// Weights of all MLPs that a token multiplies; the router does not count (Megatron-LM num_floating_point_operations).
double mlp_weights(const FlopsInput& in) {
  const Architecture& model = in.model;
  const double matrices = (model.gated() ? 3 : 2) * hidden(in);
  const double dense = matrices * static_cast<double>(model.ffn.value_or(0));
  if (!model.moe) return layers(in) * dense;
  const MixtureOfExperts& moe = *model.moe;
  const double visited = static_cast<double>(moe.top_k * moe.expert_ffn + moe.shared_ffn.value_or(0));
  const auto routed = static_cast<double>(moe.moe_layers + model.predicted_ahead);
  return routed * matrices * visited + (layers(in) - routed) * dense;
}

/// Matrix products of all layers without the scores, forward and backward.
double layer_linears(const FlopsInput& in) { return 6 * (layers(in) * attention_weights(in) + mlp_weights(in)); }

/// Scores and their product with the values, the full square; forward and backward.
double layer_attention(const FlopsInput& in) { return layers(in) * 6 * attention_width(in) * in.sequence_length; }

double logits(const FlopsInput& in) {
  return 6 * hidden(in) * in.vocab * static_cast<double>(1 + in.model.predicted_ahead);
}

/// Megatron's count with a multiple of the attention term: 72 L h^2 (1 + x s/6h + V/12Lh) for a GPT.
double megatron(const FlopsInput& in, double attention) {
  return layer_linears(in) + attention * layer_attention(in) + logits(in);
}

double six_n(const FlopsInput& in) { return 6 * in.parameters; }
double palm(const FlopsInput& in) { return 6 * in.parameters + layer_attention(in); }
double megatron_full_attention(const FlopsInput& in) { return megatron(in, 1); }
double megatron_causal(const FlopsInput& in) { return megatron(in, 0.5); }
double megatron_full_recompute(const FlopsInput& in) {
  return 4.0 / 3 * (megatron(in, 1) - logits(in)) + logits(in);  // the LM head is not computed again
}
double korthikanti_hfu(const FlopsInput& in) { return megatron(in, 2); }

double full_attention(const FlopsInput& in) {
  // An input embedding that the head does not share multiplies nothing.
  const double lookup = in.model.tied_embeddings ? 0 : static_cast<double>(in.model.vocab) * hidden(in);
  return 6 * (in.parameters - lookup) + layer_attention(in);
}
double hfu_full(const FlopsInput& in) { return full_attention(in) * (in.full_recompute ? 4.0 / 3 : 1); }
double causal_half(const FlopsInput& in) { return 6 * in.parameters + layer_attention(in) / 2; }

constexpr FlopsConvention conventions[] = {
    {"full-attention", "6(N - N_emb) + 12 L a d s: torchtitan, llm-foundry, nanotron", full_attention},
    {"megatron-full-attention", "72 L h^2 (1 + s/6h + V/12Lh): Korthikanti 2022, Megatron-Core up to 0.11",
     megatron_full_attention},
    {"megatron-causal", "the same with attention halved: Megatron-Core since 0.12 (March 2025)", megatron_causal},
    {"megatron-full-recompute", "96 L h^2 (1 + s/6h + V/16Lh): Narayanan 2021, BLOOM; counts recomputation",
     megatron_full_recompute, true},
    {"korthikanti-hfu", "72 L h^2 (1 + s/3h + V/12Lh): hardware FLOPs of Korthikanti 2022", korthikanti_hfu, true},
    {"hfu-full", "4/3 of full-attention under full recomputation: llm-foundry", hfu_full, true},
    {"palm", "6N + 12 L a d s: PaLM appendix B, nanoGPT", palm},
    {"causal-half", "6N + 6 L a d s: llm.c", causal_half},
    {"6nd", "6N: Chinchilla, model cards", six_n},
};

}  // namespace

std::span<const FlopsConvention> flops_conventions() { return conventions; }

const FlopsConvention* find_flops_convention(std::string_view name) {
  for (const FlopsConvention& convention : conventions) {
    if (convention.name == name) return &convention;
  }
  return nullptr;
}

}  // namespace stepcast
