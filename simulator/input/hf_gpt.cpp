/// GPT and its kin: LayerNorm, one linear before the activation.

#include "simulator/input/hf_families.hpp"

namespace stepcast::hf {

void layer_norm(HfConfig& c, const char* position, bool bias, bool tied, bool shift) {
  c.set("norm", shift ? "layernorm" : "layernorm-without-shift");
  c.set("position", position);
  c.set("bias", bias);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", tied));
}

void gpt2(HfConfig& c) {
  c.copy("layers", "n_layer");
  c.copy("hidden", "n_embd");
  c.copy("heads", "n_head");
  c.copy("ffn", "n_inner", 4 * c.integer("n_embd"));
  c.copy("vocab", "vocab_size");
  c.copy("max_positions", "n_positions");
  c.set("activation", c.activation("activation_function", "gelu_new", false));
  layer_norm(c, "learned", true, true);
  c.copy_if_there("dropout", "resid_pdrop");
}

void gpt_neox(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "gelu", false));
  layer_norm(c, "rope", c.flag("attention_bias", true), false);
  c.set("parallel_block", c.flag("use_parallel_residual", true));
  c.set("dropout", c.text("hidden_dropout", "0"));
}

void phi(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "gelu_new", false));
  layer_norm(c, "rope", true, false);
  c.set("parallel_block", true);
  c.set("shared_norm", true);
  c.set("head_bias", true);
  c.set("dropout", c.text("resid_pdrop", "0"));
}

void opt(HfConfig& c) {
  if (c.integer("word_embed_proj_dim", c.integer("hidden_size")) != c.integer("hidden_size")) {
    throw c.error("word_embed_proj_dim", "embeddings of another width than the layers are not modelled");
  }
  add_sizes(c);
  c.copy("ffn", "ffn_dim");
  c.set("max_positions", c.integer("max_position_embeddings") + 2);  // two rows stand before the first position
  c.set("activation", c.activation("activation_function", "relu", false));
  layer_norm(c, "learned", c.flag("enable_bias", true), true);
  c.copy_if_there("dropout", "dropout");
}

void bloom(HfConfig& c) {
  c.copy("layers", c.has("n_layer") ? "n_layer" : "num_hidden_layers");
  const char* width = c.has("n_embed") ? "n_embed" : "hidden_size";
  c.copy("hidden", width);
  c.copy("heads", c.has("n_head") ? "n_head" : "num_attention_heads");
  c.set("ffn", 4 * c.integer(width));
  c.copy("vocab", "vocab_size");
  c.set("activation", "gelu");
  layer_norm(c, "alibi", true, true);
  c.set("embedding_norm", true);
  c.copy_if_there("dropout", "hidden_dropout");
}

void mpt(HfConfig& c) {
  c.copy("layers", "n_layers");
  c.copy("hidden", "d_model");
  c.copy("heads", "n_heads");
  c.set("ffn", c.integer("expansion_ratio", 4) * c.integer("d_model"));
  c.copy("vocab", "vocab_size");
  c.set("activation", "gelu");
  const YamlNode* attention = c.find("attn_config");
  const YamlNode* alibi = attention != nullptr ? attention->find("alibi") : nullptr;
  const bool plain = c.flag("no_bias", true);
  layer_norm(c, alibi == nullptr || alibi->text == "true" ? "alibi" : "learned", !plain, true, !plain);
  if (alibi != nullptr && alibi->text != "true") c.copy("max_positions", "max_seq_len");
  c.set("dropout", c.text("resid_pdrop", "0"));
}

void falcon(HfConfig& c) {
  c.copy("layers", c.has("num_hidden_layers") ? "num_hidden_layers" : "n_layer");
  c.copy("hidden", "hidden_size");
  const char* heads = c.has("num_attention_heads") ? "num_attention_heads" : "n_head";
  c.copy("heads", heads);
  const bool grouped = c.flag("new_decoder_architecture", false);
  const bool one = c.flag("multi_query", true);
  if (grouped) {
    c.copy("kv_heads", c.has("num_kv_heads") ? "num_kv_heads" : c.has("n_head_kv") ? "n_head_kv" : heads);
  } else {
    c.set("kv_heads", one ? 1 : c.integer(heads));
  }
  c.copy("ffn", "ffn_hidden_size", 4 * c.integer("hidden_size"));
  c.copy("vocab", "vocab_size");
  c.set("activation", "gelu");
  layer_norm(c, c.flag("alibi", false) ? "alibi" : "rope", c.flag("bias", false), true);
  c.set("parallel_block", c.flag("parallel_attn", true));
  c.set("shared_norm", c.flag("parallel_attn", true) && c.integer("num_ln_in_parallel_attn", grouped ? 2 : 1) == 1);
  c.set("dropout", c.text("hidden_dropout", "0"));
}

void starcoder2(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "gelu", false));
  layer_norm(c, "rope", c.flag("use_bias", true), true);
  add_window(c, 0);
  c.set("dropout", c.text("residual_dropout", "0"));
}

void nemotron(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "relu2", false));
  layer_norm(c, "rope", c.flag("mlp_bias", false), false);
  c.set("dropout", 0);
}

}  // namespace stepcast::hf
