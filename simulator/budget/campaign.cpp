#include "simulator/budget/campaign.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/campaign_trial.hpp"
#include "simulator/budget/timetable.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();
constexpr double most_spikes_at_once = 4;  // in what a spike takes back: beyond e^4, a run is said never to end
constexpr double least_goodput = 0.01;     // below it, a run is said never to end

// --- what can be said beforehand -----------------------------------------------------------------------------------

bool is_share(double value) { return value >= 0 && value <= 1; }

/// Why there is nothing to simulate; empty when there is.
std::string problem_of(const CampaignInput& input) {
  const Reliability& reliability = input.reliability;
  std::int64_t steps = 0;
  for (const TrainingPhase& phase : input.phases) {
    if (phase.steps < 0) return fmt::format("a phase of {} steps", phase.steps);
    if (phase.steps > 0 && !(phase.step_time > Seconds(0) && std::isfinite(phase.step_time.si())))
      return "a step that takes no time";
    steps += phase.steps;
  }
  if (steps == 0) return "no steps to train";
  if (input.nodes < 1 || input.gpus_per_node < 1) return "a job without GPUs";
  if (input.spare_nodes && *input.spare_nodes < 0) return "fewer than no spare nodes";
  if (input.elastic_replica_nodes < 0 || input.elastic_replica_nodes > input.nodes)
    return fmt::format("a replica of {} nodes in a job of {}", input.elastic_replica_nodes, input.nodes);
  if (!(reliability.failures_per_gpu.value >= Hertz(0))) return "a negative rate of failures";
  if (!(reliability.planned.value >= Hertz(0))) return "a negative rate of planned interruptions";
  if (!is_share(reliability.takes_node.value)) return "a share of failures that is none";
  if (!(reliability.shape.value > 0)) return "a shape of failures that is not above zero";
  if (!(reliability.slow_share.value >= 0 && reliability.slow_spread.value >= 0))
    return "a negative share of slow nodes";
  if (!(input.data_share >= 0)) return "a negative wait for data";
  for (const Seconds time : {reliability.detect.value, reliability.restart.value, reliability.replace.value,
                             reliability.repair.value, reliability.planned_time.value, input.checkpoint.stall,
                             input.checkpoint.write, input.checkpoint.load, input.evaluation.time}) {
    if (!(time >= Seconds(0) && std::isfinite(time.si()))) return "something that takes negative or endless time";
  }
  if (const auto& copies = input.memory_checkpoints) {
    const bool possible = copies->stall >= Seconds(0) && copies->load >= Seconds(0);
    if (!possible || (copies->interval && !(*copies->interval > Seconds(0))))
      return "checkpoints in memory that cannot be";
  }
  if (input.checkpoint_interval && !(*input.checkpoint_interval > Seconds(0)))
    return "a checkpoint interval that is not above zero";
  if (input.spikes.per_step > 1)
    return fmt::format("{} loss spikes a step: at most one can be", number_text(input.spikes.per_step));
  if (!is_share(input.spikes.per_step) || input.spikes.back_steps < 0) return "loss spikes that cannot be";
  if (input.spikes.per_step * static_cast<double>(input.spikes.back_steps) >= 1) {
    return fmt::format("a loss spike every {} steps that goes back {}: the run never ends",
                       number_text(1 / input.spikes.per_step), input.spikes.back_steps);
  }
  return {};
}

/// From the failure to the step after it, on average.
Seconds time_to_restart(const CampaignInput& input) {
  const Reliability& of = input.reliability;
  return of.detect.value + of.replace.value * of.takes_node.value + of.restart.value + input.checkpoint.load;
}

double best_goodput(const CampaignInput& input, Seconds mttf) {
  const Seconds stall = input.checkpoint.stall;
  const Seconds interval = std::max(optimal_interval(stall, mttf), input.checkpoint.shortest_interval);
  if (std::isinf(interval.si())) return 1;
  if (interval <= Seconds(0)) return std::exp(-time_to_restart(input) / mttf);
  return goodput_exponential(interval, stall, time_to_restart(input), mttf);
}

