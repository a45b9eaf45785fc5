/// Interleaved 1F1B (Narayanan et al. 2021, section 2.2.2), in the order of Megatron-LM
/// `forward_backward_pipelining_with_interleaving` with groups of p microbatches. Bubble (p-1)(tF + tB)/v.

#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "interleaved-1f1b needs more than one pipeline stage";
  if (shape.microbatches < shape.stages) {
    return "interleaved-1f1b needs at least as many microbatches as pipeline stages (" +
           std::to_string(shape.microbatches) + " of " + std::to_string(shape.stages) + ")";
  }
  return "";
}

/// Microbatches of the group that starts at `begin`: p, and the last group takes the remainder as well, because a group
/// smaller than p would wait for itself around the ring (Megatron-LM: the remainder must be 0 or at least p).
std::int32_t group_size(const PipelineShape& shape, std::int32_t begin) {
  const auto left = static_cast<std::int32_t>(shape.microbatches) - begin;
  return left < 2 * shape.stages ? left : shape.stages;
}

std::int64_t largest_group(const PipelineShape& shape) { return shape.stages + shape.microbatches % shape.stages; }

/// Virtual pass k of a rank: which microbatch, which chunk. A group of microbatches goes through chunk 0, then the same
/// group through chunk 1, ...
struct VirtualPass {
  std::int32_t microbatch, chunk;
};

std::vector<VirtualPass> schedule_table(const PipelineShape& shape) {
  std::vector<VirtualPass> table;
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  table.reserve(static_cast<std::size_t>(m) * static_cast<std::size_t>(shape.chunks));
  for (std::int32_t begin = 0, end = 0; begin < m; begin = end) {
    end = begin + group_size(shape, begin);
    for (std::int32_t chunk = 0; chunk < shape.chunks; ++chunk) {
      for (std::int32_t i = begin; i < end; ++i) table.push_back({i, chunk});
    }
  }
  return table;
}

std::int64_t warmup_passes(const PipelineShape& shape, int stage) {
  const std::int64_t total = shape.microbatches * shape.chunks;
  // Enough forwards that the last chunk of the largest group has begun before its first backward.
  // Paired, a backward pass must not wait for the forward pass beside it: one more (Megatron-LM, overlap_moe_expert_
  // parallel_comm).
  const std::int64_t ahead = (shape.stages - stage - 1) * 2 + (shape.chunks - 1) * largest_group(shape);
  return std::min<std::int64_t>(ahead + (shape.paired ? 1 : 0), total);
}

std::vector<PassStep> order(const PipelineShape& shape, int stage) {
  const std::vector<VirtualPass> table = schedule_table(shape);
  const auto total = static_cast<std::int64_t>(table.size());
  const std::int64_t warmup = warmup_passes(shape, stage);
  const auto forward = [&](std::int64_t k, bool exchange) {
    const VirtualPass pass = table[static_cast<std::size_t>(k)];
    return PassStep{PassKind::forward, pass.microbatch, pass.chunk, exchange};
  };
  const auto backward = [&](std::int64_t k) {
    const VirtualPass pass = table[static_cast<std::size_t>(k)];
    return PassStep{PassKind::backward, pass.microbatch, shape.chunks - 1 - pass.chunk, true};
  };
  std::vector<PassStep> steps;
  steps.reserve(static_cast<std::size_t>(2 * total));
  for (std::int64_t k = 0; k < warmup; ++k) steps.push_back(forward(k, true));
  for (std::int64_t k = 0; k < total - warmup; ++k) {
    steps.push_back(forward(k + warmup, false));  // a blocking framework exchanges once for the pair
    steps.back().paired = shape.paired;
    steps.push_back(backward(k));
  }
  for (std::int64_t k = total - warmup; k < total; ++k) steps.push_back(backward(k));
  return steps;
}

}  // namespace

const Schedule interleaved_one_f_one_b{"interleaved-1f1b",
                                       "1f1b over several model chunks a rank (Megatron-LM)",
                                       refuses,
                                       by_stage<order>,
                                       ChunkPlacement::loop,
                                       [](const PipelineShape& shape) { return std::int64_t{shape.stages}; }};

}  // namespace stepcast
