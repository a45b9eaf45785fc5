#pragma once
/// What a model is, before anything is parallel: the fields of a model description.

#include <cstdint>
#include <optional>
#include <string>

namespace stepcast {

enum class Activation { gelu, relu, swiglu, geglu, squared_relu };
/// By what a norm learns: scale and shift, scale alone, nothing (OLMo, arXiv 2402.00838).
enum class NormKind { layernorm, rmsnorm, layernorm_without_shift, layernorm_without_weights };
double values_per_width(NormKind kind);  ///< 2, 1, 1, 0

/// relative: a table of buckets by distance, added to the scores (T5, arXiv 1910.10683)
enum class Position { learned, rope, alibi, relative, none };

/// Where norms stand: before attention and MLP, after them (OLMo-2; BERT after the sum, which costs the same), or both
/// (Gemma-2).
enum class NormPlace { before, after, both };

/// Queries and keys have a norm of their own: of each head (Qwen-3, Gemma-3), or of their whole width (OLMo-2).
enum class QueryKeyNorm { none, head, width };

/// What a model ends in: scores of the next token; the same behind one more linear and norm (BERT); one class a sequence.
enum class Head { language, masked_language, classes };

/// A routed mixture-of-experts MLP in place of the dense one.
struct MixtureOfExperts {
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
  std::int64_t expert_ffn = 0;
  std::int64_t shared_experts = 0;
  std::optional<std::int64_t> shared_ffn;  ///< total width of the shared experts
  bool shared_gate = false;                ///< the shared experts' sum is weighted by a score of its own (Qwen-2 MoE)
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

/// State-space layers: Mamba-2's (arXiv 2405.21060), or Mamba's (arXiv 2312.00752) where the step sizes have a rank.
struct StateSpace {
  std::int64_t heads = 0;
  std::int64_t head_dim = 64;    ///< P
  std::int64_t state = 128;      ///< N
  std::int64_t groups = 1;       ///< G: heads of a group share what they read and write the state by
  std::int64_t convolution = 4;  ///< tokens that the convolution before the scan sees
  std::int64_t chunk = 256;      ///< Q: tokens that are multiplied at once

  std::int64_t step_rank = 0;  ///< Mamba: of the projection to a step size a channel; 0: Mamba-2, one a head

  bool selective() const { return step_rank > 0; }
  std::int64_t inner() const { return heads * head_dim; }
  /// Width of x, and in Mamba-2 of B and C beside it.
  std::int64_t convolved() const { return inner() + (selective() ? 0 : 2 * groups * state); }
  /// Learned by the scan itself: decay, skip and step size of a head; in Mamba a decay a state, and a skip a channel.
  std::int64_t scan_values() const { return selective() ? inner() * (state + 1) : 3 * heads; }
};

/// What a layer of a pattern is: Megatron-LM's letters of `--hybrid-override-pattern`.
enum class LayerLetter : char { state_space = 'M', attention = '*', mlp = '-', experts = 'E' };

/// A transformer: decoder-only, encoder-only, or both; or a hybrid with state-space layers.
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
  bool parallel_block = false;    ///< attention and MLP side by side
  bool shared_norm = false;       ///< of a parallel block: one norm for both (GPT-J, Falcon-7B, Phi-2)
  bool embedding_norm = false;    ///< a norm right after the embedding (BLOOM)
  std::optional<double> dropout;  ///< 0: none; absent: not stated
  std::optional<std::int64_t> attention_window;
  std::optional<MixtureOfExperts> moe;
  std::optional<LatentAttention> mla;
  std::int64_t window_every = 1;     ///< the sliding window is in every n-th layer, the others see all (GPT-OSS: 2)
  std::int64_t full_every = 0;       ///< with a window: every n-th layer sees all tokens (Gemma-3: 6); 0: none
  std::int64_t predicted_ahead = 0;  ///< multi-token prediction modules (DeepSeek-V3: 1)
  NormPlace norm_place = NormPlace::before;
  QueryKeyNorm qk_norm = QueryKeyNorm::none;
  bool causal = true;               ///< tokens see those before them alone; false: all
  std::int64_t encoder_layers = 0;  ///< of `layers`, the first ones: what all later ones attend to (T5)
  Head head = Head::language;
  bool head_bias = false;         ///< the head's linear has a bias
  std::int64_t token_types = 0;   ///< rows of a table that tells sentences apart (BERT: 2)
  std::int64_t classes = 0;       ///< of Head::classes
  std::int64_t patch_inputs = 0;  ///< values of an image patch, when patches are embedded and not tokens (ViT)
  std::optional<StateSpace> ssm;
  std::string pattern;  ///< one LayerLetter a layer; empty: every layer is attention and an MLP

  bool gated() const { return activation == Activation::swiglu || activation == Activation::geglu; }

  /// Whether the attention of layer `index` has the window.
  bool windowed(std::int64_t index) const;

  /// Layers of the pattern with that letter; without a pattern all have attention, and experts or an MLP.
  std::int64_t layers_with(LayerLetter letter) const;
};

}  // namespace stepcast
