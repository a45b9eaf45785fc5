#include "simulator/budget/answer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/instead.hpp"
#include "simulator/budget/solve.hpp"
#include "simulator/budget/what_if.hpp"
#include "simulator/report/traits.hpp"

namespace stepcast {
namespace {

/// A run on GPUs that there may be no such cluster of.
ClusterAnswer tried(const Question& question, const ClusterOption& option) {
  try {
    return run_on(question, option, {}, {});
  } catch (const UserError& error) {
    ClusterAnswer none;
    none.problem = error.what();
    return none;
  }
}

/// The same run on fewer and more of the GPUs.
void add_sizes(const Question& question, const ClusterOption& option, ClusterAnswer& run, const Told& told) {
  Question same = question;
  same.model = run.model;
  same.tokens = run.tokens;
  same.budget = {};
  same.trials = std::min(question.trials, trials_of_comparisons);
  for (const double factor : {0.25, 0.5, 1.0, 2.0, 4.0}) {
    const double gpus = factor * static_cast<double>(run.gpus);
    if (gpus < 1 || gpus != std::floor(gpus)) continue;
    ClusterAnswer::Size size;
    size.gpus = static_cast<std::int64_t>(gpus);
    ClusterOption other = option;
    other.base.cluster.gpus = size.gpus;
    other.base.cluster.gpus_per_node =
        static_cast<int>(std::min<std::int64_t>(size.gpus, option.base.cluster.gpus_per_node));
    if (told && factor != 1) told(fmt::format("{}: searching plans on {} GPUs", option.name, size.gpus));
    const ClusterAnswer at = factor == 1 ? run : tried(same, other);
    size.problem = at.brief_problem();
    if (at.problem.empty()) {
      size.step_time = at.pace.main().report.step_time;
      size.mfu = at.mfu;
      size.days = at.campaign.days.mean;
      size.gpu_hours = at.gpu_hours;
      size.dollars = at.dollars();
    }
    run.sizes.push_back(std::move(size));
  }
}

void add_interval_of_step(const Question& question, ClusterAnswer& run) {
  for (PacedPhase& phase : run.pace.phases) {
    add_interval(question.learned, traits_of(phase.job), "", phase.report);
  }
  const Report& main = run.pace.main().report;
  if (!main.interval) return;
  const auto days = [&](Seconds step) {
    return run.campaign.days.mean + run.campaign.time.productive.si() / 86400 * (step / main.step_time - 1);
  };
  run.days_of_step_interval = {days(main.interval->first), days(main.interval->second)};
}

/// What other laws make of the compute of a run.
std::vector<LawAnswer> other_laws(const Question& question, Flops compute) {
  std::vector<LawAnswer> all;
  std::vector<const ScalingLaw*> laws{&question.law};
  for (const ScalingLaw& law : question.other_laws) {
    if (law.name != question.law.name) laws.push_back(&law);
  }
  for (const ScalingLaw* law : laws) {
    LawAnswer said;
    said.name = law->name;
    said.size = optimum(*law, compute);
    said.range = optimum_interval(*law, compute);
    if (has_loss(*law)) said.loss = loss(*law, said.size.parameters, said.size.tokens);
    if (const auto beyond = extrapolation(*law, compute)) said.beyond = beyond->factor;
    all.push_back(std::move(said));
  }
  return all;
}

std::size_t best_of(const std::vector<ClusterAnswer>& clusters) {
  const bool priced = std::all_of(clusters.begin(), clusters.end(),
                                  [](const ClusterAnswer& run) { return !run.problem.empty() || run.bill; });
  const auto rank = [priced](const ClusterAnswer& run) {
    // A law without a loss: what has most compute is best. Prices count where all have one.
    const double quality = run.loss ? std::round(1e4 * *run.loss) : -std::round(1e3 * std::log(run.compute.si()));
    return std::make_tuple(!run.problem.empty(), run.problem.empty() ? quality : 0,
                           priced ? run.dollars().value_or(0) : 0, run.campaign.days.mean);
  };
  return static_cast<std::size_t>(
      std::min_element(clusters.begin(), clusters.end(),
                       [&](const ClusterAnswer& a, const ClusterAnswer& b) { return rank(a) < rank(b); }) -
      clusters.begin());
}

}  // namespace

std::string ClusterAnswer::brief_problem() const {
  return problem.empty() || pace.reason.empty() ? problem : pace.reason;
}

std::optional<double> ClusterAnswer::dollars() const {
  return bill ? std::optional(bill->total().usd()) : std::nullopt;
}

Answer answer(const Question& question, const Told& told) {
  const auto began = std::chrono::steady_clock::now();
  Answer result;
  result.name = question.name;
  result.budget = question.budget;
  result.law = question.law.name;
  result.law_source = question.law.source;
  for (const ClusterOption& option : question.clusters) {
    ClusterAnswer run = run_on(question, option, {}, told);
    if (run.problem.empty()) {
      add_interval_of_step(question, run);
      add_sizes(question, option, run, told);
    } else if (run.pace.phases.empty() || !run.campaign.feasible) {  // else it runs, and the budget is what is wrong
      run.possible = possible_instead(question, option, run);
    }
    result.clusters.push_back(std::move(run));
  }
  result.best = best_of(result.clusters);
  const ClusterAnswer& best = result.clusters[result.best];
  if (best.compute > Flops(0)) {
    result.laws = other_laws(question, best.compute);
    if (has_loss(question.law)) {
      result.iso_flop = iso_flop_curve(question.law, best.compute);
      try {
        result.over_training = over_training(question.law, {law_parameters(question.law, best.model), best.tokens});
      } catch (const UserError&) {
        // At the least loss that the text allows, more compute buys nothing: there is no cheapest.
      }
    }
  }
  if (best.problem.empty()) {
    result.what_if = what_ifs(question, question.clusters[result.best], best, told);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace stepcast
