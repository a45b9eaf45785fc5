#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

double hidden(const FlopsInput& in) { return static_cast<double>(in.model.hidden); }

/// Products with a weight, forward and backward: 2 FLOPs each time.
double weight_passes(const FlopsInput& in) { return in.frozen_weights ? 4 : 6; }

/// Layers with that part, those of a decoder behind an encoder by its share of tokens. Modules that predict further tokens
/// have what the last layer has.
double layers_with(const FlopsInput& in, LayerLetter part) {
  const Architecture& model = in.model;
  const auto count = static_cast<double>(model.layers_with(part));
  if (model.encoder_layers > 0) {
    const double encoder = static_cast<double>(model.encoder_layers) / static_cast<double>(model.layers);
    return count * (encoder + (1 - encoder) * in.decoder_share);
  }
  const bool last = part == LayerLetter::attention || (part == LayerLetter::experts) == model.moe.has_value();
  return count + (last ? static_cast<double>(model.predicted_ahead) : 0);
}

double cross_layers(const FlopsInput& in) {
  const Architecture& model = in.model;
  return model.encoder_layers > 0 ? static_cast<double>(model.layers - model.encoder_layers) : 0;
}

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
  const double dense = layers_with(in, LayerLetter::mlp) * matrices * static_cast<double>(model.ffn.value_or(0));
  if (!model.moe) return dense;
  const MixtureOfExperts& moe = *model.moe;
  const double visited = static_cast<double>(moe.top_k * moe.expert_ffn + moe.shared_ffn.value_or(0));
  return dense + layers_with(in, LayerLetter::experts) * matrices * visited;
}

/// Queries and the output on the decoder's tokens, keys and values on the encoder's.
double cross_weights(const FlopsInput& in) {
  const double d = static_cast<double>(in.model.head_dim);
  const double queries = 2 * static_cast<double>(in.model.heads) * d,
               keys = 2 * static_cast<double>(in.model.kv_heads) * d;
  return cross_layers(in) * hidden(in) * (in.decoder_share * queries + keys);
}

double state_space_weights(const FlopsInput& in) {
  if (!in.model.ssm) return 0;
  const StateSpace& ssm = *in.model.ssm;
  const auto width = static_cast<double>(2 * ssm.inner() + ssm.convolved() + (ssm.selective() ? 0 : ssm.heads));
  const auto chosen = static_cast<double>(ssm.selective() ? ssm.inner() * (2 * ssm.step_rank + 2 * ssm.state) : 0);
  return layers_with(in, LayerLetter::state_space) * (hidden(in) * width + chosen);
}

/// 7 I N a token (Megatron-LM training.py, mamba_layer_flops), forward and backward.
double state_space_scan(const FlopsInput& in) {
  if (!in.model.ssm) return 0;
  const auto states = static_cast<double>(in.model.ssm->inner() * in.model.ssm->state);
  return layers_with(in, LayerLetter::state_space) * 3 * 7 * states;
}

/// Matrix products of all layers without the scores, forward and backward.
double layer_linears(const FlopsInput& in) {
  const double attention = layers_with(in, LayerLetter::attention) * attention_weights(in);
  return weight_passes(in) * (attention + cross_weights(in) + mlp_weights(in) + state_space_weights(in)) +
         state_space_scan(in);
}

/// Scores and their product with the values, forward and backward.
/// @param causal  of the full square, what counts where tokens see those before them alone
double layer_attention(const FlopsInput& in, double causal = 1) {
  const Architecture& model = in.model;
  const double square = 6 * attention_width(in) * in.sequence_length;
  if (model.encoder_layers > 0) {
    const double share = in.decoder_share, encoder = static_cast<double>(model.encoder_layers);
    return square * (encoder + cross_layers(in) * (share * share * causal + share));
  }
  return layers_with(in, LayerLetter::attention) * square * (model.causal ? causal : 1);
}

double logits(const FlopsInput& in) {
  return weight_passes(in) * hidden(in) * in.vocab * static_cast<double>(1 + in.model.predicted_ahead) *
         in.decoder_share;
}

/// Megatron's count with a multiple of the attention term: 72 L h^2 (1 + x s/6h + V/12Lh) for a GPT.
double megatron(const FlopsInput& in, double attention) {
  return layer_linears(in) + layer_attention(in, attention) + logits(in);
}

double six_n(const FlopsInput& in) { return weight_passes(in) * in.parameters; }
double palm(const FlopsInput& in) { return six_n(in) + layer_attention(in); }
double megatron_full_attention(const FlopsInput& in) { return megatron(in, 1); }
double megatron_causal(const FlopsInput& in) { return megatron(in, 0.5); }
double megatron_full_recompute(const FlopsInput& in) {
  return 4.0 / 3 * (megatron(in, 1) - logits(in)) + logits(in);  // the LM head is not computed again
}
double korthikanti_hfu(const FlopsInput& in) { return megatron(in, 2); }

double full_attention(const FlopsInput& in) {
  // An input embedding that the head does not share multiplies nothing.
  const double lookup = in.model.tied_embeddings ? 0 : static_cast<double>(in.model.vocab) * hidden(in);
  return weight_passes(in) * (in.parameters - lookup) + layer_attention(in);
}
double hfu_full(const FlopsInput& in) { return full_attention(in) * (in.full_recompute ? 4.0 / 3 : 1); }
double causal_half(const FlopsInput& in) { return six_n(in) + layer_attention(in, 0.5); }

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
