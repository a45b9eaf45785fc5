#include "simulator/input/hugging_face.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "simulator/input/hf_config.hpp"
#include "simulator/input/yaml_reader.hpp"

namespace stepcast {
namespace {

// Keys and their defaults: huggingface/transformers, src/transformers/models/*/configuration_*.py; what a layer consists
// of: modeling_*.py beside them.

// --- Llama and its kin -------------------------------------------------------------------------------------------

void add_sizes(HfConfig& c) {
  c.copy("layers", "num_hidden_layers");
  c.copy("hidden", "hidden_size");
  c.copy("heads", "num_attention_heads");
  c.copy_if_there("kv_heads", "num_key_value_heads");
  c.copy_if_there("head_dim", "head_dim");
  c.copy("vocab", "vocab_size");
}

/// Layers of one kind of attention, as newer configurations list them; the older ones leave it to the software.
void add_window(HfConfig& c, std::int64_t full_every) {
  if (!c.has("sliding_window") || !c.flag("use_sliding_window", true)) return;
  c.copy("attention_window", "sliding_window");
  if (full_every > 0) c.set("full_every", full_every);
}

void add_rms_norm_and_rope(HfConfig& c, bool tied) {
  c.set("norm", "rmsnorm");
  c.set("position", "rope");
  c.set("bias", false);
  c.set("qkv_bias", c.flag("attention_bias", false));
  c.set("tied_embeddings", c.flag("tie_word_embeddings", tied));
  c.set("dropout", 0);
}

void llama_like(HfConfig& c, bool tied = false) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, tied);
}

void llama(HfConfig& c) { llama_like(c); }
void mistral(HfConfig& c) {
  llama_like(c);
  add_window(c, 0);
}
void qwen2(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation("hidden_act", "silu", true));
  c.set("norm", "rmsnorm");
  c.set("position", "rope");
  c.set("bias", false);
  c.set("qkv_bias", true);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
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

void gemma_like(HfConfig& c) {
  add_sizes(c);
  c.copy("ffn", "intermediate_size");
  c.set("activation", c.activation(c.has("hidden_activation") ? "hidden_activation" : "hidden_act", "gelu", true));
  add_rms_norm_and_rope(c, true);
}
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
  add_rms_norm_and_rope(c, false);
  add_window(c, 0);
  c.begin_map("moe");
  c.copy("experts", "num_local_experts");
  c.copy("top_k", "num_experts_per_tok");
  c.copy("expert_ffn", "intermediate_size");
  c.set("moe_layers", c.integer("num_hidden_layers"));
  c.end_map();
}

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
  c.set("norm", "rmsnorm");
  c.set("position", "rope");
  c.set("bias", false);
  c.set("qkv_bias", shared);  // Qwen-2's; Qwen-3 has norms in their place
  if (!shared) c.set("qk_norm", "head");
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
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
void qwen2_moe(HfConfig& c) { qwen_experts(c, true); }
void qwen3_moe(HfConfig& c) { qwen_experts(c, false); }

