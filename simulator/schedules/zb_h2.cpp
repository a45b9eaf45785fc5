/// ZB-H2 (Qi et al. 2023, arXiv 2401.10241 section 2.3): as many forward passes before the first backward pass as it takes
/// to hide the way to the last stage and back, and weight gradients at the end: a parallelogram without bubbles inside
/// where tF = tI = tW, for the memory of 2p - 1 microbatches on every stage. Bubble (p-1)(tF + tI - 2tW).
///
/// With a barrier between steps (the norm of all gradients) every stage waits for the p - 1 passes by which the last one
/// starts later.

#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) { return refused_by_split_passes(shape, "zb-h2", 1); }

std::vector<PassStep> passes(const PipelineShape& shape, int stage) {
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  std::vector<PassStep> steps;
  std::int32_t forwards = 0, weights = 0;
  while (forwards < std::min(2 * (shape.stages - stage) - 1, m)) steps.push_back({PassKind::forward, forwards++, 0});
  for (std::int32_t i = 0; i < m; ++i) {
    steps.push_back({PassKind::backward_input, i, 0});
    // The last stage answers without a pause until all are busy: 2 * stage weight gradients behind.
    if (i >= 2 * stage) steps.push_back({PassKind::backward_weight, weights++, 0});
    if (forwards < m) steps.push_back({PassKind::forward, forwards++, 0});
  }
  while (weights < m) steps.push_back({PassKind::backward_weight, weights++, 0});
  return steps;
}

}  // namespace

const Schedule zb_h2{.name = "zb-h2",
                     .description = "no bubble inside, for twice the activations of 1f1b (Qi et al. 2023)",
                     .refuses = refuses,
                     .order = by_stage<passes>,
                     .repeats = [](const PipelineShape&) { return std::int64_t{1}; },
                     .asynchronous = true};

}  // namespace stepcast
