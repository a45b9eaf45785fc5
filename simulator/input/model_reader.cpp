#include "simulator/input/model_reader.hpp"

#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "simulator/input/hugging_face.hpp"
#include "simulator/input/input.hpp"
#include "simulator/input/scenario_keys.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

constexpr IntegerRange layer_range{1, 100'000};
constexpr IntegerRange width_range{1, 10'000'000};
constexpr IntegerRange heads_range{1, 1'000'000};
constexpr IntegerRange vocab_range{1, 100'000'000};
constexpr IntegerRange experts_range{1, 1'000'000};
constexpr IntegerRange tokens_range{1, 1'000'000'000};

constexpr std::pair<std::string_view, Activation> activations[] = {{"gelu", Activation::gelu},
                                                                   {"relu", Activation::relu},
                                                                   {"swiglu", Activation::swiglu},
                                                                   {"geglu", Activation::geglu},
                                                                   {"squared_relu", Activation::squared_relu}};
constexpr std::pair<std::string_view, NormKind> norms[] = {
    {"layernorm", NormKind::layernorm},
    {"rmsnorm", NormKind::rmsnorm},
    {"layernorm-without-shift", NormKind::layernorm_without_shift},
    {"layernorm-without-weights", NormKind::layernorm_without_weights}};
constexpr std::pair<std::string_view, NormPlace> norm_places[] = {
    {"before", NormPlace::before}, {"after", NormPlace::after}, {"both", NormPlace::both}};
constexpr std::pair<std::string_view, QueryKeyNorm> query_key_norms[] = {
    {"none", QueryKeyNorm::none}, {"head", QueryKeyNorm::head}, {"width", QueryKeyNorm::width}};
constexpr std::pair<std::string_view, Head> heads_of_models[] = {
    {"language", Head::language}, {"masked-language", Head::masked_language}, {"classes", Head::classes}};
constexpr std::pair<std::string_view, Position> positions[] = {{"learned", Position::learned},
                                                               {"rope", Position::rope},
                                                               {"alibi", Position::alibi},
                                                               {"relative", Position::relative},
                                                               {"none", Position::none}};

template <class Enum, std::size_t N>
Enum named(const std::pair<std::string_view, Enum> (&table)[N], std::string_view name) {
  for (const auto& [text, value] : table) {
    if (text == name) return value;
  }
  CHECK(false, "the vocabulary's choices have an enumerator each");
  return table[0].second;
}

template <class Enum, std::size_t N>
std::string_view name_of(const std::pair<std::string_view, Enum> (&table)[N], Enum value) {
  for (const auto& [text, named_value] : table) {
    if (named_value == value) return text;
  }
  CHECK(false, "every enumerator has a name");
  return {};
}

std::optional<std::int64_t> find_integer(YamlMap& map, const std::string& key, IntegerRange range) {
  const auto value = map.find(key);
  return value ? std::optional(value->integer(range)) : std::nullopt;
}

// --- parts -------------------------------------------------------------------------------------------------------

std::int64_t read_kv_heads(YamlMap& map, std::int64_t heads, Defaults& defaults) {
  const std::int64_t kv_heads = defaults.integer(map, "kv_heads", {1, heads}, heads);
  if (heads % kv_heads != 0) {
    throw map.require("kv_heads")
        .error(fmt::format("{}.kv_heads: {} heads do not divide by {}", map.path(), heads, kv_heads));
  }
  return kv_heads;
}

std::int64_t read_head_dim(YamlMap& map, const Architecture& model, Defaults& defaults) {
  if (const auto value = map.find("head_dim")) return value->integer(width_range);
  if (model.hidden % model.heads != 0) {
    throw map.require("heads").error(fmt::format("{}.head_dim is missing, and hidden {} does not divide by {} heads",
                                                 map.path(), model.hidden, model.heads));
  }
  defaults.take(map, "head_dim", std::to_string(model.hidden / model.heads), "hidden / heads");
  return model.hidden / model.heads;
}

MixtureOfExperts read_moe(const YamlValue& value, std::int64_t layers, Defaults& defaults) {
  YamlMap map(value, scenario_vocabulary(value.path()));
  MixtureOfExperts moe;
  moe.experts = map.require("experts").integer(experts_range);
  moe.top_k = map.require("top_k").integer({1, moe.experts});
  moe.expert_ffn = map.require("expert_ffn").integer(width_range);
  moe.shared_experts = defaults.integer(map, "shared_experts", {0, experts_range.highest}, 0);
  moe.shared_ffn = find_integer(map, "shared_ffn", {0, width_range.highest});
  if (!moe.shared_ffn && moe.shared_experts > 0) {
    moe.shared_ffn = moe.shared_experts * moe.expert_ffn;
    defaults.take(map, "shared_ffn", std::to_string(*moe.shared_ffn), "shared_experts x expert_ffn");
  }
  const auto gate = map.find("shared_gate");
  moe.shared_gate = gate && gate->boolean();
  moe.moe_layers = defaults.integer(map, "moe_layers", {1, layers}, layers);
  if (const auto factor = map.find("capacity_factor")) moe.capacity_factor = factor->number({0, 1000});
  moe.groups = find_integer(map, "groups", {1, moe.experts}).value_or(1);
  moe.groups_per_token = find_integer(map, "groups_per_token", {1, moe.groups}).value_or(moe.groups);
  if (moe.experts % moe.groups != 0) {
    throw map.require("groups").error(
        fmt::format("{}.groups: {} experts do not divide by {}", map.path(), moe.experts, moe.groups));
  }
  if (moe.groups_per_token * (moe.experts / moe.groups) < moe.top_k) {
    throw map.require("groups_per_token")
        .error(fmt::format("{}.groups_per_token: {} groups of {} experts are fewer than top_k {}", map.path(),
                           moe.groups_per_token, moe.experts / moe.groups, moe.top_k));
  }
  map.finish();
  return moe;
}

LatentAttention read_mla(const YamlValue& value) {
  YamlMap map(value, scenario_vocabulary(value.path()));
  LatentAttention mla;
  mla.q_lora_rank = find_integer(map, "q_lora_rank", width_range);
  mla.kv_lora_rank = map.require("kv_lora_rank").integer(width_range);
  mla.qk_nope_head_dim = map.require("qk_nope_head_dim").integer(width_range);
  mla.qk_rope_head_dim = map.require("qk_rope_head_dim").integer({0, width_range.highest});
  mla.v_head_dim = map.require("v_head_dim").integer(width_range);
  map.finish();
  return mla;
}

StateSpace read_state_space(const YamlValue& value) {
  YamlMap map(value, scenario_vocabulary(value.path()));
  StateSpace ssm;
  ssm.heads = map.require("heads").integer(heads_range);
  ssm.head_dim = find_integer(map, "head_dim", width_range).value_or(ssm.head_dim);
  ssm.state = find_integer(map, "state", width_range).value_or(ssm.state);
  ssm.groups = find_integer(map, "groups", {1, ssm.heads}).value_or(ssm.groups);
  ssm.convolution = find_integer(map, "convolution", {1, 1024}).value_or(ssm.convolution);
  ssm.chunk = find_integer(map, "chunk", tokens_range).value_or(ssm.chunk);
  ssm.step_rank = find_integer(map, "step_rank", {0, width_range.highest}).value_or(0);
  map.finish();
  return ssm;
}

/// One letter a layer, each of a part that the model describes.
void read_pattern(YamlMap& map, Architecture& model) {
  const auto pattern = map.find("pattern");
  const auto ssm = map.find("ssm");
  if (ssm) model.ssm = read_state_space(*ssm);
  if (!pattern) {
    if (ssm) throw ssm->error(map.path() + ".ssm needs a pattern that says which layers are state-space layers");
    return;
  }
  model.pattern = pattern->text();
  if (model.pattern.empty() || model.pattern.find_first_not_of("M*-E") != std::string::npos) {
    throw pattern->must_be("letters of M (state space), * (attention), - (MLP) and E (experts)");
  }
  const bool state_space = model.layers_with(LayerLetter::state_space) > 0;
  if (state_space && !ssm)
    throw pattern->error(map.path() + ".pattern has state-space layers (M), but there is no ssm");
  if (!state_space) throw pattern->error(map.path() + ".pattern has no state-space layer (M)");
}

/// Layers of experts, whatever the dense ones are.
std::int64_t routed_layers(const YamlMap& map, const Architecture& model) {
  const std::int64_t experts = model.layers_with(LayerLetter::experts);
  if (!model.pattern.empty() && (experts > 0) != model.moe.has_value()) {
    throw map.error(map.path() + ".pattern and moe disagree: experts (E) need a moe, and it needs them");
  }
  return experts;
}

/// The sizes of a layer.
void read_sizes(YamlMap& map, Architecture& model, Defaults& defaults) {
  read_pattern(map, model);
  const auto pattern_length = static_cast<std::int64_t>(model.pattern.size());
  model.layers = model.pattern.empty()
                     ? map.require("layers").integer(layer_range)
                     : find_integer(map, "layers", {pattern_length, pattern_length}).value_or(pattern_length);
  model.hidden = map.require("hidden").integer(width_range);
  if (model.layers_with(LayerLetter::attention) > 0) {
    model.heads = map.require("heads").integer(heads_range);
    model.kv_heads = read_kv_heads(map, model.heads, defaults);
    model.head_dim = read_head_dim(map, model, defaults);
  } else {
    for (const char* key : {"heads", "kv_heads", "head_dim"}) map.skip(key);
  }
  model.classes = find_integer(map, "classes", vocab_range).value_or(0);
  model.vocab = model.classes == 0 ? map.require("vocab").integer(vocab_range)
                                   : find_integer(map, "vocab", {0, vocab_range.highest}).value_or(0);
  model.ffn = find_integer(map, "ffn", width_range);
  model.encoder_layers = find_integer(map, "encoder_layers", {0, model.layers - 1}).value_or(0);
  if (const auto moe = map.find("moe")) model.moe = read_moe(*moe, model.layers, defaults);
  if (!model.pattern.empty() && routed_layers(map, model) > 0) model.moe->moe_layers = routed_layers(map, model);
  if (const auto mla = map.find("mla")) model.mla = read_mla(*mla);
  model.predicted_ahead = find_integer(map, "mtp_layers", {0, 16}).value_or(0);
  const std::int64_t dense_layers = model.layers_with(LayerLetter::mlp);
  if (!model.ffn && dense_layers > 0) {
    throw map.error(
        fmt::format("{}.ffn is missing: {} of {} layers have a dense MLP", map.path(), dense_layers, model.layers));
  }
}

/// What a layer is made of. Where the scenario is silent, the norm tells GPT's family from Llama's.
void read_composition(YamlMap& map, Architecture& model, Defaults& defaults) {
  model.norm = named(norms, defaults.choice(map, "norm", "layernorm"));
  const bool llama_like = model.norm == NormKind::rmsnorm;
  model.activation = named(activations, defaults.choice(map, "activation", llama_like ? "swiglu" : "gelu"));
  model.position = named(positions, defaults.choice(map, "position", llama_like ? "rope" : "learned"));
  model.bias = defaults.boolean(map, "bias", !llama_like);
  model.tied_embeddings = defaults.boolean(map, "tied_embeddings", !llama_like);
  model.attention_window = find_integer(map, "attention_window", tokens_range);
  model.window_every = find_integer(map, "window_every", {1, layer_range.highest}).value_or(1);
  model.full_every = find_integer(map, "full_every", {0, layer_range.highest}).value_or(0);
  model.max_positions = find_integer(map, "max_positions", tokens_range).value_or(0);
  model.norm_place = named(norm_places, find_choice(map, "norm_place").value_or("before"));
  model.qk_norm = named(query_key_norms, find_choice(map, "qk_norm").value_or("none"));
  model.head = named(heads_of_models, find_choice(map, "head").value_or(model.classes > 0 ? "classes" : "language"));
  if ((model.head == Head::classes) != (model.classes > 0)) {
    throw map.error(map.path() + ": head 'classes' and a number of classes go together");
  }
  model.token_types = find_integer(map, "token_types", {0, vocab_range.highest}).value_or(0);
  model.patch_inputs = find_integer(map, "patch_inputs", {0, width_range.highest}).value_or(0);
  const auto causal = map.find("causal");
  model.causal = !causal || causal->boolean();
  if (const auto dropout = map.find("dropout")) model.dropout = dropout->number({0, 1});
  // Rare traits, false wherever nobody speaks of them: not worth a line of the report.
  for (auto [key, trait] : {std::pair{"qkv_bias", &model.qkv_bias},
                            {"parallel_block", &model.parallel_block},
                            {"shared_norm", &model.shared_norm},
                            {"head_bias", &model.head_bias},
                            {"embedding_norm", &model.embedding_norm}}) {
    const auto value = map.find(key);
    *trait = value && value->boolean();
  }
}

Architecture read_map(const YamlNode& tree, const std::string& name, Defaults& defaults) {
  const YamlValue value(tree, "model");
  YamlMap map(value, scenario_vocabulary("model"));
  for (const char* key : {"hf", "extends", "description", "source", "published_parameters",
                          "published_active_parameters", "published_parameters_tolerance"}) {
    map.skip(key);
  }

  Architecture model;
  const auto own_name = map.find("name");
  model.name = own_name ? own_name->text() : name;
  read_sizes(map, model, defaults);
  read_composition(map, model, defaults);
  map.finish();
  return model;
}

/// The file beside the one that names it, else in the working directory.
YamlNode load_config(const YamlValue& path) {
  const fs::path beside = fs::path(path.node().source->folder) / path.text();
  std::error_code ignored;
  if (fs::exists(beside, ignored)) return load_yaml(beside.string());
  if (fs::exists(path.text(), ignored)) return load_yaml(path.text());
  throw path.error(fmt::format("there is no file {}", beside.string()));
}

/// Folders of models are named for them; the file in them never is.
std::string name_of_config(const std::string& path) {
  const fs::path file(path);
  const std::string folder = file.parent_path().filename().string();
  return file.filename() == "config.json" && !folder.empty() ? folder : file.stem().string();
}

/// What the map beside `hf` says goes before what the configuration says.
Architecture read_hugging_face(const YamlValue& path, YamlNode map, Defaults& defaults) {
  map.erase("hf");
  const std::string name = name_of_config(path.text());
  return read_map(extended(map, hugging_face_model(load_config(path)), name), name, defaults);
}

}  // namespace

Architecture read_model(const YamlValue& model, PresetStore& presets, Defaults& defaults) {
  if (model.is_scalar() && model.text().ends_with(".json")) {
    YamlNode nothing = model.node();
    nothing.kind = YamlNode::Kind::map;
    return read_hugging_face(model, std::move(nothing), defaults);
  }
  if (model.is_scalar()) {
    return read_map(presets.tree(PresetKind::model, model), PresetStore::stem(model), defaults);
  }
  if (!model.is_map()) throw model.must_be("a preset's name, a path or a map");
  const YamlNode* extends = model.node().find("extends");
  if (const YamlNode* hf = model.node().find("hf"); hf != nullptr && hf->kind != YamlNode::Kind::null) {
    if (extends != nullptr) throw error_at_key(*hf, "model.hf and model.extends exclude each other");
    return read_hugging_face(YamlValue(*hf, "model.hf"), model.node(), defaults);
  }
  const std::string name = extends != nullptr ? extends->text : "model";
  return read_map(presets.with_base(PresetKind::model, model.node()), name, defaults);
}

namespace {

/// "{a: 1, b: 2}" of what is given.
class FlowMap {
 public:
  template <class T>
  FlowMap& add(std::string_view key, const T& value) {
    text_ += fmt::format("{}{}: {}", text_.empty() ? "" : ", ", key, value);
    return *this;
  }
  template <class T>
  FlowMap& add(std::string_view key, const std::optional<T>& value) {
    return value ? add(key, *value) : *this;
  }
  template <class T>
  FlowMap& unless(std::string_view key, const T& value, const T& usual) {
    return value == usual ? *this : add(key, value);
  }
  std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string moe_text(const MixtureOfExperts& moe, std::int64_t layers, bool pattern) {
  FlowMap map;
  map.add("experts", moe.experts).add("top_k", moe.top_k).add("expert_ffn", moe.expert_ffn);
  map.unless("shared_experts", moe.shared_experts, std::int64_t{0}).add("shared_ffn", moe.shared_ffn);
  map.unless("shared_gate", moe.shared_gate, false);
  if (!pattern) map.unless("moe_layers", moe.moe_layers, layers);
  map.add("capacity_factor", moe.capacity_factor);
  return map.unless("groups", moe.groups, std::int64_t{1})
      .unless("groups_per_token", moe.groups_per_token, moe.groups)
      .text();
}

std::string mla_text(const LatentAttention& mla) {
  return FlowMap()
      .add("q_lora_rank", mla.q_lora_rank)
      .add("kv_lora_rank", mla.kv_lora_rank)
      .add("qk_nope_head_dim", mla.qk_nope_head_dim)
      .add("qk_rope_head_dim", mla.qk_rope_head_dim)
      .add("v_head_dim", mla.v_head_dim)
      .text();
}

std::string ssm_text(const StateSpace& ssm) {
  return FlowMap()
      .add("heads", ssm.heads)
      .add("head_dim", ssm.head_dim)
      .add("state", ssm.state)
      .add("groups", ssm.groups)
      .add("convolution", ssm.convolution)
      .add("chunk", ssm.chunk)
      .unless("step_rank", ssm.step_rank, std::int64_t{0})
      .text();
}

}  // namespace

std::string model_text(const Architecture& model) {
  std::string text;
  const auto add = [&text](std::string_view key, const auto& value) { text += fmt::format("{}: {}\n", key, value); };
  const auto add_found = [&](std::string_view key, const auto& value) {
    if (value) add(key, *value);
  };
  const auto unless = [&](std::string_view key, const auto& value, const auto& usual) {
    if (value != usual) add(key, value);
  };
  add("name", yaml_quoted(model.name));
  if (model.pattern.empty()) add("layers", model.layers);
  add("hidden", model.hidden);
  if (model.layers_with(LayerLetter::attention) > 0) {
    add("heads", model.heads);
    add("kv_heads", model.kv_heads);
    add("head_dim", model.head_dim);
  }
  add_found("ffn", model.ffn);
  unless("vocab", model.vocab, 0);
  unless("max_positions", model.max_positions, 0);
  add("activation", name_of(activations, model.activation));
  add("norm", name_of(norms, model.norm));
  add("position", name_of(positions, model.position));
  add("bias", model.bias);
  add("tied_embeddings", model.tied_embeddings);
  for (const auto& [key, trait] : {std::pair{"qkv_bias", model.qkv_bias},
                                   {"parallel_block", model.parallel_block},
                                   {"shared_norm", model.shared_norm},
                                   {"head_bias", model.head_bias},
                                   {"embedding_norm", model.embedding_norm}}) {
    unless(key, trait, false);
  }
  add_found("dropout", model.dropout);
  add_found("attention_window", model.attention_window);
  unless("window_every", model.window_every, 1);
  unless("full_every", model.full_every, 0);
  unless("mtp_layers", model.predicted_ahead, 0);
  unless("norm_place", name_of(norm_places, model.norm_place), "before");
  unless("qk_norm", name_of(query_key_norms, model.qk_norm), "none");
  unless("causal", model.causal, true);
  unless("encoder_layers", model.encoder_layers, 0);
  unless("head", name_of(heads_of_models, model.head), "language");
  unless("token_types", model.token_types, 0);
  unless("classes", model.classes, 0);
  unless("patch_inputs", model.patch_inputs, 0);
  if (model.moe) add("moe", moe_text(*model.moe, model.layers, !model.pattern.empty()));
  if (model.mla) add("mla", mla_text(*model.mla));
  if (model.ssm) add("ssm", ssm_text(*model.ssm));
  if (!model.pattern.empty()) add("pattern", yaml_quoted(model.pattern));
  return text;
}

}  // namespace stepcast
