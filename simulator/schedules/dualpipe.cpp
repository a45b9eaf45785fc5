/// DualPipe (DeepSeek-V3, arXiv 2412.19437 section 3.2.1): two copies of the model run through the pipeline in opposite
/// directions, and a forward pass of one shares the GPU with a backward pass of the other, so that one's exchanges run
/// under the other's kernels. Eight phases, as in deepseek-ai/DualPipe. Bubble (p/2 - 1)(tF&B + tB - 3tW).

#include <algorithm>

#include "simulator/schedules/schedule.hpp"
#include "simulator/schedules/two_way.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "dualpipe needs more than one pipeline stage";
  if (shape.stages % 2 != 0) return "dualpipe needs an even number of pipeline stages";
  if (shape.chunks != 2) return "dualpipe runs two chunks a rank, one a direction: set virtual_stages to 2";
  if (shape.microbatches % 2 != 0 || shape.microbatches < 2 * shape.stages) {
    return "dualpipe needs an even number of microbatches, at least twice the pipeline stages (" +
           std::to_string(shape.microbatches) + " of " + std::to_string(2 * shape.stages) + ")";
  }
  return "";
}

std::vector<PassStep> passes(const PipelineShape& shape, int stage) {
  const int p = shape.stages;
  const int place = std::min(stage, p - 1 - stage);  // from the nearer end
  const auto half = static_cast<int>(shape.microbatches / 2);
  return two_way_passes({place, p / 2 - place - 1, half, stage >= p / 2, half});
}

}  // namespace

const Schedule dualpipe{.name = "dualpipe",
                        .description = "both directions at once, exchanges under the other's kernels (DeepSeek-V3)",
                        .refuses = refuses,
                        .order = by_stage<passes>,
                        .placement = ChunkPlacement::both_ways,
                        .repeats = [](const PipelineShape&) { return std::int64_t{2}; },
                        .asynchronous = true};

}  // namespace stepcast
