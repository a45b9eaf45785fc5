#include "simulator/budget/pace.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "simulator/predict.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

/// The part of a number that no halving removes: what a batch has to bring along for replicas to share it.
std::int64_t odd_part(std::int64_t number) {
  while (number % 2 == 0) number /= 2;
  return number;
}

/// Sequences of a step near what was asked: those that divide among most replicas within 5%, and where whole sequences
/// were asked for, these. Teams say "4M tokens" and run 4,194,304.
std::vector<std::int64_t> batches(const RecipePhase& phase, std::int64_t gpus) {
  const double asked = phase.batch_tokens / static_cast<double>(phase.sequence_length);
  const std::int64_t odd = odd_part(gpus);
  std::int64_t round = std::max<std::int64_t>(1, std::llround(asked));
  for (std::int64_t unit = odd; static_cast<double>(unit) <= 1.05 * asked; unit *= 2) {
    const std::int64_t batch = std::max<std::int64_t>(1, std::llround(asked / static_cast<double>(unit))) * unit;
    if (std::abs(static_cast<double>(batch) / asked - 1) <= 0.05) round = batch;
  }
  if (asked == std::floor(asked) && round != static_cast<std::int64_t>(asked)) {
    return {static_cast<std::int64_t>(asked), round};
  }
  return {round};
}

Job job_of(const Job& base, const RecipePhase& phase, std::int64_t batch) {
  Job job = base;
  job.plan.sequence_length = phase.sequence_length;
  job.plan.global_batch = batch;
  return job;
}

PacedPhase paced(const RecipePhase& phase, Job job) {
  PacedPhase found;
  found.phase = phase;
  found.report = predict(job);
  found.batch_tokens = static_cast<double>(job.plan.global_batch * job.plan.sequence_length);
  found.job = std::move(job);
  return found;
}

/// The plan of another phase, where it runs with this batch as well.
std::optional<PacedPhase> with_plan_of(const PacedPhase& other, const Job& base, const RecipePhase& phase) {
  if (other.job.plan.sequence_length != phase.sequence_length) return std::nullopt;
  const std::int64_t unit = other.job.plan.microbatch * other.job.plan.data_parallel;
  const double asked = phase.batch_tokens / static_cast<double>(phase.sequence_length);
  const std::int64_t batch = std::max<std::int64_t>(1, std::llround(asked / static_cast<double>(unit))) * unit;
  if (std::abs(static_cast<double>(batch) / asked - 1) > 0.25) return std::nullopt;
  Job job = job_of(base, phase, batch);
  job.plan = other.job.plan;
  job.plan.global_batch = batch;
  PacedPhase found = paced(phase, std::move(job));
  if (!found.report.feasible) return std::nullopt;
  return found;
}

using Reasons = std::vector<std::pair<std::string, std::uint64_t>>;

/// Why plans of a space cannot be. First memory, which is what no other degree mends; then the most frequent.
Reasons reasons_of(const Tally& tally) {
  Reasons all(tally.infeasible.begin(), tally.infeasible.end());
  const auto rank = [](const auto& reason) {
    return std::pair(reason.first.find("memory") == std::string::npos, -static_cast<double>(reason.second));
  };
  std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return all;
}

std::string words_of(const Reasons& all) {
  std::string text;
  for (std::size_t i = 0; i < all.size() && i < 3; ++i) {
    text += fmt::format("{}{}: {}", i > 0 ? "; " : "", count_text(static_cast<double>(all[i].second)), all[i].first);
  }
  return text;
}

std::optional<PacedPhase> searched(const Job& base, const RecipePhase& phase, const PlanSpace& space, Pace& pace) {
  std::optional<PacedPhase> best;
  Tally tally;
  for (const std::int64_t batch : batches(phase, base.cluster.gpus)) {
    const Sweep sweep = space(job_of(base, phase, batch));
    SearchOptions options;
    options.top = 1;
    const SearchResult found = search(sweep, options);
    tally += found.tally;
    if (found.best.empty()) continue;
    const Variant& variant = sweep.variants[found.best[0].variant];
    Job job = variant.base;
    job.plan = variant.plan(found.best[0].id);
    complete(job.plan, variant.base);
    PacedPhase candidate = paced(phase, std::move(job));
    if (!best || candidate.time() < best->time()) best = std::move(candidate);
  }
  if (!best) {
    const Reasons reasons = reasons_of(tally);
    pace.reason = reasons.empty() ? "nothing to try" : reasons.front().first;
    pace.problem = fmt::format(
        "no plan of {} considered runs with sequences of {} tokens on {} GPU{} ({})",
        count_text(static_cast<double>(tally.considered)), count_text(static_cast<double>(phase.sequence_length)),
        count_text(static_cast<double>(base.cluster.gpus)), base.cluster.gpus == 1 ? "" : "s", words_of(reasons));
  }
  return best;
}

}  // namespace

Seconds Pace::productive() const {
  Seconds sum;
  for (const PacedPhase& phase : phases) sum += phase.time();
  return sum;
}

double Pace::steps() const {
  double sum = 0;
  for (const PacedPhase& phase : phases) sum += phase.steps();
  return sum;
}

const PacedPhase& Pace::main() const {
  return *std::max_element(phases.begin(), phases.end(),
                           [](const PacedPhase& a, const PacedPhase& b) { return a.time() < b.time(); });
}

Pace pace_of(const Job& base, const std::vector<RecipePhase>& phases, const PlanSpace& space, const Pace* known) {
  Pace pace;
  // The longest phase is searched for first: the others keep its plan where they can, as runs do that ramp their batch.
  std::vector<std::size_t> order(phases.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return phases[a].tokens > phases[b].tokens; });
  std::vector<std::optional<PacedPhase>> found(phases.size());
  for (const std::size_t place : order) {
    const RecipePhase& phase = phases[place];
    std::optional<PacedPhase>& mine = found[place];
    if (known != nullptr && known->phases.size() == phases.size()) {
      mine = with_plan_of(known->phases[place], base, phase);
    }
    for (std::size_t other = 0; other < phases.size() && !mine; ++other) {
      if (found[other]) mine = with_plan_of(*found[other], base, phase);
    }
    if (!mine) mine = searched(base, phase, space, pace);
    if (!mine) return pace;
  }
  for (std::optional<PacedPhase>& phase : found) pace.phases.push_back(std::move(*phase));
  return pace;
}

}  // namespace stepcast
