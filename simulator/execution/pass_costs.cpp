#include "simulator/execution/pass_costs.hpp"

#include <algorithm>

#include "simulator/execution/pass_ops.hpp"
#include "simulator/parallelism/methods.hpp"

namespace stepcast {
namespace {

/// Operators that the host calls. A product cut into parts counts as it does whole, with one transfer: the software that
/// cuts it launches the parts itself.
double operators_called(const OpList& ops) {
  double called = 0;
  const LocalOp* cut = nullptr;  // a part of the product that is being cut
  const LocalOp* transfer = nullptr;
  for (const LocalOp& op : ops) {
    const bool gathers = op.name == part_of_gather, scatters = op.name == part_of_scatter;
    const bool again = gathers || scatters ? transfer != nullptr && transfer->name == op.name
                                           : cut != nullptr && cut->name == op.name && cut->pass == op.pass;
    if (again) continue;
    ++called;
    if (scatters) cut = &ops[static_cast<std::size_t>(op.after)];
    if (!gathers && !scatters) cut = transfer != nullptr && transfer->name == part_of_gather ? &op : nullptr;
    transfer = gathers || scatters ? &op : nullptr;
  }
  return called;
}

/// Kernels of a softmax that the framework would have run as one, relative to the layer's own operators.
double unfused_share(const OpList& forward, const Framework& framework) {
  if (!*framework.fused_softmax) return 0;
  for (const LocalOp& op : forward) {
    const auto* memory = std::get_if<MemoryBound>(&op.work);
    if (op.name == "attention_softmax" && memory != nullptr) return (memory->kernels - 1) / operators_called(forward);
  }
  return 0;
}

}  // namespace

Seconds PassCosts::host_time(const LocalBlock& block, const OpList& ops, PassKind kind) const {
  const bool layer = &block != &model_.embedding && &block != &model_.head;
  if (!layer || *framework_.launch_mode != LaunchMode::eager || plan_.cuda_graphs.value_or(false)) return Seconds(0);
  if (ops.empty()) return Seconds(0);
  if (block.expert_parameters > 0) return *framework_.host_time_per_moe_operator * operators_called(ops);
  const double more = unfused_share(block.forward, framework_);
  const Seconds once = *framework_.host_time_per_layer_forward * (1 + more);
  if (kind == PassKind::forward) return once;
  const Seconds back = *framework_.host_time_per_layer_backward * (1 + more) + block.recomputed_share * once;
  return back * (static_cast<double>(ops.size()) / static_cast<double>(block.backward.size()));
}

const BlockPass& PassCosts::of(const LocalBlock& block, PassKind kind) const {
  auto row = std::find_if(blocks_.begin(), blocks_.end(), [&](const auto& known) { return known.first == &block; });
  if (row == blocks_.end())
    row = blocks_.emplace(row, &block, std::array<std::unique_ptr<BlockPass>, pass_kind_count>{});
  std::unique_ptr<BlockPass>& pass = row->second[static_cast<std::size_t>(kind)];
  if (pass != nullptr) return *pass;
  pass = std::make_unique<BlockPass>();
  if (kind == PassKind::backward_input) pass->split = input_gradients(block.backward);
  if (kind == PassKind::backward_weight) pass->split = weight_gradients(block.backward);
  pass->ops = kind == PassKind::forward ? &block.forward : kind == PassKind::backward ? &block.backward : &pass->split;
  pass->host = host_time(block, *pass->ops, kind);
  pass->folded = costs_.fold(*pass->ops, pass->host);
  return *pass;
}

std::vector<std::pair<const LocalBlock*, int>> PassCosts::blocks(const ChunkContents& chunk, PassKind kind) const {
  Contents blocks;
  for_each_block(model_, chunk, [&](const LocalBlock& block, int count) { blocks.emplace_back(&block, count); });
  if (kind != PassKind::forward) std::reverse(blocks.begin(), blocks.end());
  return blocks;
}

const BlockPass& PassCosts::pair(const ChunkContents& forward, const ChunkContents& backward) const {
  const Contents ahead = blocks(forward, PassKind::forward), back = blocks(backward, PassKind::backward);
  auto [found, is_new] = pairs_.try_emplace({ahead, back});
  BlockPass& pass = found->second;
  if (!is_new) return pass;
  const auto list = [&](const Contents& contents, PassKind kind) {
    std::vector<std::pair<const OpList*, int>> blocks;
    for (const auto& [block, count] : contents) {
      const BlockPass& of_block = of(*block, kind);
      blocks.emplace_back(of_block.ops, count);
      pass.host += of_block.host * count;
    }
    return in_turn(blocks);
  };
  const double left = std::max(0.1, 1 - *framework_.exchange_sms / static_cast<double>(*gpu_.sms));
  const OpList one = list(ahead, PassKind::forward), other = list(back, PassKind::backward);
  pass.split = side_by_side(one, other, costs_, left);
  pass.ops = &pass.split;
  pass.folded = costs_.fold(pass.split, pass.host);
  return pass;
}

}  // namespace stepcast
