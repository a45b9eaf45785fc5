/// Which weights are trained: adapters in place of the weights they lie beside, or the later layers alone.

#include <algorithm>
#include <utility>

#include "models/families.hpp"

namespace stepcast {
namespace {

/// Megatron-Bridge's names (peft/lora.py: one adapter a fused linear), PEFT's (one a projection), LitGPT's (lora.py).
constexpr AdapterTarget targets[] = {
    {"linear_qkv", "queries, keys and values as one", "linear_qkv"},
    {"linear_proj", "output of the attention", "linear_proj"},
    {"linear_fc1", "first linear of the MLP, gates included", "linear_fc1"},
    {"linear_fc2", "second linear of the MLP", "linear_fc2"},
    {"linear_q_proj", "queries of latent attention, full rank", "linear_q"},
    {"linear_q_down_proj", "queries to their latent", "q_down"},
    {"linear_q_up_proj", "queries from their latent", "q_up"},
    {"linear_kv_down_proj", "keys and values to their latent", "kv_down"},
    {"linear_kv_up_proj", "keys and values from their latent", "kv_up"},
    {"q_proj", "queries", "linear_qkv", 0},
    {"k_proj", "keys", "linear_qkv", 1},
    {"v_proj", "values", "linear_qkv", 2},
    {"o_proj", "output of the attention", "linear_proj"},
    {"gate_proj", "gate of the MLP", "linear_fc1", 0},
    {"up_proj", "up projection of a gated MLP", "linear_fc1", 1},
    {"down_proj", "second linear of the MLP", "linear_fc2"},
    {"in_proj", "input of a state-space layer", "in_proj"},
    {"out_proj", "output of a state-space layer", "out_proj"},
    {"query", "queries", "linear_qkv", 0},
    {"key", "keys", "linear_qkv", 1},
    {"value", "values", "linear_qkv", 2},
    {"projection", "output of the attention", "linear_proj"},
};

/// What an adapter of `linear` adds to: each of its parts that is named, or all of it as one.
std::vector<std::int64_t> adapted_widths(const ModelOp& op, const LinearOp& linear,
                                         const std::vector<std::string>& names) {
  std::vector<std::int64_t> widths;
  for (const AdapterTarget& target : targets) {
    const bool named = std::find(names.begin(), names.end(), target.name) != names.end();
    if (!named || target.linear != op.name) continue;
    const auto part = static_cast<std::size_t>(target.part);
    const bool is_a_part = target.part >= 0 && part < linear.parts.size();
    widths.push_back(is_a_part ? linear.parts[part] : linear.out);
  }
  return widths;
}

/// @param lora null: no adapters
void freeze(Block& block, const LowRankAdaptation* lora) {
  std::vector<ModelOp> ops;
  for (ModelOp& op : block.ops) {
    op.frozen = true;
    ops.push_back(op);
    const auto* linear = std::get_if<LinearOp>(&op.what);
    if (lora == nullptr || linear == nullptr) continue;
    std::vector<std::int64_t> widths = adapted_widths(op, *linear, lora->targets);
    if (widths.empty()) continue;
    ops.push_back(
        {"adapter", AdapterOp{linear->in, lora->rank, std::move(widths), linear->split, lora->dropout}, op.modules});
  }
  block.ops = std::move(ops);
}

bool trains(const Block& block) {
  return std::any_of(block.ops.begin(), block.ops.end(), [](const ModelOp& op) { return !op.frozen; });
}

}  // namespace

std::span<const AdapterTarget> adapter_targets() { return targets; }

ModelGraph fine_tuned(ModelGraph graph, const ParallelPlan& plan) {
  if (!plan.lora && plan.frozen_layers == 0) return graph;
  const LowRankAdaptation* lora = plan.lora ? &*plan.lora : nullptr;

  // Layers of one kind differ in whether they are trained, and in whether something is trained before them.
  struct Variant {
    int kind;
    bool frozen, passes_gradient;
    bool operator==(const Variant&) const = default;
  };
  std::vector<Variant> known;
  std::vector<Block> kinds;
  freeze(graph.embedding, nullptr);
  bool trained_before = false;
  for (std::size_t layer = 0; layer < graph.layer_kinds.size(); ++layer) {
    const bool below = static_cast<std::int64_t>(layer) < plan.frozen_layers;
    const Variant variant{graph.layer_kinds[layer], below || lora != nullptr, trained_before};
    const auto found = std::find(known.begin(), known.end(), variant);
    graph.layer_kinds[layer] = static_cast<int>(found - known.begin());
    if (found == known.end()) {
      known.push_back(variant);
      Block block = graph.kinds[static_cast<std::size_t>(variant.kind)];
      if (variant.frozen) freeze(block, below ? nullptr : lora);
      block.passes_gradient = trained_before;
      kinds.push_back(std::move(block));
    }
    trained_before = trained_before || trains(kinds[static_cast<std::size_t>(graph.layer_kinds[layer])]);
  }
  graph.kinds = std::move(kinds);
  if (lora != nullptr) freeze(graph.head, nullptr);
  for (ModelOp& op : graph.head.ops) {  // a tied head is the embedding
    const auto* head = std::get_if<LmHeadOp>(&op.what);
    if (head != nullptr && head->tied) op.frozen = true;
  }
  graph.head.passes_gradient = trained_before;
  return graph;
}

}  // namespace stepcast
