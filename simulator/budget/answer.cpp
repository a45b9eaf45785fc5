#include "simulator/budget/answer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/budget/training_compute.hpp"
#include "simulator/report/traits.hpp"
#include "simulator/resolve.hpp"
#include "simulator/units/calendar.hpp"
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

/// N as the law counts it.
double law_parameters(const ScalingLaw& law, const Architecture& model) {
  const ModelSize count = count_parameters(model);
  return law.size == SizeCount::non_embedding ? count.non_embedding : count.active;
}

std::optional<double> loss_of(const ScalingLaw& law, const Architecture& model, double tokens) {
  if (!has_loss(law)) return std::nullopt;
  return loss(law, law_parameters(law, model), tokens);
}

/// What a run that is like another takes from it.
struct Start {
  const ClusterAnswer* near = nullptr;  ///< compute to begin the search with
  bool keeps_plans = false;             ///< and its plans, where they still run
  double step_time = 1;                 ///< of the simulated one

  const Pace* plans() const { return near != nullptr && keeps_plans ? &near->pace : nullptr; }
};

/// Nobody plans for longer; and failures of longer runs are too many to be simulated.
constexpr Seconds longest_run = 10 * year;

/// The run of a model of the wanted size on one cluster.
class Run {
 public:
  Run(const Question& question, const ClusterOption& option, const Start& start = {})
      : question_(question), option_(option), slower_(start.step_time) {}

  ClusterAnswer of(const TrainingSize& wanted, const Pace* known) const {
    ClusterAnswer run;
    run.name = option_.name;
    run.wanted = wanted;
    run.gpus = option_.base.cluster.gpus;
    if (run.gpus > option_.base.cluster.domain_gpus() && option_.base.cluster.fabric.name == "none") {
      run.problem = "nothing joins several nodes: the cluster has no `fabric`";
      return run;
    }
    try {
      run.model = question_.model ? *question_.model : shaped(wanted.parameters);
    } catch (const UserError& no_shape) {
      run.problem = fmt::format("it asks for a model of {} parameters on {} tokens: {}", size_text(wanted.parameters),
                                size_text(wanted.tokens), no_shape.what());
      return run;
    }
    const ModelSize count = count_parameters(run.model);
    run.parameters = count.total;
    run.active_parameters = count.active;
    // The model that can be built is a little larger or smaller than was wanted: the tokens make up for it.
    const bool fixed = question_.model && question_.budget.kind == Budget::Kind::none;
    run.tokens = fixed || question_.tokens ? wanted.tokens : wanted.parameters * wanted.tokens / count.active;
    if (question_.budget.kind == Budget::Kind::loss && !question_.tokens) {
      run.tokens = tokens_for_loss(question_.law, law_parameters(question_.law, run.model), question_.budget.amount)
                       .value_or(run.tokens);
    }
    run.compute = Flops(6 * count.active * run.tokens);
    run.loss = loss_of(question_.law, run.model, run.tokens);
    if (question_.law.unique_tokens) {
      run.repeated = {*question_.law.unique_tokens, effective(question_.law, {count.active, run.tokens}).tokens};
    }
    if (question_.served) {
      run.life = lifetime_cost({count.active, run.tokens}, *question_.served, question_.prices);
    }

    Job base = option_.base;
    base.model = run.model;
    run.pace = pace_of(base, phases_of(question_.recipe, run.tokens), option_.space, known);
    run.problem = run.pace.problem;
    if (const Seconds steps = run.pace.productive(); run.problem.empty() && steps > longest_run) {
      run.problem = fmt::format("its steps alone take {} years on {} GPUs", size_text(steps / year),
                                count_text(static_cast<double>(run.gpus)));
    }
    if (run.problem.empty()) spend(run);
    return run;
  }

