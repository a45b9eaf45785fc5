#pragma once
/// What a model is, before anything is parallel: the fields of a model description.

#include <cstdint>
#include <optional>
#include <string>

namespace stepcast {

enum class Activation { gelu, relu, swiglu, geglu, squared_relu };
enum class NormKind { layernorm, rmsnorm };
enum class Position { learned, rope, alibi, none };

/// A routed mixture-of-experts MLP in place of the dense one.
struct MixtureOfExperts {
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
  std::int64_t expert_ffn = 0;
  std::int64_t shared_experts = 0;
  std::optional<std::int64_t> shared_ffn;  ///< total width of the shared experts
  std::int64_t moe_layers = 0;
  std::optional<double> capacity_factor;  ///< absent: dropless
  std::int64_t groups = 1;                ///< of experts, one a node in the plans that they were made for ...
  std::int64_t groups_per_token = 1;      ///< ... of which a token visits so many at most (DeepSeek-V3: 4 of 8)

  /// Whether layer `index` of `layers` is routed. Where the routed ones are every n-th, they are spread so (Llama-4: the
  /// second of every two); else the dense ones come first (DeepSeek-V3: 3 of 61).
  bool routes(std::int64_t index, std::int64_t layers) const {
    if (moe_layers < layers && layers % moe_layers == 0) return (index + 1) % (layers / moe_layers) == 0;
    return index >= layers - moe_layers;
  }
};

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
struct LatentAttention {
  std::optional<std::int64_t> q_lora_rank;
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;
};

/// A decoder-only transformer.
struct Architecture {
  std::string name;
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  ///< = heads: multi-head; fewer: grouped-query; 1: multi-query
  std::int64_t head_dim = 0;
  std::optional<std::int64_t> ffn;  ///< per-gate width for gated activations; absent when every layer is routed
  std::int64_t vocab = 0;           ///< as published; a framework's padding comes on top
  std::int64_t max_positions = 0;   ///< rows of a learned position table; 0: the run's sequence length
  Activation activation = Activation::gelu;
  NormKind norm = NormKind::layernorm;
  Position position = Position::learned;
  bool bias = true;               ///< linear layers have biases
  bool qkv_bias = false;          ///< query, key and value alone have biases (Qwen-2)
  bool tied_embeddings = true;    ///< the LM head shares the input embedding
  bool parallel_block = false;    ///< attention and MLP side by side, one norm
  bool embedding_norm = false;    ///< a norm right after the embedding (BLOOM)
  std::optional<double> dropout;  ///< 0: none; absent: not stated
  std::optional<std::int64_t> attention_window;
  std::optional<MixtureOfExperts> moe;
  std::optional<LatentAttention> mla;
  std::int64_t window_every = 1;     ///< the sliding window is in every n-th layer, the others see all (GPT-OSS: 2)
  std::int64_t predicted_ahead = 0;  ///< multi-token prediction modules (DeepSeek-V3: 1)

  bool gated() const { return activation == Activation::swiglu || activation == Activation::geglu; }
};

}  // namespace stepcast
