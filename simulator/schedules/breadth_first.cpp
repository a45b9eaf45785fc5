/// Breadth-first pipeline (Lamy-Poirier 2022, arXiv 2211.05953; PyTorch `ScheduleLoopedBFS`): all microbatches pass a rank's
/// first chunk before its second begins, and the other way round backwards. Bubble (p-1)(tF + tB)/v, like interleaved 1F1B,
/// with fewer changes of chunk; activations of every microbatch at once, like GPipe.

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "breadth-first needs more than one pipeline stage";
  return shape.paired ? "breadth-first does not overlap expert exchanges: use interleaved-1f1b or dualpipe" : "";
}

std::vector<PassStep> passes(const PipelineShape& shape, int) {
  std::vector<PassStep> steps;
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  for (std::int32_t chunk = 0; chunk < shape.chunks; ++chunk) {
    for (std::int32_t i = 0; i < m; ++i) steps.push_back({PassKind::forward, i, chunk});
  }
  for (std::int32_t chunk = shape.chunks; chunk-- > 0;) {
    for (std::int32_t i = 0; i < m; ++i) steps.push_back({PassKind::backward, i, chunk});
  }
  return steps;
}

}  // namespace

const Schedule breadth_first{
    "breadth-first", "all microbatches through one chunk after the other (Lamy-Poirier 2022; PyTorch LoopedBFS)",
    refuses, by_stage<passes>};

}  // namespace stepcast
