/// Llama and its kin: RMSNorm, rotary positions, gated MLPs or experts.

#include <algorithm>

#include "simulator/input/hf_families.hpp"

namespace stepcast::hf {

void add_sizes(HfConfig& c) {
  c.copy("layers", "num_hidden_layers");
  c.copy("hidden", "hidden_size");
  c.copy("heads", "num_attention_heads");
  c.copy_if_there("kv_heads", "num_key_value_heads");
  c.copy_if_there("head_dim", "head_dim");
  c.copy("vocab", "vocab_size");
}

void add_window(HfConfig& c, std::int64_t full_every) {
  if (!c.has("sliding_window") || !c.flag("use_sliding_window", true)) return;
  c.copy("attention_window", "sliding_window");
  if (full_every > 0) c.set("full_every", full_every);
}

namespace {

/// @param tied      what the software does where the configuration is silent
/// @param qkv_bias  queries, keys and values have biases
void add_rms_norm_and_rope(HfConfig& c, bool tied, bool qkv_bias) {
  c.set("norm", "rmsnorm");
  c.set("position", "rope");
  c.set("bias", false);
  c.set("qkv_bias", qkv_bias);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", tied));
  c.set("dropout", 0);
}

void llama_like(HfConfig& c, bool tied = false) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, tied, c.flag("attention_bias", false));
}

}  // namespace

void llama(HfConfig& c) { llama_like(c); }
void mistral(HfConfig& c) {
  llama_like(c);
  add_window(c, 0);
}
void qwen2(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, false, true);
}
void qwen3(HfConfig& c) {
  llama_like(c);
  c.set("qk_norm", "head");
}
void phi3(HfConfig& c) { llama_like(c); }
void olmo(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  c.set("norm", "layernorm-without-weights");
  c.set("position", "rope");
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
}
void olmo2(HfConfig& c) {
  llama_like(c);
  c.set("qk_norm", "width");
  c.set("norm_place", "after");
}

// --- Gemma -------------------------------------------------------------------------------------------------------

namespace {

void gemma_like(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation(c.has("hidden_activation") ? "hidden_activation" : "hidden_act", "gelu", true));
  add_rms_norm_and_rope(c, true, c.flag("attention_bias", false));
}

}  // namespace

void gemma(HfConfig& c) { gemma_like(c); }
void gemma2(HfConfig& c) {
  gemma_like(c);
  c.set("norm_place", "both");
  add_window(c, 2);
}
void gemma3(HfConfig& c) {
  gemma_like(c);
  c.set("norm_place", "both");
  c.set("qk_norm", "head");
  add_window(c, c.integer("sliding_window_pattern", 6));
}

// --- mixtures of experts -----------------------------------------------------------------------------------------

void mixtral(HfConfig& c) {
  add_sizes(c);
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, false, c.flag("attention_bias", false));
  add_window(c, 0);
  c.begin_map("moe");
  c.copy("experts", "num_local_experts");
  c.copy("top_k", "num_experts_per_tok");
  c.copy("expert_ffn", "intermediate_size");
  c.set("moe_layers", c.integer("num_hidden_layers"));
  c.end_map();
}

namespace {

/// Every `decoder_sparse_step`-th layer has experts, but those that are listed have not.
std::int64_t sparse_layers(const HfConfig& c) {
  const std::int64_t every = c.integer("decoder_sparse_step", 1);
  const YamlNode* dense = c.find("mlp_only_layers");
  const auto listed = dense != nullptr ? static_cast<std::int64_t>(dense->children.size()) : 0;
  return c.integer("num_hidden_layers") / std::max<std::int64_t>(every, 1) - listed;
}

void qwen_experts(HfConfig& c, bool shared) {
  add_sizes(c);
  if (sparse_layers(c) < c.integer("num_hidden_layers")) c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, false, shared);  // Qwen-2 has biases, Qwen-3 norms in their place
  if (!shared) c.set("qk_norm", "head");
  c.begin_map("moe");
  c.copy("experts", "num_experts");
  c.copy("top_k", "num_experts_per_tok");
  c.copy("expert_ffn", "moe_intermediate_size");
  if (shared) {
    c.set("shared_experts", 1);
    c.copy("shared_ffn", "shared_expert_intermediate_size");
    c.set("shared_gate", true);
  }
  c.set("moe_layers", sparse_layers(c));
  c.end_map();
}

}  // namespace

void qwen2_moe(HfConfig& c) { qwen_experts(c, true); }
void qwen3_moe(HfConfig& c) { qwen_experts(c, false); }

void olmoe(HfConfig& c) {
  add_sizes(c);
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, false, c.flag("attention_bias", false));
  c.set("qk_norm", "width");
  c.begin_map("moe");
  c.copy("experts", "num_experts");
  c.copy("top_k", "num_experts_per_tok");
  c.copy("expert_ffn", "intermediate_size");
  c.set("moe_layers", c.integer("num_hidden_layers"));
  c.end_map();
}

/// V2 and V3 differ in how experts are scored, which costs the same. Modules for further tokens are no part of the model
/// that the software builds: `mtp_layers` beside `hf` adds them.
void deepseek(HfConfig& c) {
  c.copy("layers", "num_hidden_layers");
  c.copy("hidden", "hidden_size");
  c.copy("heads", "num_attention_heads");
  c.copy("head_dim", "v_head_dim");
  c.copy("vocab", "vocab_size");
  const std::int64_t layers = c.integer("num_hidden_layers");
  const std::int64_t dense = c.has("n_routed_experts") ? c.integer("first_k_dense_replace", 0) : layers;
  if (dense > 0) c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, false, false);
  c.begin_map("mla");
  c.copy_if_there("q_lora_rank", "q_lora_rank");
  for (const char* key : {"kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"}) c.copy(key, key);
  c.end_map();
  if (dense == layers) return;
  c.begin_map("moe");
  c.copy("experts", "n_routed_experts");
  c.copy("top_k", "num_experts_per_tok");
  c.copy("expert_ffn", "moe_intermediate_size");
  c.copy_if_there("shared_experts", "n_shared_experts");
  c.copy_if_there("groups", "n_group");
  if (c.has("n_group")) c.copy_if_there("groups_per_token", "topk_group");
  c.set("moe_layers", layers - dense);
  c.end_map();
}

void gpt_oss(HfConfig& c) {
  add_sizes(c);
  c.set("activation", c.activation("hidden_act", "silu", true));
  c.set("norm", "rmsnorm");
  c.set("position", "rope");
  c.set("bias", true);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
  add_window(c, 2);
  c.begin_map("moe");
  c.copy("experts", "num_local_experts");
  c.copy("top_k", c.has("num_experts_per_tok") ? "num_experts_per_tok" : "experts_per_token");
  c.copy("expert_ffn", "intermediate_size");
  c.set("moe_layers", c.integer("num_hidden_layers"));
  c.end_map();
}

}  // namespace stepcast::hf