/// What would let half of the time be useful.
std::string never_ends(const CampaignInput& input, Seconds mttf, double goodput) {
  const double gpus = static_cast<double>(input.nodes) * input.gpus_per_node;
  if (const double best = best_goodput(input, mttf); input.checkpoint_interval && best >= least_goodput) {
    return fmt::format(
        "the run never ends: {} GPUs fail every {} on average, before a checkpoint every {} is reached. At the best "
        "interval, {}, {} of the time would be useful",
        count_text(gpus), to_text(mttf), to_text(*input.checkpoint_interval),
        to_text(std::max(optimal_interval(input.checkpoint.stall, mttf), input.checkpoint.shortest_interval)),
        percent_text(best));
  }
  double factor = 1;
  while (factor < 1e9 && best_goodput(input, mttf * factor) < 0.5) factor *= 1.05;
  const double enough = std::floor(gpus / factor);
  return fmt::format(
      "the run never ends: {} GPUs fail every {} on average, and after a failure it takes {} until they train again, "
      "so that {} of the time would be useful. Half of it would be {}with failures {} times rarer; faster detection, "
      "restarts and checkpoints help as well",
      count_text(gpus), to_text(mttf), to_text(time_to_restart(input)),
      goodput < 1e-4 ? "next to nothing" : percent_text(goodput),
      enough >= 1 ? fmt::format("on {} GPUs, or ", count_text(enough)) : std::string(), number_text(factor, 2));
}

/// What no expectation said beforehand.
std::string leaves_no_time(const CampaignInput& input, const CampaignOutcome& outcome) {
  std::string reason =
      fmt::format("the run never ends: failures every {}", to_text(outcome.mean_time_between_failures));
  if (const Hertz planned = input.reliability.planned.value; planned > Hertz(0))
    reason += fmt::format(" and planned interruptions every {}", to_text(1.0 / planned));
  reason += " leave next to no time to train";
  if (outcome.spare_nodes < outcome.recommended_spares) {
    reason += fmt::format("; with {} spare nodes, of {} that are needed, it waits for repairs of {}",
                          outcome.spare_nodes, outcome.recommended_spares, to_text(input.reliability.repair.value));
  }
  return reason;
}

struct Interval {
  Seconds time;            ///< productive, between two checkpoints
  std::int64_t steps = 1;  ///< of the longest phase
};

/// In whole steps of the longest phase: at least one step of each phase, at most the run.
/// @param shortest  a limit below
Interval whole_steps(const CampaignInput& input, Seconds interval, Seconds shortest = Seconds(0)) {
  Seconds work, longest_step, main_step, most;
  for (const TrainingPhase& phase : input.phases) {
    if (phase.steps == 0) continue;
    const Seconds time = static_cast<double>(phase.steps) * phase.step_time;
    work += time;
    longest_step = std::max(longest_step, phase.step_time);
    if (time > most) most = time, main_step = phase.step_time;
  }
  double steps = std::round(std::min(interval, work) / main_step);
  steps = std::max({1.0, steps, std::ceil(shortest / main_step)});
  return {std::max(longest_step, steps * main_step), static_cast<std::int64_t>(steps)};
}

/// What was asked for or is best; not below the time that writing one behind training takes.
Interval checkpoint_interval(const CampaignInput& input, Seconds mttf, std::vector<std::string>& remarks) {
  // Where memory holds copies, storage serves the failures that take them along; and loss spikes, which go further back.
  const bool copies_are_lost = input.memory_checkpoints && !input.memory_checkpoints->survive_loss_of_node;
  const Hertz failures = (copies_are_lost ? input.reliability.takes_node.value : 1.0) / mttf;
  const Hertz spikes = input.spikes.per_step / whole_steps(input, Seconds(0)).time;
  const Seconds served = 1.0 / (failures + spikes);
  const Seconds shortest = input.checkpoint.shortest_interval;
  if (input.checkpoint_interval && *input.checkpoint_interval < shortest) {
    remarks.push_back(fmt::format("checkpoints every {} instead of {}: it takes so long to write one in the background",
                                  to_text(shortest), to_text(*input.checkpoint_interval)));
  }
  return whole_steps(input, input.checkpoint_interval.value_or(optimal_interval(input.checkpoint.stall, served)),
                     shortest);
}

/// Of failures and checkpoints alone. With copies in memory, a product: theirs by the exponential model, the stalls of
/// storage, and the work that the loss of a node takes beyond them.
double expected_goodput(const CampaignInput& input, const CampaignOutcome& outcome) {
  const Seconds mttf = outcome.mean_time_between_failures, interval = outcome.checkpoint_interval;
  const Seconds stall = input.checkpoint.stall, restart = time_to_restart(input);
  if (!input.memory_checkpoints) return goodput_exponential(interval, stall, restart, mttf);
  const MemoryCheckpoints& copies = *input.memory_checkpoints;
  const double of_memory = goodput_exponential(*outcome.memory_interval, copies.stall, restart, mttf);
  const double of_stalls = interval / (interval + stall);
  const double taken = copies.survive_loss_of_node ? 0 : input.reliability.takes_node.value;
  return of_memory * of_stalls / (1 + taken * (interval / 2 / mttf));
}

}  // namespace

