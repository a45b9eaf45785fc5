#include "simulator/budget/solve.hpp"

#include <cmath>

#include <fmt/format.h>

#include "simulator/budget/answer_formats.hpp"
#include "simulator/budget/training_compute.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

SizeWish wish_of(const Question& question) {
  SizeWish wish;
  wish.tokens = question.tokens;
  wish.tokens_per_parameter = question.tokens_per_parameter;
  wish.served = question.served;
  wish.prices = question.prices;
  if (question.model) {
    wish = {};
    wish.parameters = count_parameters(*question.model).active;
  }
  return wish;
}

/// What a run spends of the budget.
double spent(const ClusterAnswer& run, Budget::Kind kind) {
  switch (kind) {
    case Budget::Kind::gpu_hours: return run.gpu_hours;
    case Budget::Kind::dollars: return run.bill->total().usd();
    case Budget::Kind::days: return run.campaign.days.mean;
    default: return run.compute.si();
  }
}

/// To which a budget of the calendar is spent: models, plans and whole steps move spending by as much.
constexpr double budget_tolerance = 0.002;

bool is_of_the_calendar(Budget::Kind kind) {
  return kind == Budget::Kind::gpu_hours || kind == Budget::Kind::dollars || kind == Budget::Kind::days;
}

/// How far from the budget a run stays; one that goes beyond it is worse than any that does not.
double distance(const ClusterAnswer& run, const Budget& budget) {
  const double over = spent(run, budget.kind) / budget.amount - 1;
  return over > budget_tolerance ? 1 + over : std::abs(over);
}

/// Models come in steps, and a plan that no longer fits the next one costs a jump: what is left of the budget, or too much,
/// goes into tokens for the model that is there.
ClusterAnswer spend_the_rest(const Question& question, const ClusterOption& option, const Start& start,
                             ClusterAnswer best) {
  Question same = question;
  same.model = best.model;
  ClusterAnswer last = best;
  for (int round = 0; round < 4; ++round) {
    const double ratio = question.budget.amount / spent(last, question.budget.kind);
    if (std::abs(ratio - 1) < budget_tolerance || question.tokens || ratio > 2 || ratio < 0.5) break;
    const TrainingSize size{last.active_parameters, last.tokens * ratio};
    ClusterAnswer next = ClusterRun(same, option, start).of(size, &last.pace);
    if (!next.problem.empty()) break;
    next.wanted = best.wanted;
    last = std::move(next);
    if (distance(last, question.budget) < distance(best, question.budget)) best = last;
  }
  return best;
}

std::string amount_text(double amount, Budget::Kind kind) { return budget_text({kind, amount}); }

/// A budget below what is paid however little is trained: a reservation, a data set that leaves the site.
std::string too_little(const ClusterAnswer& run, const Budget& budget) {
  std::string problem =
      fmt::format("{} are less than what any run takes here: {}", amount_text(budget.amount, budget.kind),
                  amount_text(spent(run, budget.kind), budget.kind));
  if (budget.kind == Budget::Kind::dollars) {
    const auto most = std::max_element(run.bill->parts.begin(), run.bill->parts.end(),
                                       [](const Bill::Part& a, const Bill::Part& b) { return a.amount < b.amount; });
    problem += fmt::format(", of which {} for {}", dollars_text(most->amount.usd()), most->name);
  }
  return problem;
}

/// The compute that a budget of the calendar buys: spending grows with it, nearly in proportion, so that a few runs find it.
ClusterAnswer solve_for(const Question& question, const ClusterOption& option, const Start& start, const Told& told) {
  const Budget& budget = question.budget;
  const ClusterRun run(question, option, start);
  const Pace* known = start.plans();
  const double peak = option.base.cluster.gpu.peak_rate(option.base.plan.precision).si();
  double compute = start.near != nullptr  // else a month, to begin with
                       ? start.near->compute.si()
                       : 0.4 * peak * static_cast<double>(option.base.cluster.gpus) * 30 * 86400;
  double low = 0, high = 0;  // compute that spends less, and more
  ClusterAnswer best;        // the last run, and the one that is nearest to the budget from below
  std::optional<ClusterAnswer> below;
  double searched_at = 0;
  Pace searched;
  if (known != nullptr) searched = *known;
  for (int round = 0; round < 30; ++round) {
    const bool near = known != nullptr || (searched_at > 0 && std::abs(std::log(compute / searched_at)) < 0.5);
    if (told && !near) told(fmt::format("{}: searching plans for {} FLOPs", option.name, number_text(compute)));
    const TrainingSize size = size_for(question.law, Flops(compute), wish_of(question));
    ClusterAnswer now = run.of(size, near ? &searched : nullptr);
    if (!near) searched = now.pace, searched_at = compute;
    if (!now.problem.empty()) {
      const bool too_large = now.pace.phases.empty() && size.parameters > 1e9;
      if (too_large && low == 0 && round < 12) {  // to begin with
        high = compute;
        compute /= 8;
        continue;
      }
      return now;
    }
    const double spends = spent(now, budget.kind);
    if (spends <= 0) {
      now.problem = "its `price` asks no money for anything: dollars do not bound this run";
      return now;
    }
    const double ratio = budget.amount / spends;
    const bool close = std::abs(ratio - 1) < budget_tolerance;
    const bool fixed_costs =
        low == 0 && ratio < 1 && best.compute.si() > 2 * compute && spends > 0.97 * spent(best, budget.kind);
    (ratio >= 1 ? low : high) = compute;
    best = std::move(now);
    if (fixed_costs) {
      best.problem = too_little(best, budget);
      return best;
    }
    if (ratio >= 1 && (!below || distance(best, budget) < distance(*below, budget))) below = best;
    if (close && (known != nullptr || searched_at == compute)) break;
    if (close || (low > 0 && high > 0 && high / low < 1 + budget_tolerance)) {
      if (searched_at == compute || known != nullptr) break;
      searched_at = 0;  // once more with plans of its own
      if (close) continue;
    }
    double next = compute * ratio;
    if (low > 0 && high > 0 && (next <= low || next >= high)) next = std::sqrt(low * high);
    compute = next;
  }
  if (!best.problem.empty() || best.pace.phases.empty()) return best;
  best = spend_the_rest(question, option, start, std::move(best));
  return below && distance(*below, budget) < distance(best, budget) ? *below : best;
}

ClusterAnswer sized_run_on(const Question& question, const ClusterOption& option, const Start& start,
                           const Told& told) {
  if (is_of_the_calendar(question.budget.kind)) return solve_for(question, option, start, told);
  const SizeWish wish = wish_of(question);
  TrainingSize size;
  if (question.budget.kind == Budget::Kind::none) {
    size = {*wish.parameters, *question.tokens};
  } else if (question.budget.kind == Budget::Kind::loss) {
    size = size_for_loss(question.law, question.budget.amount, wish);
  } else {
    size = size_for(question.law, Flops(question.budget.amount), wish);
  }
  if (told && start.plans() == nullptr) told(fmt::format("{}: searching plans", option.name));
  return ClusterRun(question, option, start).of(size, start.plans());
}

}  // namespace

/// A run that is no step of its batch is none.
ClusterAnswer run_on(const Question& question, const ClusterOption& option, const Start& start, const Told& told) {
  ClusterAnswer run = sized_run_on(question, option, start, told);
  if (run.problem.empty() && run.tokens < run.pace.main().phase.batch_tokens) {
    run.problem = fmt::format("its {} tokens are less than one step of {} (training.batch_tokens)",
                              number_text(run.tokens), number_text(run.pace.main().phase.batch_tokens));
  }
  return run;
}

}  // namespace stepcast
