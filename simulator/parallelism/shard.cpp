#include "simulator/parallelism/shard.hpp"

#include <algorithm>
#include <numeric>

#include "simulator/base/error.hpp"
#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {

LocalBlock shard(const Block& block, std::int64_t hidden, const Sharding& sharding, bool recomputed) {
  BlockBuilder builder(block, static_cast<double>(hidden), sharding, recomputed);
  return builder.build();
}

namespace {

/// Layers of each virtual stage, in model order.
std::vector<int> virtual_stage_layers(int layers, const ParallelPlan& plan) {
  const int virtual_stages = plan.pipeline_parallel * plan.virtual_stages;
  if (plan.layer_split == LayerSplit::given) return plan.stage_layers;

  const bool even = layers % virtual_stages == 0;
  const bool slots = (layers + 2) % virtual_stages == 0 && (layers + 2) / virtual_stages >= 1 && virtual_stages > 1;
  if (plan.layer_split == LayerSplit::embedding_and_loss_as_layers ||
      (plan.layer_split == LayerSplit::automatic && !even && slots)) {
    std::vector<int> counts(static_cast<std::size_t>(virtual_stages), (layers + 2) / virtual_stages);
    counts.front() -= 1;
    counts.back() -= 1;
    return counts;
  }
  // Nearest to even: the remainder goes to the middle, away from the embedding and the loss.
  std::vector<int> counts(static_cast<std::size_t>(virtual_stages), layers / virtual_stages);
  const int remainder = layers % virtual_stages;
  const int first = (virtual_stages - remainder) / 2;
  for (int i = 0; i < remainder; ++i) counts[static_cast<std::size_t>(first + i)] += 1;
  return counts;
}

}  // namespace

std::vector<std::vector<ChunkContents>> split_layers(const ModelGraph& model, const ParallelPlan& plan) {
  const std::vector<int> counts = virtual_stage_layers(static_cast<int>(model.layer_kinds.size()), plan);
  const int p = plan.pipeline_parallel;
  std::vector<std::vector<ChunkContents>> stages(static_cast<std::size_t>(p));
  std::size_t layer = 0;
  for (std::size_t vs = 0; vs < counts.size(); ++vs) {
    ChunkContents chunk;
    chunk.embedding = vs == 0;
    chunk.head = vs + 1 == counts.size();
    for (int i = 0; i < counts[vs]; ++i, ++layer) {
      const int kind = model.layer_kinds[layer];
      if (chunk.layers.empty() || chunk.layers.back().first != kind) chunk.layers.emplace_back(kind, 0);
      ++chunk.layers.back().second;
    }
    stages[vs % static_cast<std::size_t>(p)].push_back(std::move(chunk));
  }
  CHECK(layer == model.layer_kinds.size(), "the layer split was checked to place every layer");
  return stages;
}

ShardedModel shard(const ModelGraph& model, const ParallelPlan& plan, const Sharding& sharding) {
  ShardedModel sharded;
  sharded.embedding = shard(model.embedding, model.hidden, sharding, false);
  sharded.head = shard(model.head, model.hidden, sharding, false);
  for (const Block& kind : model.kinds) sharded.kinds.push_back(shard(kind, model.hidden, sharding, true));
  sharded.stages = split_layers(model, plan);
  for (const ModelOp& op : model.head.ops) {
    if (const auto* head = std::get_if<LmHeadOp>(&op.what)) {
      sharded.tied_embeddings = head->tied;
      sharded.embedding_table_parameters =
          static_cast<double>(head->vocab) * static_cast<double>(model.hidden) / sharding.tensor;
      break;  // later ones predict further tokens with the same weights
    }
  }
  return sharded;
}

}  // namespace stepcast
