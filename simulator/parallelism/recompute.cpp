#include "simulator/parallelism/recompute.hpp"

#include <charconv>

namespace stepcast {
namespace {

const RecomputePolicy policies[] = {
    {"none", "every activation is kept", Recompute::none},
    {"selective", "the attention core is computed again (Korthikanti et al. 2022)", Recompute::selective},
    {"selective-op", "every second matrix product and all pointwise work (torchtitan)", Recompute::selective_op},
    {"selective-<modules>", "the listed parts of a layer, joined by dashes (Megatron-LM)", Recompute::modules},
    {"full", "only each layer's input is kept", Recompute::full},
    {"full-<n>-layers", "full, in the first n layers of each chunk (Megatron-LM)", Recompute::full},
    {"full-<n>-<n>-...-layers", "the same, a number for each virtual stage in the model's order", Recompute::full},
    {"every-other-layer", "full, in every second layer (torchtitan)", Recompute::full, 0, {.every = 2}},
};

/// Megatron-LM transformer_config.py, recompute_modules. Of two names that begin alike the longer comes first.
constexpr RecomputeModule modules[] = {
    {"core-attn", "core-attention", "scores and their product with the values", module::core_attention, false},
    {"layernorm", "norm", "the norms before attention and MLP", module::layernorm, true},
    {"mla-up-proj", "", "queries, keys and values from their latents", module::latent_up_projection, true},
    {"mlp", "", "the whole dense MLP", module::mlp, false},
    {"moe-act", "act", "the activation of the experts", module::expert_activation, true},
    {"moe", "", "the whole layer of experts, exchanges included", module::moe, false},
    {"shared-experts", "shared-expert", "the shared experts", module::shared_experts, false},
};

/// Takes `word` and the dash behind it off the front of `text`.
bool take(std::string_view& text, std::string_view word) {
  if (word.empty() || !text.starts_with(word)) return false;
  if (text.size() > word.size() && text[word.size()] != '-') return false;
  text.remove_prefix(text.size() > word.size() ? word.size() + 1 : word.size());
  return true;
}

/// The set that "mla-up-proj-mlp" lists; 0 when a part of it is no module's name.
unsigned listed_modules(std::string_view text) {
  unsigned set = 0;
  while (!text.empty()) {
    const std::size_t before = text.size();
    for (const RecomputeModule& row : modules) {
      if (!take(text, row.name) && !take(text, row.also)) continue;
      set |= row.bit;
      break;
    }
    if (text.size() == before) return 0;
  }
  return set;
}

/// The numbers of "full-<n>-layers" or "full-<n>-<n>-layers"; none when that is not what it says.
std::vector<int> listed_layers(std::string_view name) {
  constexpr std::string_view before = "full";
  std::vector<int> counts;
  if (!name.starts_with(before)) return counts;
  name.remove_prefix(before.size());
  while (name != "-layers" && name != "-layer") {
    int count = 0;
    if (!name.starts_with('-')) return {};
    const auto [rest, error] = std::from_chars(name.data() + 1, name.data() + name.size(), count);
    if (error != std::errc{} || count < 0) return {};
    counts.push_back(count);
    name.remove_prefix(static_cast<std::size_t>(rest - name.data()));
  }
  return counts;
}

}  // namespace

std::span<const RecomputePolicy> recompute_policies() { return policies; }
std::span<const RecomputeModule> recompute_modules() { return modules; }

unsigned output_discarding(unsigned set) {
  unsigned discarding = 0;
  for (const RecomputeModule& row : modules) {
    if (row.discards_output) discarding |= row.bit;
  }
  return set & discarding;
}

std::optional<RecomputePolicy> recompute_policy(std::string_view name) {
  constexpr std::string_view prefix = "selective-";
  for (const RecomputePolicy& policy : policies) {
    const bool pattern = policy.name.find('<') != std::string_view::npos;
    if (policy.name == name && !pattern) return policy;
  }
  const std::vector<int> listed = listed_layers(name);
  if (listed.size() > 1) return RecomputePolicy{name, "", Recompute::full, 0, {.first_of = listed}};
  if (listed.size() == 1 && listed[0] > 0) return RecomputePolicy{name, "", Recompute::full, 0, {.first = listed[0]}};
  if (!name.starts_with(prefix)) return std::nullopt;
  const unsigned set = listed_modules(name.substr(prefix.size()));
  if (set == 0) return std::nullopt;
  return RecomputePolicy{name, "", Recompute::modules, set};
}

}  // namespace stepcast