  /// Heads and layers divide by the degrees that models of that size are trained with; if none such comes near the size,
  /// by nothing.
  Architecture shaped(double parameters) const {
    ShapeRequest request = question_.shape;
    request.parameters = parameters;
    request.of = question_.law.size == SizeCount::non_embedding ? ShapeSize::non_embedding : ShapeSize::active;
    if (question_.law.compute == ComputeCount::non_embedding_per_token) {
      request.of = ShapeSize::non_embedding_with_attention;
    }
    for (const RecipeRule& rule : question_.recipe) {
      request.sequence_length = std::max(request.sequence_length, static_cast<double>(rule.sequence_length));
    }
    if (parameters > 3e9) request.tensor_parallel = std::min(8, option_.base.cluster.gpus_per_node);
    request.layers_divide_by = parameters > 2e11 ? 8 : parameters > 2e10 ? 4 : parameters > 3e9 ? 2 : 1;
    ShapeAnswer found = shape_of(request);
    if (!found.shape) {
      request.tensor_parallel = request.layers_divide_by = 1;
      found = shape_of(request);
    }
    if (found.shape) return found.shape->model;
    if (found.nearest) return found.nearest->model;
    throw UserError(found.refusal);
  }

 private:
  void spend(ClusterAnswer& run) const {
    Flops with_attention;
    double matrix_flops = 0, capacity = 0;
    for (const PacedPhase& phase : run.pace.phases) {
      with_attention +=
          flops_per_token(run.model, static_cast<double>(phase.phase.sequence_length)) * phase.phase.tokens;
      matrix_flops += phase.report.mfu * phase.time().si();
      capacity += phase.time().si();
    }
    run.compute_with_attention = with_attention;
    run.mfu = matrix_flops / capacity;
    take_time(run);
    if (!run.campaign.feasible) {
      run.problem = run.campaign.infeasible_reason;
      return;
    }
    take_energy(run);
    take_money(run);
  }

  void take_time(ClusterAnswer& run) const {
    const PacedPhase& main = run.pace.main();
    CampaignInput input;
    for (const PacedPhase& phase : run.pace.phases) {
      input.phases.push_back(
          {std::max<std::int64_t>(1, std::llround(phase.steps())), phase.report.step_time * slower_});
    }
    input.gpus_per_node = option_.base.cluster.gpus_per_node;
    input.nodes = (run.gpus + input.gpus_per_node - 1) / input.gpus_per_node;
    input.spare_nodes = option_.spare_nodes;
    if (option_.elastic) {
      input.elastic_replica_nodes =
          std::max<std::int64_t>(1, run.gpus / main.job.plan.data_parallel / input.gpus_per_node);
    }
    input.reliability = option_.reliability;
    const CheckpointStorage storage =
        option_.storage.value_or(default_checkpoint_storage(static_cast<double>(input.nodes)));
    input.checkpoint = checkpoint_cost(checkpoint_size(run.parameters, option_.checkpoint_state), run.gpus, storage,
                                       option_.checkpoint_mode);
    input.checkpoint_interval = option_.checkpoint_interval;
    input.evaluation = question_.evaluation;
    input.spikes.per_step = question_.loss_spikes / run.pace.steps();
    input.data_share = question_.data_share;
    run.checkpoint = input.checkpoint;
    run.campaign = simulate_campaign(input, question_.trials, question_.seed);
    run.gpus_held = run.gpus + run.campaign.spare_nodes * input.gpus_per_node;
    run.gpu_hours = static_cast<double>(run.gpus_held) * run.campaign.days.mean * 24;
  }

  void take_energy(ClusterAnswer& run) const {
    const Watts limit = option_.base.cluster.gpu.power_limit.value;
    double joules = 0, seconds = 0;
    for (const PacedPhase& phase : run.pace.phases) {
      joules += (average_power(phase.report, limit) * phase.time()).si();
      seconds += phase.time().si();
    }
    run.power_per_gpu = option_.power_per_gpu > Watts(0) ? option_.power_per_gpu : Watts(joules / seconds);
    const CampaignTime& time = run.campaign.time;
    const Seconds stepping = time.productive + time.lost_work + time.slow;
    const double gpus = static_cast<double>(run.gpus);
    const Seconds held = run.wall() * static_cast<double>(run.gpus_held);
    run.energy = energy(stepping * gpus, run.power_per_gpu, held - stepping * gpus, limit * PowerLevels{}.waiting,
                        option_.node_power.value_or(NodePower{}), option_.site);
  }

  void take_money(ClusterAnswer& run) const {
    if (!option_.tenure) return;
    Usage usage;
    usage.gpus = static_cast<double>(run.gpus_held);
    usage.wall = run.wall();
    usage.energy = run.energy.facility;
    usage.checkpoint = run.checkpoint.size;
    usage.checkpoints_kept = option_.checkpoints_kept;
    usage.kept_for = run.wall() * 0.5;
    usage.dataset = option_.dataset;
    usage.egress = option_.egress;
    run.bill = bill(usage, *option_.tenure, option_.storage_terms);
  }

