#include "models/families.hpp"

namespace stepcast {
namespace {

bool is_hybrid(const Architecture& model) { return model.ssm && !model.pattern.empty(); }
bool has_encoder(const Architecture& model) {
  return model.encoder_layers > 0 && model.encoder_layers < model.layers && model.ffn;
}
bool is_encoder(const Architecture& model) { return !model.causal && model.encoder_layers == 0 && model.ffn; }
bool has_experts(const Architecture& model) { return model.moe.has_value(); }
bool has_latent_attention(const Architecture& model) { return model.mla && model.ffn; }
bool is_dense(const Architecture& model) { return model.ffn.has_value(); }

/// The first that accepts builds.
constexpr ModelFamily families[] = {
    {"hybrid", "state-space layers (Mamba-2), alone or between attention, MLPs and experts", is_hybrid, hybrid},
    {"encoder-decoder", "an encoder, and a decoder that attends to it: T5", has_encoder, encoder_decoder},
    {"encoder", "every token sees every other: BERT, ViT", is_encoder, encoder},
    {"mixture-of-experts", "routed experts in some or all layers: Mixtral, Qwen3 MoE, DeepSeek-V3, GPT-OSS",
     has_experts, mixture_of_experts},
    {"latent-attention", "keys and values through a latent, dense MLP", has_latent_attention, latent_attention},
    {"dense", "decoder-only transformer, GPT and Llama styles", is_dense, dense_transformer},
};

}  // namespace

std::span<const ModelFamily> model_families() { return families; }

const ModelFamily* family_of(const Architecture& model) {
  for (const ModelFamily& family : families) {
    if (family.accepts(model)) return &family;
  }
  return nullptr;
}

}  // namespace stepcast
