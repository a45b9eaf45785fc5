#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

double layers(const FlopsInput& in) { return static_cast<double>(in.model.layers); }
double hidden(const FlopsInput& in) { return static_cast<double>(in.model.hidden); }
double attention_width(const FlopsInput& in) { return static_cast<double>(in.model.heads * in.model.head_dim); }

/// Matrix products of one layer without the scores: queries, keys, values, projection, MLP; forward and backward.
double layer_linears(const FlopsInput& in) {
  const double h = hidden(in);
  const double kv = static_cast<double>(in.model.kv_heads * in.model.head_dim);
  const double f = static_cast<double>(in.model.ffn.value_or(0));
  return 6 * h * (2 * attention_width(in) + 2 * kv + (in.model.gated() ? 3 : 2) * f);
}

/// Scores and their product with the values, the full square; forward and backward.
double layer_attention(const FlopsInput& in) { return 12 * attention_width(in) * in.sequence_length; }

double logits(const FlopsInput& in) { return 6 * hidden(in) * in.vocab; }

/// Megatron's count with a multiple of the attention term: 72 L h^2 (1 + x s/6h + V/12Lh) for a GPT.
double megatron(const FlopsInput& in, double attention) {
  return layers(in) * (layer_linears(in) + attention * layer_attention(in)) + logits(in);
}

double six_n(const FlopsInput& in) { return 6 * in.parameters; }
double palm(const FlopsInput& in) { return 6 * in.parameters + layers(in) * layer_attention(in); }
double megatron_full_attention(const FlopsInput& in) { return megatron(in, 1); }
double megatron_causal(const FlopsInput& in) { return megatron(in, 0.5); }
double megatron_full_recompute(const FlopsInput& in) {
  return 4.0 / 3 * (megatron(in, 1) - logits(in)) + logits(in);  // the LM head is not computed again
}
double korthikanti_hfu(const FlopsInput& in) { return megatron(in, 2); }

double full_attention(const FlopsInput& in) {
  // An input embedding that the head does not share multiplies nothing.
  const double lookup = in.model.tied_embeddings ? 0 : static_cast<double>(in.model.vocab) * hidden(in);
  return 6 * (in.parameters - lookup) + layers(in) * layer_attention(in);
}
double hfu_full(const FlopsInput& in) { return full_attention(in) * (in.full_recompute ? 4.0 / 3 : 1); }
double causal_half(const FlopsInput& in) { return 6 * in.parameters + layers(in) * layer_attention(in) / 2; }

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
