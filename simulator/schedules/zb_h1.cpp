/// ZB-H1 (Qi et al. 2023, arXiv 2401.10241 section 2): 1F1B whose weight gradients wait, so that a stage hands its input
/// gradients on sooner and fills its end with the weight gradients. Memory of 1F1B. Bubble (p-1)(tF + tI - tW).

#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) { return refused_by_split_passes(shape, "zb-h1", 1); }

std::vector<PassStep> order(const PipelineShape& shape, int stage) {
  const auto m = static_cast<std::int32_t>(shape.microbatches);
  const std::int32_t warmup = std::min(shape.stages - stage - 1, m);
  std::vector<PassStep> steps;
  std::int32_t weights = 0;
  const auto backward = [&](std::int32_t i) {
    steps.push_back({PassKind::backward_input, i, 0});
    if (i >= stage) steps.push_back({PassKind::backward_weight, weights++, 0});  // `stage` of them behind
  };
  for (std::int32_t i = 0; i < warmup; ++i) steps.push_back({PassKind::forward, i, 0});
  for (std::int32_t i = 0; i < m - warmup; ++i) {
    steps.push_back({PassKind::forward, i + warmup, 0});
    backward(i);
  }
  for (std::int32_t i = m - warmup; i < m; ++i) backward(i);
  while (weights < m) steps.push_back({PassKind::backward_weight, weights++, 0});
  return steps;
}

}  // namespace

const Schedule zb_h1{.name = "zb-h1",
                     .description = "1f1b with weight gradients held back to fill the bubble (Qi et al. 2023)",
                     .refuses = refuses,
                     .order = by_stage<order>,
                     .repeats = [](const PipelineShape&) { return std::int64_t{1}; },
                     .asynchronous = true};

}  // namespace stepcast
