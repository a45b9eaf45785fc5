#include "simulator/input/model_reader.hpp"

#include <utility>

#include <fmt/format.h>

#include "simulator/input/scenario_keys.hpp"

namespace stepcast {
namespace {

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
constexpr std::pair<std::string_view, NormKind> norms[] = {{"layernorm", NormKind::layernorm},
                                                           {"rmsnorm", NormKind::rmsnorm}};
constexpr std::pair<std::string_view, Position> positions[] = {
    {"learned", Position::learned}, {"rope", Position::rope}, {"alibi", Position::alibi}, {"none", Position::none}};

template <class Enum, std::size_t N>
Enum named(const std::pair<std::string_view, Enum> (&table)[N], std::string_view name) {
  for (const auto& [text, value] : table) {
    if (text == name) return value;
  }
  CHECK(false, "the vocabulary's choices have an enumerator each");
  return table[0].second;
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

/// The sizes of a layer.
void read_sizes(YamlMap& map, Architecture& model, Defaults& defaults) {
  model.layers = map.require("layers").integer(layer_range);
  model.hidden = map.require("hidden").integer(width_range);
  model.heads = map.require("heads").integer(heads_range);
  model.kv_heads = read_kv_heads(map, model.heads, defaults);
  model.head_dim = read_head_dim(map, model, defaults);
  model.vocab = map.require("vocab").integer(vocab_range);
  model.ffn = find_integer(map, "ffn", width_range);
  if (const auto moe = map.find("moe")) model.moe = read_moe(*moe, model.layers, defaults);
  if (const auto mla = map.find("mla")) model.mla = read_mla(*mla);
  model.predicted_ahead = find_integer(map, "mtp_layers", {0, 16}).value_or(0);
  const std::int64_t dense_layers = model.layers - (model.moe ? model.moe->moe_layers : 0);
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
  model.max_positions = find_integer(map, "max_positions", tokens_range).value_or(0);
  if (const auto dropout = map.find("dropout")) model.dropout = dropout->number({0, 1});
  // Rare traits, false wherever nobody speaks of them: not worth a line of the report.
  for (auto [key, trait] : {std::pair{"qkv_bias", &model.qkv_bias},
                            {"parallel_block", &model.parallel_block},
                            {"embedding_norm", &model.embedding_norm}}) {
    const auto value = map.find(key);
    *trait = value && value->boolean();
  }
}

Architecture read_map(const YamlNode& tree, const std::string& name, Defaults& defaults) {
  const YamlValue value(tree, "model");
  YamlMap map(value, scenario_vocabulary("model"));
  if (const auto hf = map.find("hf"))
    throw error_at_key(hf->node(), "model.hf: reading Hugging Face configurations is not supported yet");
  for (const char* key : {"extends", "description", "source", "published_parameters", "published_active_parameters",
                          "published_parameters_tolerance"}) {
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

}  // namespace

Architecture read_model(const YamlValue& model, PresetStore& presets, Defaults& defaults) {
  if (model.is_scalar()) {
    return read_map(presets.tree(PresetKind::model, model), PresetStore::stem(model), defaults);
  }
  if (!model.is_map()) throw model.must_be("a preset's name, a path or a map");
  const YamlNode* extends = model.node().find("extends");
  const std::string name = extends != nullptr ? extends->text : "model";
  return read_map(presets.with_base(PresetKind::model, model.node()), name, defaults);
}

}  // namespace stepcast
