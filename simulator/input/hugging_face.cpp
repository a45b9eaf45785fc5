#include "simulator/input/hugging_face.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "simulator/input/hf_families.hpp"
#include "simulator/input/yaml_reader.hpp"

namespace stepcast {
namespace {

struct HfArchitecture {
  std::string_view name;
  std::string_view model_type;  ///< stands for the architecture where a configuration does not name it
  std::string_view description;
  void (*translate)(HfConfig&);
};

constexpr HfArchitecture architectures[] = {
    {"GPT2LMHeadModel", "gpt2", "GPT-2", hf::gpt2},
    {"GPTNeoXForCausalLM", "gpt_neox", "GPT-NeoX, Pythia", hf::gpt_neox},
    {"OPTForCausalLM", "opt", "OPT", hf::opt},
    {"BloomForCausalLM", "bloom", "BLOOM", hf::bloom},
    {"MptForCausalLM", "mpt", "MPT", hf::mpt},
    {"MPTForCausalLM", "", "MPT, as its makers call it", hf::mpt},
    {"FalconForCausalLM", "falcon", "Falcon", hf::falcon},
    {"RWForCausalLM", "RefinedWebModel", "Falcon, as its makers called it", hf::falcon},
    {"PhiForCausalLM", "phi", "Phi-1, Phi-2", hf::phi},
    {"Phi3ForCausalLM", "phi3", "Phi-3, Phi-4", hf::phi3},
    {"Starcoder2ForCausalLM", "starcoder2", "StarCoder-2", hf::starcoder2},
    {"NemotronForCausalLM", "nemotron", "Nemotron-3 and 4, Minitron", hf::nemotron},
    {"LlamaForCausalLM", "llama", "Llama, and the many that are built like it", hf::llama},
    {"MistralForCausalLM", "mistral", "Mistral", hf::mistral},
    {"MixtralForCausalLM", "mixtral", "Mixtral", hf::mixtral},
    {"Qwen2ForCausalLM", "qwen2", "Qwen-1.5, Qwen-2, Qwen-2.5", hf::qwen2},
    {"Qwen2MoeForCausalLM", "qwen2_moe", "Qwen-1.5 and 2 with experts", hf::qwen2_moe},
    {"Qwen3ForCausalLM", "qwen3", "Qwen-3", hf::qwen3},
    {"Qwen3MoeForCausalLM", "qwen3_moe", "Qwen-3 with experts", hf::qwen3_moe},
    {"DeepseekV2ForCausalLM", "deepseek_v2", "DeepSeek-V2", hf::deepseek},
    {"DeepseekV3ForCausalLM", "deepseek_v3", "DeepSeek-V3, Kimi K2, Moonlight", hf::deepseek},
    {"GemmaForCausalLM", "gemma", "Gemma", hf::gemma},
    {"Gemma2ForCausalLM", "gemma2", "Gemma-2", hf::gemma2},
    {"Gemma3ForCausalLM", "gemma3_text", "Gemma-3, text", hf::gemma3},
    {"Gemma3ForConditionalGeneration", "gemma3", "Gemma-3, its text part", hf::gemma3},
    {"OlmoForCausalLM", "olmo", "OLMo", hf::olmo},
    {"Olmo2ForCausalLM", "olmo2", "OLMo-2", hf::olmo2},
    {"OlmoeForCausalLM", "olmoe", "OLMoE", hf::olmoe},
    {"GptOssForCausalLM", "gpt_oss", "GPT-OSS", hf::gpt_oss},
    {"BertForMaskedLM", "bert", "BERT", hf::bert},
    {"BertForPreTraining", "", "BERT, without its second task", hf::bert},
    {"RobertaForMaskedLM", "roberta", "RoBERTa", hf::bert},
    {"T5ForConditionalGeneration", "t5", "T5, Flan-T5", hf::t5},
    {"MT5ForConditionalGeneration", "mt5", "mT5", hf::t5},
    {"ViTForImageClassification", "vit", "ViT", hf::vit},
    {"MambaForCausalLM", "mamba", "Mamba", hf::mamba},
    {"Mamba2ForCausalLM", "mamba2", "Mamba-2", hf::mamba2},
    {"NemotronHForCausalLM", "nemotron_h", "Nemotron-H, Nemotron-3: state spaces, attention, MLPs, experts",
     hf::nemotron_h},
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
