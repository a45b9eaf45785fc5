/// DualPipe-V (deepseek-ai/DualPipe, dualpipev.py; "cut in half" by Sea AI Lab): DualPipe folded at its middle, so that one
/// copy of the model is enough. Two chunks a rank, down the ranks and back up; p ranks do what 2p do in DualPipe.
/// Bubble (p - 1)(tF&B + tB - 3tW), times of a chunk.

#include "simulator/schedules/schedule.hpp"
#include "simulator/schedules/two_way.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "dualpipe-v needs more than one pipeline stage";
  if (shape.chunks != 2) return "dualpipe-v runs two chunks a rank: set virtual_stages to 2";
  if (shape.microbatches < 2 * shape.stages) {
    return "dualpipe-v needs at least twice as many microbatches as pipeline stages (" +
           std::to_string(shape.microbatches) + " of " + std::to_string(2 * shape.stages) + ")";
  }
  return "";
}

std::vector<PassStep> passes(const PipelineShape& shape, int stage) {
  return two_way_passes({stage, shape.stages - stage - 1, static_cast<int>(shape.microbatches), false, 0});
}

}  // namespace

const Schedule dualpipe_v{.name = "dualpipe-v",
                          .description = "DualPipe folded in a V: one copy of the model (deepseek-ai/DualPipe)",
                          .refuses = refuses,
                          .order = by_stage<passes>,
                          .placement = ChunkPlacement::vee,
                          .repeats = [](const PipelineShape&) { return std::int64_t{1}; },
                          .asynchronous = true};

}  // namespace stepcast
