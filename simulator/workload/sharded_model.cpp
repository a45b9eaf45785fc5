#include "simulator/workload/sharded_model.hpp"

namespace stepcast {
namespace {

double sum_of(const ShardedModel& model, int stage, double LocalBlock::*field) {
  double sum = 0;
  for (const ChunkContents& chunk : model.stages[static_cast<std::size_t>(stage)]) {
    for_each_block(model, chunk, [&](const LocalBlock& block, int count) { sum += block.*field * count; });
  }
  return sum;
}

}  // namespace

double ShardedModel::parameters(int stage) const {
  double sum = 0;
  for (const ChunkContents& chunk : stages[static_cast<std::size_t>(stage)]) {
    for_each_block(*this, chunk, [&](const LocalBlock& block, int count) { sum += block.parameters * count; });
    // Tied weights: the last stage holds its own copy of the table, unless the first stage is the same.
    if (tied_embeddings && chunk.head && stages.size() > 1) sum += embedding_table_parameters;
  }
  return sum;
}

double ShardedModel::replicated_parameters(int stage) const {
  return sum_of(*this, stage, &LocalBlock::replicated_parameters);
}

ParameterCount ShardedModel::trained(int stage) const {
  ParameterCount sum;
  for (const ChunkContents& chunk : stages[static_cast<std::size_t>(stage)]) {
    for_each_block(*this, chunk, [&](const LocalBlock& block, int count) { sum += block.trained * count; });
    if (tied_embeddings && trains_embedding && chunk.head && stages.size() > 1) sum.dense += embedding_table_parameters;
  }
  return sum;
}

ParameterCount ShardedModel::count(int stage) const {
  const double experts = sum_of(*this, stage, &LocalBlock::expert_parameters);
  return {parameters(stage) - experts, experts};
}

}  // namespace stepcast
