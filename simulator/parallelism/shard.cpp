#include "simulator/parallelism/shard.hpp"

#include <algorithm>
#include <numeric>

#include "simulator/base/error.hpp"
#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {

LocalBlock shard(const Block& block, std::int64_t hidden, const Sharding& sharding, bool recomputed) {
  const Sharding own = block.decodes ? sharding.of_decoder() : sharding;
  return BlockBuilder(block, static_cast<double>(hidden), own, recomputed).build();
}

namespace {

/// Layers of each virtual stage, in model order.
std::vector<int> virtual_stage_layers(int layers, const ParallelPlan& plan, int virtual_stages) {
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

std::vector<std::vector<ChunkContents>> split_layers(const ModelGraph& model, const ParallelPlan& plan,
                                                     ChunkPlacement placement) {
  const int p = plan.pipeline_parallel;
  const int parts = path_length(placement, p, plan.virtual_stages);
  const std::vector<int> counts = virtual_stage_layers(static_cast<int>(model.layer_kinds.size()), plan, parts);
  std::vector<int> first(counts.size() + 1, 0);
  std::partial_sum(counts.begin(), counts.end(), first.begin() + 1);
  CHECK(first.back() == static_cast<int>(model.layer_kinds.size()), "the layer split was checked to place every layer");

  std::vector<std::vector<ChunkContents>> stages(static_cast<std::size_t>(p));
  for (int stage = 0; stage < p; ++stage) {
    for (int c = 0; c < plan.virtual_stages; ++c) {
      const int part = path_point(placement, p, stage, c).position;
      ChunkContents chunk;
      chunk.embedding = part == 0;
      chunk.head = part + 1 == parts;
      for (int layer = first[static_cast<std::size_t>(part)]; layer < first[static_cast<std::size_t>(part) + 1];
           ++layer) {
        const int kind = model.layer_kinds[static_cast<std::size_t>(layer)];
        if (chunk.layers.empty() || chunk.layers.back().first != kind) chunk.layers.emplace_back(kind, 0);
        ++chunk.layers.back().second;
      }
      stages[static_cast<std::size_t>(stage)].push_back(std::move(chunk));
    }
  }
  return stages;
}

namespace {

/// Turns the layers that a policy leaves alone into those of the kinds that keep everything, `kinds` behind.
void keep_other_layers(std::vector<std::vector<ChunkContents>>& stages, const RecomputedLayers& recomputed, int kinds,
                       ChunkPlacement placement) {
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    for (std::size_t c = 0; c < stages[stage].size(); ++c) {
      ChunkContents& chunk = stages[stage][c];
      const int part =
          path_point(placement, static_cast<int>(stages.size()), static_cast<int>(stage), static_cast<int>(c)).position;
      std::vector<std::pair<int, int>> layers;
      int index = 0;
      for (const auto& [kind, count] : chunk.layers) {
        for (int i = 0; i < count; ++i, ++index) {
          const int own = recomputed.contains(part, index) ? kind : kind + kinds;
          if (layers.empty() || layers.back().first != own) layers.emplace_back(own, 0);
          ++layers.back().second;
        }
      }
      chunk.layers = std::move(layers);
    }
  }
}

}  // namespace

std::vector<std::vector<ChunkContents>> stage_contents(const ModelGraph& model, const ParallelPlan& plan,
                                                       const RecomputedLayers& recomputed, ChunkPlacement placement) {
  std::vector<std::vector<ChunkContents>> stages = split_layers(model, plan, placement);
  if (!recomputed.all()) keep_other_layers(stages, recomputed, static_cast<int>(model.kinds.size()), placement);
  return stages;
}

ShardedModel shard_blocks(const ModelGraph& model, const Sharding& sharding, ChunkPlacement placement) {
  ShardedModel sharded;
  sharded.embedding = shard(model.embedding, model.hidden, sharding, false);
  sharded.head = shard(model.head, model.hidden, sharding, false);
  for (const Block& kind : model.kinds) sharded.kinds.push_back(shard(kind, model.hidden, sharding, true));
  if (!sharding.recomputed_layers.all()) {
    for (const Block& kind : model.kinds) sharded.kinds.push_back(shard(kind, model.hidden, sharding, false));
  }
  sharded.microbatch_share = 1.0 / paths(placement);
  for (const ModelOp& op : model.head.ops) {
    if (const auto* head = std::get_if<LmHeadOp>(&op.what)) {
      sharded.tied_embeddings = head->tied;
      sharded.trains_embedding = !op.frozen;
      sharded.embedding_table_parameters =
          static_cast<double>(head->vocab) * static_cast<double>(model.hidden) / sharding.tensor;
      break;  // later ones predict further tokens with the same weights
    }
  }
  return sharded;
}

ShardedModel shard(const ModelGraph& model, const ParallelPlan& plan, const Sharding& sharding,
                   ChunkPlacement placement) {
  ShardedModel sharded = shard_blocks(model, sharding, placement);
  sharded.stages = stage_contents(model, plan, sharding.recomputed_layers, placement);
  return sharded;
}

}  // namespace stepcast