void olmoe(HfConfig& c) {
  add_sizes(c);
  c.set("activation", c.activation("hidden_act", "silu", true));
  add_rms_norm_and_rope(c, false);
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
  c.set("norm", "rmsnorm");
  c.set("position", "rope");
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
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

// --- GPT and its kin ---------------------------------------------------------------------------------------------

void layer_norm(HfConfig& c, const char* position, bool bias, bool tied) {
  c.set("norm", "layernorm");
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
  layer_norm(c, alibi == nullptr || alibi->text == "true" ? "alibi" : "learned", !plain, true);
  if (plain) c.set("norm", "layernorm-without-shift");
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

/// A channel is a head of its own.
void mamba(HfConfig& c) {
  const std::int64_t hidden = c.integer("hidden_size");
  const bool automatic = c.text("time_step_rank", "auto") == "auto";
  c.set("pattern", std::string(static_cast<std::size_t>(c.integer("num_hidden_layers")), 'M'));
  c.copy("hidden", "hidden_size");
  c.copy("vocab", "vocab_size");
  c.set("norm", "rmsnorm");
  c.set("position", "none");
  c.set("activation", "gelu");
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", true));
  c.set("dropout", 0);
  c.begin_map("ssm");
  c.set("heads", c.integer("intermediate_size", c.integer("expand", 2) * hidden));
  c.set("head_dim", 1);
  c.copy("state", "state_size", 16);
  c.copy("convolution", "conv_kernel", 4);
  c.set("step_rank", automatic ? (hidden + 15) / 16 : c.integer("time_step_rank"));
  c.end_map();
}

void mamba2(HfConfig& c) {
  c.set("pattern", std::string(static_cast<std::size_t>(c.integer("num_hidden_layers")), 'M'));
  c.copy("hidden", "hidden_size");
  c.copy("vocab", "vocab_size");
  c.set("norm", "rmsnorm");
  c.set("position", "none");
  c.set("activation", "gelu");
  c.set("bias", false);
  c.set("tied_embeddings", c.flag("tie_word_embeddings", false));
  c.set("dropout", 0);
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

// --- the table ---------------------------------------------------------------------------------------------------

struct HfArchitecture {
  std::string_view name;
  std::string_view model_type;  ///< stands for the architecture where a configuration does not name it
  std::string_view description;
  void (*translate)(HfConfig&);
};

constexpr HfArchitecture architectures[] = {
    {"GPT2LMHeadModel", "gpt2", "GPT-2", gpt2},
    {"GPTNeoXForCausalLM", "gpt_neox", "GPT-NeoX, Pythia", gpt_neox},
    {"OPTForCausalLM", "opt", "OPT", opt},
    {"BloomForCausalLM", "bloom", "BLOOM", bloom},
    {"MptForCausalLM", "mpt", "MPT", mpt},
    {"MPTForCausalLM", "", "MPT, as its makers call it", mpt},
    {"FalconForCausalLM", "falcon", "Falcon", falcon},
    {"RWForCausalLM", "RefinedWebModel", "Falcon, as its makers called it", falcon},
    {"PhiForCausalLM", "phi", "Phi-1, Phi-2", phi},
    {"Phi3ForCausalLM", "phi3", "Phi-3, Phi-4", phi3},
    {"Starcoder2ForCausalLM", "starcoder2", "StarCoder-2", starcoder2},
    {"NemotronForCausalLM", "nemotron", "Nemotron-3 and 4, Minitron", nemotron},
    {"LlamaForCausalLM", "llama", "Llama, and the many that are built like it", llama},
    {"MistralForCausalLM", "mistral", "Mistral", mistral},
    {"MixtralForCausalLM", "mixtral", "Mixtral", mixtral},
    {"Qwen2ForCausalLM", "qwen2", "Qwen-1.5, Qwen-2, Qwen-2.5", qwen2},
    {"Qwen2MoeForCausalLM", "qwen2_moe", "Qwen-1.5 and 2 with experts", qwen2_moe},
    {"Qwen3ForCausalLM", "qwen3", "Qwen-3", qwen3},
    {"Qwen3MoeForCausalLM", "qwen3_moe", "Qwen-3 with experts", qwen3_moe},
    {"DeepseekV2ForCausalLM", "deepseek_v2", "DeepSeek-V2", deepseek},
    {"DeepseekV3ForCausalLM", "deepseek_v3", "DeepSeek-V3, Kimi K2, Moonlight", deepseek},
    {"GemmaForCausalLM", "gemma", "Gemma", gemma},
    {"Gemma2ForCausalLM", "gemma2", "Gemma-2", gemma2},
    {"Gemma3ForCausalLM", "gemma3_text", "Gemma-3, text", gemma3},
    {"Gemma3ForConditionalGeneration", "gemma3", "Gemma-3, its text part", gemma3},
    {"OlmoForCausalLM", "olmo", "OLMo", olmo},
    {"Olmo2ForCausalLM", "olmo2", "OLMo-2", olmo2},
    {"OlmoeForCausalLM", "olmoe", "OLMoE", olmoe},
    {"GptOssForCausalLM", "gpt_oss", "GPT-OSS", gpt_oss},
    {"BertForMaskedLM", "bert", "BERT", bert},
    {"BertForPreTraining", "", "BERT, without its second task", bert},
    {"RobertaForMaskedLM", "roberta", "RoBERTa", bert},
    {"T5ForConditionalGeneration", "t5", "T5, Flan-T5", t5},
    {"MT5ForConditionalGeneration", "mt5", "mT5", t5},
    {"ViTForImageClassification", "vit", "ViT", vit},
    {"MambaForCausalLM", "mamba", "Mamba", mamba},
    {"Mamba2ForCausalLM", "mamba2", "Mamba-2", mamba2},
    {"NemotronHForCausalLM", "nemotron_h", "Nemotron-H, Nemotron-3: state spaces, attention, MLPs, experts",
     nemotron_h},
};

/// "Qwen2VLForConditionalGeneration" to "qwen2vl": what tells one from another.
std::string stem_of(std::string_view architecture) {
  for (const std::string_view task : {"For", "LMHead", "Model"}) {
    if (const std::size_t at = architecture.find(task); at != std::string_view::npos && at > 0) {
      architecture = architecture.substr(0, at);
    }
  }
  std::string stem(architecture);
  std::transform(stem.begin(), stem.end(), stem.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return stem;
}

std::size_t common_prefix(std::string_view one, std::string_view other) {
  const auto [end, ignored] = std::mismatch(one.begin(), one.end(), other.begin(), other.end());
  return static_cast<std::size_t>(end - one.begin());
}

/// The one that begins alike for longest, else the nearest by its letters, else the most common of all.
std::string nearest_architecture(std::string_view name) {
  const std::string stem = stem_of(name);
  const HfArchitecture* nearest = nullptr;
  std::size_t longest = 2;
  std::vector<std::string> stems;
  for (const HfArchitecture& row : architectures) {
    stems.push_back(stem_of(row.name));
    const std::size_t common = common_prefix(stem, stems.back());
    if (common > longest) {
      longest = common;
      nearest = &row;
    }
  }
  if (nearest != nullptr) return std::string(nearest->name);
  const std::string alike = nearest_name(stem, stems);
  const auto found = std::find(stems.begin(), stems.end(), alike);
  return found == stems.end() ? "LlamaForCausalLM" : std::string(architectures[found - stems.begin()].name);
}

const HfArchitecture& architecture_of(const YamlNode& config) {
  const YamlNode* list = config.find("architectures");
  const YamlNode* named = list != nullptr && !list->children.empty() ? &list->children.front() : nullptr;
  const YamlNode* type = config.find("model_type");
  for (const HfArchitecture& row : architectures) {
    if (named != nullptr ? row.name == named->text : type != nullptr && row.model_type == type->text) return row;
  }
  if (named == nullptr && type == nullptr) {
    throw UserError(Location{config.source->name},
                    "this is no Hugging Face configuration: it has neither 'architectures' nor 'model_type'");
  }
  const YamlNode& said = named != nullptr ? *named : *type;
  throw error_at(said,
                 fmt::format("unknown Hugging Face architecture '{}'; the nearest known one is '{}' (all of them: "
                             "stepcast list hf)",
                             said.text, nearest_architecture(said.text)));
}

}  // namespace

std::vector<PresetInfo> list_hugging_face() {
  std::vector<PresetInfo> rows;
  for (const HfArchitecture& row : architectures) rows.push_back({std::string(row.name), std::string(row.description)});
  return rows;
}

YamlNode hugging_face_model(const YamlNode& config) {
  check_is_map(YamlValue(config, ""));
  const HfArchitecture& architecture = architecture_of(config);
  HfConfig translated(config, std::string(architecture.name));
  architecture.translate(translated);
  return translated.take();
}

}  // namespace stepcast