CampaignOutcome simulate_campaign(const CampaignInput& input, int trials, std::uint64_t seed) {
  CHECK(trials > 0, "an outcome is of trials");
  CampaignOutcome outcome;
  const auto refuse = [&](std::string reason) {
    outcome.feasible = false;
    outcome.infeasible_reason = std::move(reason);
    return outcome;
  };
  if (std::string problem = problem_of(input); !problem.empty()) return refuse(std::move(problem));

  const Reliability& reliability = input.reliability;
  const std::int64_t gpus = input.nodes * input.gpus_per_node;
  const Seconds mttf = mean_time_between_failures(reliability, gpus);
  outcome.trials = trials;
  outcome.mean_time_between_failures = mttf;
  outcome.recommended_spares = spare_nodes_needed(reliability, input.nodes, input.gpus_per_node);
  outcome.spare_nodes = input.spare_nodes.value_or(outcome.recommended_spares);
  const Interval interval = checkpoint_interval(input, mttf, outcome.remarks);
  outcome.checkpoint_interval = interval.time;
  outcome.checkpoint_steps = interval.steps;
  if (const double back = static_cast<double>(input.spikes.back_steps + interval.steps);
      input.spikes.per_step * back > most_spikes_at_once) {
    return refuse(
        fmt::format("a loss spike every {} steps that goes back {} and to the checkpoint before, one every {} "
                    "steps: the run never ends; checkpoints have to be nearer to one another",
                    number_text(1 / input.spikes.per_step), input.spikes.back_steps, interval.steps));
  }
  if (const auto& copies = input.memory_checkpoints)
    outcome.memory_interval = whole_steps(input, copies->interval.value_or(optimal_interval(copies->stall, mttf))).time;
  outcome.expected_goodput = expected_goodput(input, outcome);
  if (!(outcome.expected_goodput >= least_goodput)) return refuse(never_ends(input, mttf, outcome.expected_goodput));

  const std::int64_t replica = input.elastic_replica_nodes > 0 ? input.elastic_replica_nodes : input.nodes;
  const CampaignPlan plan{input,
                          Timetable(input, outcome.checkpoint_interval, outcome.memory_interval),
                          outcome.spare_nodes,
                          replica,
                          input.nodes / replica,
                          reliability.failures_per_gpu.value.si() * static_cast<double>(gpus),
                          reliability.planned.value > Hertz(0) ? 1 / reliability.planned.value.si() : never};
  outcome.checkpoints = plan.timetable.checkpoints(plan.timetable.steps());

  GivenUp given_up = false;
  std::vector<CampaignTrial> runs(static_cast<std::size_t>(trials));
  tbb::parallel_for(tbb::blocked_range<int>(0, trials, 8), [&](const tbb::blocked_range<int>& some) {
    for (int trial = some.begin(); trial < some.end(); ++trial)
      runs[static_cast<std::size_t>(trial)] = run_trial(plan, seed, trial, given_up);
  });

  if (given_up) return refuse(leaves_no_time(input, outcome));

  std::vector<double> days, failures, planned, spikes;
  const double weight = 1.0 / trials;
  for (const CampaignTrial& run : runs) {
    days.push_back(run.time.total() / day);
    failures.push_back(run.failures);
    planned.push_back(run.planned);
    spikes.push_back(run.spikes);
    for (const CampaignTimePart& part : parts_of_campaign) outcome.time.*part.time += weight * run.time.*part.time;
    outcome.nodes_in_repair += weight * run.nodes_in_repair / run.time.total().si();
  }
  const auto waited = std::count_if(runs.begin(), runs.end(), [](const CampaignTrial& run) { return run.waited; });
  outcome.waited_share = static_cast<double>(waited) / trials;
  outcome.days = distribution(days);
  outcome.histogram = histogram(days);
  outcome.failures = distribution(std::move(failures));
  outcome.planned = distribution(std::move(planned));
  outcome.spikes = distribution(std::move(spikes));
  outcome.goodput = outcome.time.productive / outcome.time.total();
  return outcome;
}

CampaignGpuTime gpu_time(const CampaignOutcome& outcome, std::int64_t nodes, int gpus_per_node) {
  const CampaignTime& time = outcome.time;
  const double gpus = static_cast<double>(nodes) * gpus_per_node;
  const double held = static_cast<double>(nodes + outcome.spare_nodes) * gpus_per_node;
  const Seconds in_steps = time.productive + time.slow + time.lost_work;
  return {gpus * in_steps, held * time.total() - gpus * in_steps};
}

}  // namespace stepcast
