#pragma once
/// What each Hugging Face architecture means in our keys, and what many of them share. Keys and their defaults are those
/// of huggingface/transformers, src/transformers/models/*/configuration_*.py; what a layer consists of is in the
/// modeling_*.py beside them.

#include <cstdint>

#include "simulator/input/hf_config.hpp"

namespace stepcast::hf {

/// Layers, widths, heads and vocabulary by their usual names.
void add_sizes(HfConfig& c);

/// The sliding window, where it is in use.
/// @param full_every  every n-th layer sees all tokens; 0: none does
void add_window(HfConfig& c, std::int64_t full_every);

/// @param shift  norms have one beside their scale
void layer_norm(HfConfig& c, const char* position, bool bias, bool tied, bool shift = true);

// Llama and its kin, with experts or without: hf_llama.cpp
void llama(HfConfig& c);
void mistral(HfConfig& c);
void qwen2(HfConfig& c);
void qwen3(HfConfig& c);
void phi3(HfConfig& c);
void olmo(HfConfig& c);
void olmo2(HfConfig& c);
void gemma(HfConfig& c);
void gemma2(HfConfig& c);
void gemma3(HfConfig& c);
void mixtral(HfConfig& c);
void qwen2_moe(HfConfig& c);
void qwen3_moe(HfConfig& c);
void olmoe(HfConfig& c);
void deepseek(HfConfig& c);
void gpt_oss(HfConfig& c);

// GPT and its kin: hf_gpt.cpp
void gpt2(HfConfig& c);
void gpt_neox(HfConfig& c);
void phi(HfConfig& c);
void opt(HfConfig& c);
void bloom(HfConfig& c);
void mpt(HfConfig& c);
void falcon(HfConfig& c);
void starcoder2(HfConfig& c);
void nemotron(HfConfig& c);

// Encoders, encoder-decoders and state spaces: hf_stacks.cpp
void bert(HfConfig& c);
void vit(HfConfig& c);
void t5(HfConfig& c);
void mamba(HfConfig& c);
void mamba2(HfConfig& c);
void nemotron_h(HfConfig& c);

}  // namespace stepcast::hf
