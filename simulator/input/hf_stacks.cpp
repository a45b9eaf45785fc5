/// Stacks that are no decoders: encoders, encoder-decoders, state spaces and hybrids.

#include <algorithm>

#include "simulator/input/hf_families.hpp"

namespace stepcast::hf {

// --- encoders ----------------------------------------------------------------------------------------------------

void bert(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.copy("max_positions", "max_position_embeddings");
  c.copy("token_types", "type_vocab_size", 2);
  c.set("activation", c.activation("hidden_act", "gelu", false));
  layer_norm(c, "learned", true, true);
  c.set("norm_place", "after");
  c.set("embedding_norm", true);
  c.set("causal", false);
  c.set("head", "masked-language");
  c.set("head_bias", true);
  c.set("dropout", c.text("hidden_dropout_prob", "0.1"));
}

void vit(HfConfig& c) {
  const std::int64_t patch = c.integer("patch_size", 16);
  const std::int64_t side = c.integer("image_size", 224) / std::max<std::int64_t>(patch, 1);
  c.copy("layers", "num_hidden_layers");
  c.copy("hidden", "hidden_size");
  c.copy("heads", "num_attention_heads");
  c.copy("ffn", "intermediate_size");
  c.set("patch_inputs", c.integer("num_channels", 3) * patch * patch);
  c.set("max_positions", side * side + 1);
  const YamlNode* labels = c.find("id2label");
  c.set("classes", labels != nullptr ? static_cast<std::int64_t>(labels->children.size()) : c.integer("num_labels", 2));
  c.set("activation", c.activation("hidden_act", "gelu", false));
  layer_norm(c, "learned", c.flag("qkv_bias", true), true);
  c.set("causal", false);
  c.set("head_bias", true);
  c.set("dropout", c.text("hidden_dropout_prob", "0"));
}

void t5(HfConfig& c) {
  const std::int64_t encoder = c.integer("num_layers");
  c.set("layers", encoder + c.integer("num_decoder_layers", encoder));
  c.set("encoder_layers", encoder);
  c.copy("hidden", "d_model");
  c.copy("heads", "num_heads");
  c.copy("head_dim", "d_kv");
  c.copy("ffn", "d_ff");
  c.copy("vocab", "vocab_size");
  const std::string mlp = c.text("feed_forward_proj", "relu");
  c.set("activation", mlp.starts_with("gated-") ? "geglu" : mlp == "relu" ? "relu" : "gelu");
  c.set("norm", "rmsnorm");
  c.set("position", "relative");
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", true));
  c.set("dropout", c.text("dropout_rate", "0.1"));
}

// --- state spaces ------------------------------------------------------------------------------------------------

namespace {

void add_state_space_map(HfConfig& c, const char* heads, const char* head_dim, const char* state) {
  c.begin_map("ssm");
  c.copy("heads", heads);
  c.copy("head_dim", head_dim, 64);
  c.copy("state", state, 128);
  c.copy("groups", "n_groups", 8);
  c.copy("convolution", "conv_kernel", 4);
  c.copy("chunk", "chunk_size", 256);
  c.end_map();
}

/// @param tied  what the software does where the configuration is silent
void add_state_space_stack(HfConfig& c, bool tied) {
  c.set("pattern", std::string(static_cast<std::size_t>(c.integer("num_hidden_layers")), 'M'));
  c.copy("hidden", "hidden_size");
  c.copy("vocab", "vocab_size");
  c.set("norm", "rmsnorm");
  c.set("position", "none");
  c.set("activation", "gelu");
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", tied));
  c.set("dropout", 0);
}

}  // namespace

/// A channel is a head of its own.
void mamba(HfConfig& c) {
  const std::int64_t hidden = c.integer("hidden_size");
  const bool automatic = c.text("time_step_rank", "auto") == "auto";
  add_state_space_stack(c, true);
  c.begin_map("ssm");
  c.set("heads", c.integer("intermediate_size", c.integer("expand", 2) * hidden));
  c.set("head_dim", 1);
  c.copy("state", "state_size", 16);
  c.copy("convolution", "conv_kernel", 4);
  c.set("step_rank", automatic ? (hidden + 15) / 16 : c.integer("time_step_rank"));
  c.end_map();
}

void mamba2(HfConfig& c) {
  add_state_space_stack(c, false);
  add_state_space_map(c, "num_heads", "head_dim", "state_size");
}

void nemotron_h(HfConfig& c) {
  const std::string pattern = c.text("hybrid_override_pattern", "");
  if (pattern.empty()) c.integer("hybrid_override_pattern");  // missing
  c.copy("pattern", "hybrid_override_pattern");
  c.copy("hidden", "hidden_size");
  c.copy("heads", "num_attention_heads");
  c.copy_if_there("kv_heads", "num_key_value_heads");
  c.copy("head_dim", c.has("attention_head_dim") ? "attention_head_dim" : "head_dim");
  if (pattern.find('-') != std::string::npos) c.copy("ffn", "intermediate_size");
  c.copy("vocab", "vocab_size");
  c.set("norm", "rmsnorm");
  c.set("position", "none");
  c.set("activation", c.activation("mlp_hidden_act", "relu2", false));
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
  add_state_space_map(c, "mamba_num_heads", "mamba_head_dim", "ssm_state_size");
  if (pattern.find('E') == std::string::npos) return;
  c.begin_map("moe");
  c.copy("experts", "n_routed_experts");
  c.copy("top_k", "num_experts_per_tok");
  c.copy("expert_ffn", "moe_intermediate_size");
  c.copy_if_there("shared_experts", "n_shared_experts");
  c.copy_if_there("shared_ffn", "moe_shared_expert_intermediate_size");
  c.set("moe_layers", static_cast<std::int64_t>(std::count(pattern.begin(), pattern.end(), 'E')));
  c.end_map();
}

}  // namespace stepcast::hf
