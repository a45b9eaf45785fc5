#include "simulator/budget/campaign_trial.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <vector>

#include "simulator/base/error.hpp"
#include "simulator/engine/expected_slowest.hpp"
#include "simulator/engine/random.hpp"

namespace stepcast {
namespace {

constexpr double longest_time = 200;  // of the undisturbed time
constexpr std::int64_t most_stops = 5'000'000;
constexpr double never = std::numeric_limits<double>::infinity();

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

class Run {
 public:
  Run(const CampaignPlan& plan, std::uint64_t seed, std::int64_t trial, GivenUp& given_up)
      : plan_(plan),
        given_up_(given_up),
        draws_(seed, trial),
        longest_(longest_time * plan.timetable.time(plan.timetable.steps()).si()) {
    next_planned_ = plan.planned_every;
    draw_failure();
    draw_spike();
  }

  CampaignTrial finish() {
    while (!run_until_interrupted()) {
      if (!is_endless()) continue;
      trial_.ended = false;
      return trial_;
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
  /// Whether this trial, or another, is going nowhere.
  bool is_endless() {
    if (++stops_ > most_stops || now_ > longest_) given_up_ = true;
    return given_up_;
  }

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
    if (stop == Stop::failure) {
      const bool node_lost = draw_loss_of_node();
      stored_ = safe_by(undisturbed, over, CheckpointLevel::storage, stored_);
      std::int64_t resume = stored_;
      if (memory_serves(node_lost))
        resume = std::max(resume, safe_by(undisturbed, over, CheckpointLevel::memory, position_));
      resume_at(resume, Seconds(undisturbed));
      come_back(node_lost ? Cause::loss_of_node : Cause::failure, trial_.time.restart);
    } else if (stop == Stop::spike) {
      stored_ = table.last_checkpoint(std::max<std::int64_t>(0, over - plan_.input.spikes.back_steps));
      resume_at(stored_, Seconds(undisturbed));
      ++trial_.spikes;
      draw_spike();
      come_back(Cause::intent, trial_.time.restart);
    } else {
      stored_ = over;
      resume_at(over, Seconds(undisturbed));
      const bool planned = stop == Stop::planned;
      Seconds& account = planned ? trial_.time.planned : trial_.time.restart;
      stand(plan_.input.checkpoint.write + (planned ? reliability.planned_time.value : Seconds(0)), account);
      if (planned) {
        ++trial_.planned;
        next_planned_ += plan_.planned_every;
      }
      come_back(Cause::intent, account);
    }
    return false;
  }

  /// What lies between there and now is to be done again.
  void resume_at(std::int64_t position, Seconds undisturbed) {
    trial_.time.lost_work += undisturbed - plan_.timetable.time(position);
    position_ = position;
  }

  bool memory_serves(bool node_lost) const {
    const auto& copies = plan_.input.memory_checkpoints;
    return copies && (copies->survive_loss_of_node || !node_lost);
  }

  /// The last checkpoint of this stretch that is safe by now, when so many steps are over; `before` when there is none.
  std::int64_t safe_by(double undisturbed, std::int64_t over, CheckpointLevel level, std::int64_t before) const {
    const Timetable& table = plan_.timetable;
    const CheckpointCost& cost = plan_.input.checkpoint;
    const bool behind = level == CheckpointLevel::storage;
    const double written_behind = behind ? std::max(0.0, (cost.write - cost.stall).si()) : 0;
    for (std::int64_t steps = over; steps > position_; --steps) {
      steps = table.last_checkpoint(steps, level);
      if (steps <= position_) break;
      if (table.time(steps).si() + written_behind <= undisturbed) return steps;
    }
    return before;
  }

  void stand(Seconds time, Seconds& account) {
    account += time;
    now_ += time.si();
  }

  enum class Cause { intent, failure, loss_of_node };

  bool draw_loss_of_node() { return draws_.uniform() < plan_.input.reliability.takes_node.value; }

  /// One more while the job is down: it may take what memory held.
  Cause fail_again() {
    const bool node_lost = draw_loss_of_node();
    if (position_ > stored_ && !memory_serves(node_lost)) resume_at(stored_, plan_.timetable.time(position_));
    return node_lost ? Cause::loss_of_node : Cause::failure;
  }

  /// From the moment that training stopped to the moment that it goes on. More may fail meanwhile.
  void come_back(Cause cause, Seconds& account) {
    const CampaignInput& input = plan_.input;
    const Reliability& reliability = input.reliability;
    bool node_lost = false;
    if (cause == Cause::intent && next_failure_ <= now_) cause = fail_again();  // while it was saved
    while (true) {
      const Seconds load = position_ > stored_ ? input.memory_checkpoints->load : input.checkpoint.load;
      Seconds attempt = reliability.restart.value + load;
      if (cause != Cause::intent) {
        ++trial_.failures;
        attempt += reliability.detect.value;
        if (cause == Cause::loss_of_node) {
          node_lost = true;
          send_to_repair();
        }
        draw_failure();
      }
      wait_for_nodes();
      if (node_lost) attempt += reliability.replace.value;
      const bool fails_again = next_failure_ < now_ + attempt.si();
      stand(fails_again ? Seconds(next_failure_ - now_) : attempt,
            fails_again || cause != Cause::intent ? trial_.time.restart : account);
      if (!fails_again || is_endless()) break;
      cause = fail_again();
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

  const CampaignPlan& plan_;
  GivenUp& given_up_;
  Draws draws_;
  double longest_ = 0;  ///< after which a trial is given up
  std::int64_t stops_ = 0;
  CampaignTrial trial_;
  double now_ = 0;
  std::int64_t position_ = 0;  ///< steps that are done, where this stretch begins
  std::int64_t stored_ = 0;    ///< of these, what storage has
  double next_failure_ = never, next_planned_ = never;
  double spike_in_ = never;  ///< steps until the next
  Repairs repairs_;          ///< when nodes are back
};

}  // namespace

CampaignTrial run_trial(const CampaignPlan& plan, std::uint64_t seed, std::int64_t trial, GivenUp& given_up) {
  return Run(plan, seed, trial, given_up).finish();
}

}  // namespace stepcast
