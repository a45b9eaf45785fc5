#include "simulator/budget/campaign.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/timetable.hpp"
#include "simulator/engine/expected_slowest.hpp"
#include "simulator/engine/random.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();
constexpr double least_goodput = 0.01;  // below it, a run is said never to end
constexpr int histogram_cells = 40;

/// Random values of one trial, in the order in which they are asked for.
class Draws {
 public:
  Draws(std::uint64_t seed, std::int64_t trial) : seed_(seed), trial_(trial) {}

  /// In (0, 1).
  double uniform() {
    constexpr double two_to_53 = 9007199254740992.0;
    return (static_cast<double>(random_bits(seed_, trial_, drawn_++) >> 11) + 0.5) / two_to_53;
  }
  double exponential(double mean) { return mean > 0 ? -mean * std::log(uniform()) : 0; }
  double log_normal(double mean, double deviation) {
    if (mean <= 0 || deviation <= 0) return mean;
    const double variance = std::log1p(deviation * deviation / (mean * mean));
    return mean * std::exp(std::sqrt(variance) * normal_quantile(uniform()) - variance / 2);
  }

 private:
  std::uint64_t seed_;
  std::int64_t trial_;
  std::int64_t drawn_ = 0;
};

/// What all trials share. Times are in seconds.
struct Plan {
  const CampaignInput& input;
  Timetable timetable;
  std::int64_t spare_nodes = 0;
  std::int64_t replica_nodes = 0;  ///< without which nothing runs
  std::int64_t replicas = 0;
  double failure_rate = 0;   ///< of the job
  double planned_every = 0;  ///< infinite: never
  double back_up = 0;        ///< restart and load
};

struct Trial {
  CampaignTime time;
  double failures = 0, planned = 0, spikes = 0;
  double nodes_in_repair = 0;  ///< integral over the run's time
  bool waited = false;
};

class Run {
 public:
  Run(const Plan& plan, std::uint64_t seed, std::int64_t trial) : plan_(plan), draws_(seed, trial) {
    next_planned_ = plan.planned_every;
    draw_failure();
    draw_spike();
  }

  Trial finish() {
    while (!run_until_interrupted()) {
    }
    const Timetable& whole = plan_.timetable;
    CampaignTime& time = trial_.time;
    time.productive = whole.productive(whole.steps());
    time.checkpoints = whole.checkpoint_time();
    time.evaluation = whole.evaluation_time();
    time.data = whole.data_time();
    for (auto left = repairs_; !left.empty(); left.pop()) {
      trial_.nodes_in_repair -= std::max(0.0, left.top() - now_);
    }
    CHECK(std::abs(time.total().si() - now_) <= 1e-6 * now_, "the parts of a run sum to its time");
    return trial_;
  }

 private:
  enum class Stop { end, failure, planned, spike, node_is_back };

  /// One stretch of training, and the time down after it. @returns whether the run is over
  bool run_until_interrupted() {
    const Timetable& table = plan_.timetable;
    const Reliability& reliability = plan_.input.reliability;
    const std::int64_t running = active_replicas();
    const double slow = draws_.log_normal(reliability.slow_share.value, reliability.slow_spread.value);
    const double fewer = static_cast<double>(plan_.replicas) / static_cast<double>(running);
    const double stretch = (1 + slow) * fewer;
    const double begin = table.time(position_).si();
    const auto reached = [&](std::int64_t steps) { return now_ + stretch * (table.time(steps).si() - begin); };

    Stop stop = Stop::end;
    double at = reached(table.steps());
    const auto earlier = [&](double candidate, Stop kind) {
      if (candidate < at) at = candidate, stop = kind;
    };
    const double spike_step = static_cast<double>(position_) + spike_in_;
    if (spike_step <= static_cast<double>(table.steps()))
      earlier(reached(static_cast<std::int64_t>(spike_step)), Stop::spike);
    if (running < plan_.replicas) earlier(when_back((running + 1) * plan_.replica_nodes), Stop::node_is_back);
    earlier(next_planned_, Stop::planned);
    earlier(next_failure_, Stop::failure);

    const double undisturbed = begin + (at - now_) / stretch;
    trial_.time.slow += Seconds(slow * (undisturbed - begin));
    trial_.time.waiting += Seconds((1 + slow) * (fewer - 1) * (undisturbed - begin));
    now_ = at;
    if (stop == Stop::end) return true;

    const std::int64_t over =
        stop == Stop::spike ? static_cast<std::int64_t>(spike_step) : table.steps_at(Seconds(undisturbed), position_);
    spike_in_ -= static_cast<double>(over - position_);
    std::int64_t resume = over;
    if (stop == Stop::failure) resume = safe_by(undisturbed, over);
    if (stop == Stop::spike) {
      resume = table.last_checkpoint(std::max<std::int64_t>(0, over - plan_.input.spikes.back_steps));
      ++trial_.spikes;
      draw_spike();
    }
    trial_.time.lost_work += Seconds(undisturbed) - table.time(resume);
    position_ = resume;
    switch (stop) {
      case Stop::failure: come_back(true); break;
      case Stop::planned: interrupt_as_planned(); break;
      case Stop::spike: come_back(false); break;
      case Stop::node_is_back: save(trial_.time.restart), come_back(false); break;
      case Stop::end: break;
    }
    return false;
  }

