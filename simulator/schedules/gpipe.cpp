/// GPipe (Huang et al. 2019): all forwards, then all backwards. Also a single stage with gradient accumulation, where
/// each forward is followed by its backward.

#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string one_chunk(const PipelineShape& shape) {
  if (shape.paired && shape.stages > 1) return "overlapping expert exchanges needs interleaved-1f1b or one stage";
  return shape.chunks == 1 ? "" : "this schedule runs one model chunk a rank; virtual stages need interleaved-1f1b";
}

std::vector<PassStep> all_forward_then_all_backward(const PipelineShape& shape, int) {
  std::vector<PassStep> steps;
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  for (std::int32_t i = 0; i < m; ++i) steps.push_back({PassKind::forward, i, 0});
  for (std::int32_t i = 0; i < m; ++i) steps.push_back({PassKind::backward, i, 0});
  return steps;
}

std::string one_stage(const PipelineShape& shape) {
  if (shape.stages > 1) return "schedule none is for one pipeline stage; choose 1f1b or another";
  return one_chunk(shape);
}

std::vector<PassStep> accumulate(const PipelineShape& shape, int) {
  std::vector<PassStep> steps;
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  if (shape.paired) {  // one forward pass ahead
    steps.push_back({PassKind::forward, 0, 0});
    for (std::int32_t i = 1; i < m; ++i) {
      steps.push_back({.kind = PassKind::forward, .microbatch = i, .paired = true});
      steps.push_back({PassKind::backward, i - 1, 0});
    }
    steps.push_back({PassKind::backward, m - 1, 0});
    return steps;
  }
  for (std::int32_t i = 0; i < m; ++i) {
    steps.push_back({PassKind::forward, i, 0});
    steps.push_back({PassKind::backward, i, 0});
  }
  return steps;
}

}  // namespace

const Schedule gpipe{"gpipe", "all forwards, then all backwards (Huang et al. 2019)", one_chunk,
                     by_stage<all_forward_then_all_backward>};

const Schedule no_pipeline{"none",
                           "one stage: forward and backward of each microbatch in turn",
                           one_stage,
                           by_stage<accumulate>,
                           ChunkPlacement::loop,
                           [](const PipelineShape&) { return std::int64_t{1}; }};

}  // namespace stepcast