  const Question& question_;
  const ClusterOption& option_;
  double slower_;
};

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
    ClusterAnswer next = Run(same, option, start).of(size, &last.pace);
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
  const Run run(question, option, start);
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
  return Run(question, option, start).of(size, start.plans());
}

/// A run that is no step of its batch is none.
ClusterAnswer run_on(const Question& question, const ClusterOption& option, const Start& start, const Told& told) {
  ClusterAnswer run = sized_run_on(question, option, start, told);
  if (run.problem.empty() && run.tokens < run.pace.main().phase.batch_tokens) {
    run.problem = fmt::format("its {} tokens are less than one step of {} (training.batch_tokens)",
                              number_text(run.tokens), number_text(run.pace.main().phase.batch_tokens));
  }
  return run;
}

/// The smallest model of the family above a size that is too small for it.
std::optional<Architecture> smallest_above(const Run& run, double parameters) {
  for (double n = std::max(parameters, 1e6); n < 1e9; n *= 1.1) {
    try {
      return run.shaped(n);
    } catch (const UserError&) {
      continue;  // still too small
    }
  }
  return std::nullopt;
}

/// The nearest that could be instead of a run that cannot.
std::vector<std::string> possible_instead(const Question& question, const ClusterOption& option,
                                          const ClusterAnswer& failed) {
  std::vector<std::string> found;
  Question probe = question;
  probe.budget = {};
  probe.trials = std::min(question.trials, 100);
  if (probe.shape.family.empty()) probe.shape.family = "llama3";
  const Run own(probe, option);
  if (failed.model.layers == 0) {  // no shape
    if (const auto smallest = smallest_above(own, failed.wanted.parameters)) {
      const double n = count_parameters(*smallest).active;
      const double ratio = failed.wanted.tokens / failed.wanted.parameters;
      found.push_back(fmt::format("a model of {} parameters, for which {} tokens a parameter are {}", size_text(n),
                                  number_text(ratio), compute_text(Flops(6 * n * n * ratio))));
    }
    return found;
  }
  const auto runs = [&](const Architecture& model, double tokens, std::int64_t gpus) {
    probe.model = model;
    probe.tokens = tokens;
    ClusterOption other = option;
    other.base.cluster.gpus = gpus;
    Job base = other.base;
    base.model = model;
    try {
      if (failed.pace.phases.empty())
        return !pace_of(base, phases_of(probe.recipe, tokens), other.space).phases.empty();
      return Run(probe, other).of({count_parameters(model).active, tokens}, nullptr).problem.empty();
    } catch (const UserError&) {
      return false;  // such as nodes that nothing joins
    }
  };
  const std::int64_t now = option.base.cluster.gpus;
  const std::int64_t node = option.base.cluster.gpus_per_node;
  const auto add_gpus = [&](std::int64_t gpus) {
    if (!runs(failed.model, failed.tokens, gpus)) return false;
    found.push_back(fmt::format("this model on {} such GPUs", count_text(static_cast<double>(gpus))));
    return true;
  };
  const bool of_memory = failed.pace.reason.find("memory") != std::string::npos;
  std::int64_t most = node;
  while (most * 2 < now) most *= 2;
  for (std::int64_t gpus = most; !of_memory && gpus < now && gpus >= node && !add_gpus(gpus); gpus /= 2) {
  }
  for (std::int64_t gpus = std::max(now, node) * 2; found.empty() && gpus <= 65536 && !add_gpus(gpus); gpus *= 2) {
  }
  if (found.empty() && of_memory) {
    // 16 bytes a parameter: Rajbhandari et al. 2020 (arXiv 1910.02054), sec. 3.1.
    const double needed = std::ceil(16 * failed.parameters / option.base.cluster.gpu.memory.value.si());
    found.push_back(fmt::format(
        "more GPUs{}: weights, gradients and Adam's moments alone, 16 bytes a "
        "parameter, fill {} of these",
        option.base.cluster.fabric.name == "none" ? ", and a fabric that joins them" : "", count_text(needed)));
  }
  for (double n = failed.active_parameters / 2; n > 5e7; n /= 2) {
    probe.model.reset();
    Architecture model;
    try {
      model = own.shaped(n);
    } catch (const UserError&) {
      break;
    }
    if (!runs(model, failed.tokens, now)) continue;
    found.push_back(
        fmt::format("a model of about {} parameters on {}", size_text(count_parameters(model).total),
                    now == 1 ? "this GPU" : fmt::format("these {} GPUs", count_text(static_cast<double>(now)))));
    break;
  }
  return found;
}

