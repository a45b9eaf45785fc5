/// 1F1B (PipeDream-flush; Narayanan et al. 2021): warm-up of p - 1 - stage forwards, then forward and backward in turn.
/// Order of Megatron-LM `forward_backward_pipelining_without_interleaving`. Bubble (p-1)(tF + tB).

#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string one_chunk(const PipelineShape& shape) {
  if (shape.paired) return "overlapping expert exchanges with 1f1b needs virtual stages (interleaved-1f1b)";
  return shape.chunks == 1 ? "" : "1f1b runs one model chunk a rank; virtual stages need interleaved-1f1b";
}

std::vector<PassStep> order(const PipelineShape& shape, int stage) {
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  const std::int32_t warmup = std::min(shape.stages - stage - 1, m);
  std::vector<PassStep> steps;
  steps.reserve(static_cast<std::size_t>(2 * m));
  for (std::int32_t i = 0; i < warmup; ++i) steps.push_back({PassKind::forward, i, 0});
  for (std::int32_t i = 0; i < m - warmup; ++i) {
    steps.push_back({PassKind::forward, i + warmup, 0});
    steps.push_back({PassKind::backward, i, 0});
  }
  for (std::int32_t i = m - warmup; i < m; ++i) steps.push_back({PassKind::backward, i, 0});
  return steps;
}

}  // namespace

const Schedule one_f_one_b{"1f1b",
                           "one forward, one backward, flushed each step (PipeDream-flush, Megatron-LM)",
                           one_chunk,
                           by_stage<order>,
                           ChunkPlacement::loop,
                           [](const PipelineShape&) { return std::int64_t{1}; }};

}  // namespace stepcast