  /// The last position of this stretch that is in storage at a time, when so many steps are over.
  std::int64_t safe_by(double undisturbed, std::int64_t over) const {
    const Timetable& table = plan_.timetable;
    const CheckpointCost& cost = plan_.input.checkpoint;
    const double written_behind = std::max(0.0, (cost.write - cost.stall).si());
    for (std::int64_t steps = over; steps > position_; --steps) {
      steps = table.last_checkpoint(steps);
      if (steps <= position_) break;
      if (table.time(steps).si() + written_behind <= undisturbed) return steps;
    }
    return position_;
  }

  void save(Seconds& account) {
    account += plan_.input.checkpoint.write;
    now_ += plan_.input.checkpoint.write.si();
  }

  void interrupt_as_planned() {
    const double begin = now_;
    now_ += plan_.input.checkpoint.write.si() + plan_.input.reliability.planned_time.value.si();
    trial_.time.planned += Seconds(now_ - begin);
    ++trial_.planned;
    next_planned_ += plan_.planned_every;
    come_back(false, &trial_.time.planned);
  }

  /// From the moment that training stopped to the moment that it goes on. More may fail meanwhile.
  void come_back(bool failed, Seconds* account = nullptr) {
    const Reliability& reliability = plan_.input.reliability;
    Seconds& restarting = account != nullptr ? *account : trial_.time.restart;
    bool node_lost = false;
    if (next_failure_ <= now_) failed = true;  // while it was saved
    while (true) {
      double attempt = plan_.back_up;
      if (failed) {
        ++trial_.failures;
        attempt += reliability.detect.value.si();
        if (draws_.uniform() < reliability.takes_node.value) {
          node_lost = true;
          send_to_repair();
        }
        draw_failure();
      }
      wait_for_nodes();
      if (node_lost) attempt += reliability.replace.value.si();
      const double up = now_ + attempt;
      const bool fails_again = next_failure_ < up;
      const double until = fails_again ? next_failure_ : up;
      (fails_again || failed ? trial_.time.restart : restarting) += Seconds(until - now_);
      now_ = until;
      if (!fails_again) break;
      failed = true;
    }
    while (next_planned_ <= now_) next_planned_ += plan_.planned_every;  // what was planned is done at the same time
  }

  void wait_for_nodes() {
    while (active_replicas() == 0) {
      const double back = repairs_.top();
      trial_.time.waiting += Seconds(back - now_);
      trial_.waited = true;
      if (next_failure_ < never) next_failure_ += back - now_;  // nothing fails that stands still
      now_ = back;
    }
  }

  void send_to_repair() {
    const double time = draws_.exponential(plan_.input.reliability.repair.value.si());
    repairs_.push(now_ + time);
    trial_.nodes_in_repair += time;
  }

  /// With the nodes that are whole now.
  std::int64_t active_replicas() {
    while (!repairs_.empty() && repairs_.top() <= now_) repairs_.pop();
    const std::int64_t whole = plan_.input.nodes + plan_.spare_nodes - static_cast<std::int64_t>(repairs_.size());
    return std::clamp<std::int64_t>(whole / plan_.replica_nodes, 0, plan_.replicas);
  }

  /// When so many nodes are whole.
  double when_back(std::int64_t nodes) const {
    auto left = repairs_;
    const std::int64_t all = plan_.input.nodes + plan_.spare_nodes;
    double back = now_;
    while (all - static_cast<std::int64_t>(left.size()) < nodes) back = left.top(), left.pop();
    return back;
  }

  void draw_failure() {
    if (plan_.failure_rate <= 0) {
      next_failure_ = never;
      return;
    }
    const double shape = plan_.input.reliability.shape.value;
    if (shape == 1) {
      next_failure_ = now_ + draws_.exponential(1 / plan_.failure_rate);
      return;
    }
    // Expected failures until t: rate * observed * (t / observed)^shape; to the next there is an exponential more.
    const double observed = plan_.input.reliability.observed.value.si();
    const double expected = std::pow(now_ / observed, shape) + draws_.exponential(1 / (plan_.failure_rate * observed));
    next_failure_ = observed * std::pow(expected, 1 / shape);
  }

  void draw_spike() {
    const double rate = plan_.input.spikes.per_step;
    spike_in_ = rate > 0 ? std::ceil(draws_.exponential(1 / rate)) : never;
  }

  using Repairs = std::priority_queue<double, std::vector<double>, std::greater<>>;

  const Plan& plan_;
  Draws draws_;
  Trial trial_;
  double now_ = 0;
  std::int64_t position_ = 0;  ///< steps that are safe and done
  double next_failure_ = never, next_planned_ = never;
  double spike_in_ = never;  ///< steps until the next
  Repairs repairs_;          ///< when nodes are back
};

// --- the outcome of many -----------------------------------------------------------------------------------------