/// Of a run that is only compared with, the mean alone counts.
constexpr int trials_of_comparisons = 1000;

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
    said.description = law->description;
    said.size = optimum(*law, compute);
    said.range = optimum_interval(*law, compute);
    if (has_loss(*law)) said.loss = loss(*law, said.size.parameters, said.size.tokens);
    if (const auto beyond = extrapolation(*law, compute)) said.beyond = beyond->factor;
    all.push_back(std::move(said));
  }
  return all;
}

class WhatIfs {
 public:
  WhatIfs(const Question& question, const ClusterOption& option, const ClusterAnswer& run, const Told& told)
      : question_(question), option_(option), run_(run), told_(told) {}

  std::vector<WhatIf> all() {
    const Budget::Kind kind = question_.budget.kind;
    if (kind != Budget::Kind::none && kind != Budget::Kind::loss) {
      budget("twice the budget", 2);
      budget("half the budget", 0.5);
    }
    if (kind == Budget::Kind::loss) {
      Question other = question_;
      other.budget.amount -= 0.02;
      add("a loss lower by 0.02", other, option_);
    }
    if (!question_.model && !question_.tokens) {
      Question other = question_;
      other.served.reset();
      other.tokens_per_parameter = 5 * run_.tokens / run_.active_parameters;
      add(fmt::format("{} tokens a parameter (5 times as many)", number_text(*other.tokens_per_parameter)), other,
          option_);
    }
    if (const auto& interval = run_.pace.main().report.interval) {
      const double middle = run_.pace.main().report.step_time.si();
      speed("steps as slow as the interval's end", interval->second.si() / middle);
      speed("steps as fast as its other end", interval->first.si() / middle);
    }
    failures("failures twice as frequent", 2);
    failures("no failures", 0);
    if (option_.checkpoint_mode == CheckpointMode::asynchronous) {
      ClusterOption other = option_;
      other.checkpoint_mode = CheckpointMode::synchronous;
      add("training waits for every checkpoint", question_, other, true);
    }
    Question batch = question_;
    for (RecipeRule& rule : batch.recipe) rule.batch_tokens *= 2;
    add("twice the batch, if the loss does not mind", batch, option_);
    ClusterOption larger = option_;
    larger.base.cluster.gpus *= 2;
    add("twice the GPUs", question_, larger);
    return std::move(found_);
  }

 private:
  void budget(const char* change, double factor) {
    Question other = question_;
    other.budget.amount *= factor;
    add(change, other, option_);
  }
  void speed(const char* change, double factor) { add(change, question_, option_, true, factor); }
  void failures(const char* change, double factor) {
    ClusterOption other = option_;
    other.reliability.failures_per_gpu.value *= factor;
    add(change, question_, other, true);
  }

  void add(const std::string& change, const Question& question, const ClusterOption& option, bool keeps_plans = false,
           double step_time = 1) {
    if (told_) told_("what if: " + change);
    WhatIf line;
    line.change = change;
    try {
      Question fewer_trials = question;
      fewer_trials.trials = std::min(question.trials, trials_of_comparisons);
      const ClusterAnswer other = run_on(fewer_trials, option, {&run_, keeps_plans, step_time}, {});
      line.problem = other.brief_problem();
      const std::int64_t spares = other.campaign.spare_nodes;
      if (line.problem.empty() && other.gpus == run_.gpus && spares != run_.campaign.spare_nodes)
        line.change += fmt::format(" ({} spare node{})", spares, spares == 1 ? "" : "s");
      line.parameters = other.parameters;
      line.tokens = other.tokens;
      line.loss = other.loss;
      if (other.problem.empty()) line.days = other.campaign.days.mean, line.dollars = other.dollars();
    } catch (const UserError& error) {
      line.problem = error.what();
    }
    found_.push_back(std::move(line));
  }

  const Question& question_;
  const ClusterOption& option_;
  const ClusterAnswer& run_;
  const Told& told_;
  std::vector<WhatIf> found_;
};

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
    result.what_if = WhatIfs(question, question.clusters[result.best], best, told).all();
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace stepcast
