#pragma once
/// A model after sharding: what one rank of each pipeline stage executes and holds for one microbatch.

#include <string_view>
#include <utility>
#include <vector>

#include "simulator/units/units.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

/// Weights by the ranks that hold copies of them: experts have data-parallel groups of their own.
struct ParameterCount {
  double dense = 0, expert = 0;

  double total() const { return dense + expert; }
  ParameterCount& operator+=(ParameterCount other) {
    dense += other.dense;
    expert += other.expert;
    return *this;
  }
  friend ParameterCount operator*(ParameterCount count, double factor) {
    return {count.dense * factor, count.expert * factor};
  }
};

/// One block (a layer, the embedding, the head) on one rank, one microbatch.
struct LocalBlock {
  OpList forward;
  OpList backward;                   ///< with what recomputation runs again in front
  double parameters = 0;             ///< on this rank
  double expert_parameters = 0;      ///< of these, weights of experts
  ParameterCount trained;            ///< of these, those with gradients and optimizer states
  double replicated_parameters = 0;  ///< of the trained ones, those that every tensor-parallel rank holds whole
  Bytes saved;                       ///< activations kept from the forward to the backward pass
  Bytes working;  ///< beside them at the fullest moment of its backward pass: recomputed activations, gradients
  std::string_view fullest_op;                     ///< the operator that runs backward then; static text
  std::vector<std::pair<double, double>> weights;  ///< rows and columns of its local weights, each shape once

  double recomputed_share = 0;  ///< of the forward pass, what the backward pass launches again

  ParameterCount count() const { return {parameters - expert_parameters, expert_parameters}; }
};

/// What a pipeline rank runs between two exchanges with its neighbours.
struct ChunkContents {
  bool embedding = false;
  bool head = false;
  std::vector<std::pair<int, int>> layers;  ///< (kind, count), in model order

  int layer_count() const {
    int sum = 0;
    for (const auto& [kind, count] : layers) sum += count;
    return sum;
  }
};

struct ShardedModel {
  LocalBlock embedding;
  LocalBlock head;
  std::vector<LocalBlock> kinds;
  std::vector<std::vector<ChunkContents>> stages;  ///< [stage][chunk]
  double microbatch_share = 1;  ///< of a replica's microbatches, what each chunk sees: half where they go both ways
  bool tied_embeddings = false;
  bool trains_embedding = true;
  double embedding_table_parameters = 0;  ///< of one rank: what first and last stage reduce when tied

  double parameters(int stage) const;
  double replicated_parameters(int stage) const;
  ParameterCount count(int stage) const;
  ParameterCount trained(int stage) const;
};

/// Visits the blocks of a chunk in forward order: f(block, how many).
template <class F>
void for_each_block(const ShardedModel& model, const ChunkContents& chunk, F&& f) {
  if (chunk.embedding) f(model.embedding, 1);
  for (const auto& [kind, count] : chunk.layers) f(model.kinds[static_cast<std::size_t>(kind)], count);
  if (chunk.head) f(model.head, 1);
}

}  // namespace stepcast