Distribution distribution(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  Distribution of;
  for (const double value : values) of.mean += value / n;
  double squares = 0;
  for (const double value : values) squares += (value - of.mean) * (value - of.mean);
  of.deviation = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
  const auto quantile = [&](double share) {
    const double place = share * (n - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  of.lowest = values.front();
  of.p5 = quantile(0.05);
  of.p10 = quantile(0.10);
  of.p50 = quantile(0.50);
  of.p90 = quantile(0.90);
  of.p95 = quantile(0.95);
  of.highest = values.back();
  return of;
}

Histogram histogram(const std::vector<double>& values) {
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  Histogram cells{*lowest, (*highest - *lowest) / histogram_cells, {}};
  if (cells.width <= 0) return {*lowest, 0, {static_cast<int>(values.size())}};
  cells.counts.resize(histogram_cells);
  for (const double value : values) {
    const auto cell = static_cast<int>((value - cells.from) / cells.width);
    ++cells.counts[static_cast<std::size_t>(std::min(cell, histogram_cells - 1))];
  }
  return cells;
}

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
  if (input.checkpoint_interval && !(*input.checkpoint_interval > Seconds(0)))
    return "a checkpoint interval that is not above zero";
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
  double factor = 1;
  while (factor < 1e9 && best_goodput(input, mttf * factor) < 0.5) factor *= 1.05;
  const double gpus = static_cast<double>(input.nodes) * input.gpus_per_node;
  return fmt::format(
      "the run never ends: {} GPUs fail every {} on average, and after a failure it takes {} until they train again, "
      "so that {} of the time would be useful. Half of it would be on {} GPUs, or with failures {} times rarer; faster "
      "detection, restarts and checkpoints help as well",
      count_text(gpus), to_text(mttf), to_text(time_to_restart(input)),
      goodput < 1e-4 ? "next to nothing" : percent_text(goodput), count_text(std::floor(gpus / factor)),
      number_text(factor, 2));
}

struct Interval {
  Seconds time;            ///< productive, between two checkpoints
  std::int64_t steps = 1;  ///< of the longest phase
};

/// What was asked for or is best, in whole steps of the longest phase.
Interval checkpoint_interval(const CampaignInput& input, Seconds mttf, std::vector<std::string>& remarks) {
  Seconds work, longest_step, main_step, most;
  for (const TrainingPhase& phase : input.phases) {
    if (phase.steps == 0) continue;
    const Seconds time = static_cast<double>(phase.steps) * phase.step_time;
    work += time;
    longest_step = std::max(longest_step, phase.step_time);
    if (time > most) most = time, main_step = phase.step_time;
  }
  Seconds interval = input.checkpoint_interval.value_or(optimal_interval(input.checkpoint.stall, mttf));
  if (const Seconds shortest = input.checkpoint.shortest_interval; interval < shortest) {
    if (input.checkpoint_interval) {
      remarks.push_back(
          fmt::format("checkpoints every {} instead of {}: it takes so long to write one in the background",
                      to_text(shortest), to_text(interval)));
    }
    interval = main_step * std::ceil(shortest / main_step);
  }
  interval = std::clamp(interval, longest_step, std::max(work, longest_step));
  const double steps = std::max(1.0, std::round(interval / main_step));
  return {std::max(longest_step, steps * main_step), static_cast<std::int64_t>(steps)};
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
  outcome.expected_goodput =
      goodput_exponential(outcome.checkpoint_interval, input.checkpoint.stall, time_to_restart(input), mttf);
  if (!(outcome.expected_goodput >= least_goodput)) return refuse(never_ends(input, mttf, outcome.expected_goodput));

  const std::int64_t replica = input.elastic_replica_nodes > 0 ? input.elastic_replica_nodes : input.nodes;
  const Plan plan{input,
                  Timetable(input, outcome.checkpoint_interval),
                  outcome.spare_nodes,
                  replica,
                  input.nodes / replica,
                  reliability.failures_per_gpu.value.si() * static_cast<double>(gpus),
                  reliability.planned.value > Hertz(0) ? 1 / reliability.planned.value.si() : never,
                  (reliability.restart.value + input.checkpoint.load).si()};
  outcome.checkpoints = plan.timetable.checkpoints(plan.timetable.steps());

  std::vector<Trial> runs(static_cast<std::size_t>(trials));
  tbb::parallel_for(tbb::blocked_range<int>(0, trials, 8), [&](const tbb::blocked_range<int>& some) {
    for (int trial = some.begin(); trial < some.end(); ++trial)
      runs[static_cast<std::size_t>(trial)] = Run(plan, seed, trial).finish();
  });

  std::vector<double> days, failures, planned, spikes;
  const double weight = 1.0 / trials;
  for (const Trial& run : runs) {
    days.push_back(run.time.total() / day);
    failures.push_back(run.failures);
    planned.push_back(run.planned);
    spikes.push_back(run.spikes);
    for (const CampaignTimePart& part : parts_of_campaign) outcome.time.*part.time += weight * run.time.*part.time;
    outcome.nodes_in_repair += weight * run.nodes_in_repair / run.time.total().si();
  }
  const auto waited = std::count_if(runs.begin(), runs.end(), [](const Trial& run) { return run.waited; });
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
