#include <algorithm>
#include <cmath>
#include <numeric>

#include "simulator/report/summarize.hpp"

namespace stepcast {
namespace {

constexpr std::size_t most_stragglers = 8;

/// The value that so much of a sorted list lies at or below (nearest rank).
Seconds quantile(const std::vector<Seconds>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace

void summarize_disturbances(const Timeline& timeline, std::vector<Seconds> steps, std::optional<Seconds> undisturbed,
                            Report& report) {
  if (!steps.empty()) {
    std::sort(steps.begin(), steps.end());
    const Seconds sum = std::accumulate(steps.begin(), steps.end(), Seconds(0));
    report.steps = {static_cast<int>(steps.size()),
                    steps.front(),
                    sum / static_cast<double>(steps.size()),
                    quantile(steps, 0.5),
                    quantile(steps, 0.95),
                    quantile(steps, 0.99),
                    steps.back()};
  }
  report.undisturbed = undisturbed;

  std::vector<std::size_t> ranks(timeline.kept_waiting.size());
  std::iota(ranks.begin(), ranks.end(), std::size_t{0});
  const std::size_t shown = std::min(most_stragglers, ranks.size());
  std::partial_sort(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(shown), ranks.end(),
                    [&](std::size_t a, std::size_t b) {
                      const Seconds x = timeline.kept_waiting[a], y = timeline.kept_waiting[b];
                      return x != y ? x > y : a < b;
                    });
  for (std::size_t i = 0; i < shown; ++i) {
    if (!(timeline.kept_waiting[ranks[i]] > Seconds(0))) break;
    const auto rank = static_cast<std::int64_t>(ranks[i]);
    report.stragglers.push_back(
        {rank, timeline.stage_of_rank[ranks[i]], rank / report.gpus_per_node, timeline.kept_waiting[ranks[i]]});
  }
  for (const PathStep& step : timeline.critical_path) {
    report.critical_path.push_back({step.rank, timeline.stage_of_rank[static_cast<std::size_t>(step.rank)],
                                    name_of(step.bucket), step.start.seconds(), (step.end - step.start).seconds()});
  }
}

}  // namespace stepcast
