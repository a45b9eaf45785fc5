#include "models/families.hpp"

namespace stepcast {
namespace {

bool has_experts(const Architecture& model) { return model.moe.has_value(); }
bool has_latent_attention(const Architecture& model) { return model.mla && model.ffn; }
bool is_dense(const Architecture& model) { return model.ffn.has_value(); }

/// The first that accepts builds.
constexpr ModelFamily families[] = {
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
