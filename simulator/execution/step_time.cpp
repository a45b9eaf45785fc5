#include "simulator/execution/step_time.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "simulator/base/error.hpp"
#include "simulator/execution/code.hpp"

namespace stepcast {
namespace {

constexpr std::int64_t not_yet = -1;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// Ends of all instructions, one rank a stage: streams run until they wait for what has not run; what it waits for wakes it.
class Evaluation {
 public:
  explicit Evaluation(const Programs& programs) : programs_(programs) {
    std::size_t size = 0;
    for (const Program& stage : programs.stages) {
      offset_.push_back(size);
      size += stage.instructions.size();
    }
    end_.assign(size, not_yet);
    posted_.assign(size, not_yet);
    sleepers_.assign(size, 0);
    next_.resize(programs.stages.size());
    for (std::int32_t stage = 0; stage < stages(); ++stage) {
      next_[at(stage)].fill(0);
      for (std::size_t stream = 0; stream < stream_count; ++stream) {
        if (!programs.stages[at(stage)].streams[stream].empty()) work_.emplace_back(stage, stream);
      }
    }
    while (!work_.empty()) {
      const auto [stage, stream] = work_.back();
      work_.pop_back();
      advance(stage, stream);
    }
    for (const std::int64_t end : end_) {
      CHECK(end != not_yet, "every instruction ran: a schedule is free of deadlock");
      step_ = std::max(step_, end);
    }
  }

  std::int64_t step() const { return step_; }
  std::int64_t end(std::int32_t stage, std::int32_t i) const { return end_[offset_[at(stage)] + at(i)]; }
  std::int64_t size() const { return static_cast<std::int64_t>(end_.size()); }

 private:
  struct Meeting {
    std::int32_t arrived = 0;
    std::int64_t latest = 0;
    std::vector<std::pair<std::int32_t, std::int32_t>> members;
  };

  std::int32_t stages() const { return static_cast<std::int32_t>(programs_.stages.size()); }

  void advance(std::int32_t stage, std::size_t stream) {
    const Program& program = programs_.stages[at(stage)];
    const std::vector<std::int32_t>& order = program.streams[stream];
    const std::size_t base = offset_[at(stage)];
    std::int32_t& next = next_[at(stage)][stream];
    while (at(next) < order.size()) {
      const std::int32_t i = order[at(next)];
      const Instruction& instruction = program.instructions[at(i)];
      std::int64_t ready = next > 0 ? end_[base + at(order[at(next - 1)])] : 0;
      if (ready == not_yet) return;  // in a rendezvous; the last to come wakes this stream
      for (std::int32_t w = 0; w < instruction.wait_count; ++w) {
        const std::int32_t wait = program.waits[at(instruction.first_wait + w)];
        const std::int64_t end = end_[base + at(wait)];
        if (end == not_yet) {
          sleepers_[base + at(wait)] |= static_cast<StreamSet>(1U << stream);
          return;
        }
        ready = std::max(ready, end);
      }
      ++next;
      issue(stage, i, instruction, ready);
    }
  }

  void issue(std::int32_t stage, std::int32_t i, const Instruction& instruction, std::int64_t ready) {
    if (instruction.peer_stage >= 0) {
      posted_[offset_[at(stage)] + at(i)] = ready;
      const std::int64_t other = posted_[offset_[at(instruction.peer_stage)] + at(instruction.peer)];
      if (other == not_yet) return;
      const std::int64_t end = std::max(ready, other) + instruction.duration.ps;
      meet(instruction.peer_stage, instruction.peer, end);
      meet(stage, i, end);
      return;
    }
    if (instruction.kind == InstructionKind::collective && stages() > 1 &&
        (instruction.group == GroupKind::world || instruction.group == GroupKind::embedding)) {
      const bool world = instruction.group == GroupKind::world;
      Meeting& meeting = meetings_[world ? 0 : 1];
      meeting.latest = std::max(meeting.latest, ready);
      meeting.members.emplace_back(stage, i);
      if (++meeting.arrived < (world ? stages() : 2)) return;
      const Meeting done = std::exchange(meeting, {});
      for (const auto& [member, index] : done.members) meet(member, index, done.latest + instruction.duration.ps);
      return;
    }
    complete(stage, i, ready + instruction.duration.ps);
  }

  void complete(std::int32_t stage, std::int32_t i, std::int64_t end) {
    const std::size_t slot = offset_[at(stage)] + at(i);
    end_[slot] = end;
    StreamSet sleepers = std::exchange(sleepers_[slot], StreamSet{0});
    for (std::size_t stream = 0; sleepers != 0; ++stream, sleepers >>= 1U) {
      if (sleepers & 1U) work_.emplace_back(stage, stream);
    }
  }
  /// The end of a rendezvous: its stream may be waiting behind it.
  void meet(std::int32_t stage, std::int32_t i, std::int64_t end) {
    complete(stage, i, end);
    work_.emplace_back(stage, static_cast<std::size_t>(programs_.stages[at(stage)].instructions[at(i)].stream));
  }

  const Programs& programs_;
  std::vector<std::size_t> offset_;  ///< of each stage in the following
  std::vector<std::int64_t> end_, posted_;
  std::vector<StreamSet> sleepers_;  ///< streams to wake, a bit each
  std::vector<std::array<std::int32_t, stream_count>> next_;
  std::vector<std::pair<std::int32_t, std::size_t>> work_;
  Meeting meetings_[2];
  std::int64_t step_ = 0;
};

/// Where the repeating part of a stage's passes ends, and how many of them one repetition is.
struct Middle {
  std::int32_t end = 0, period = 0;
};

/// Looks for the repetition in evaluated programs, and shows that it goes on.
class SteadyState {
 public:
  /// @param middles  by stage, in passes
  SteadyState(const Programs& programs, const Evaluation& run, const std::vector<Middle>& middles)
      : programs_(programs), run_(run), middles_(middles) {
    for (const Program& stage : programs.stages) {
      before_.emplace_back(stage.instructions.size(), -1);
      for (const auto& stream : stage.streams) {
        for (std::size_t i = 1; i < stream.size(); ++i) before_.back()[at(stream[i])] = stream[i - 1];
      }
    }
  }

  /// Ticks by which `repeat` repetitions, taken together, shift what follows; nothing when they do not.
  std::optional<std::int64_t> shift(std::int32_t repeat) {
    // The last microbatches may differ (their gradients are reduced): the cut lies before them.
    for (std::int32_t back = 0; back <= 2; ++back) {
      if (!cut(repeat, back)) return std::nullopt;
      const std::int32_t last = cuts_[0].end - 1;
      const std::int64_t by = run_.end(0, last) - run_.end(0, last - cuts_[0].period);
      const std::int32_t periods = lag();
      if (periods > 0 && repeats(periods, by) && follows(periods)) return by;
    }
    return std::nullopt;
  }

 private:
  std::int32_t stages() const { return static_cast<std::int32_t>(programs_.stages.size()); }
  const Program& stage(std::int32_t s) const { return programs_.stages[at(s)]; }

  /// Turns passes into instructions. @return whether two periods lie before the cut
  bool cut(std::int32_t repeat, std::int32_t back) {
    cuts_.clear();
    for (std::int32_t s = 0; s < stages(); ++s) {
      const std::vector<std::int32_t>& passes = stage(s).passes;
      const std::int32_t period = middles_[at(s)].period * repeat;
      const std::int32_t end =
          std::min(middles_[at(s)].end, static_cast<std::int32_t>(passes.size()) - 1) - back * middles_[at(s)].period;
      if (end - 2 * period < 0) return false;
      cuts_.push_back({passes[at(end)], passes[at(end)] - passes[at(end - period)]});
      // Periods are of passes; a pass that is walked block by block has more instructions than its fellows.
      if (cuts_.back().period <= 0 || cuts_.back().end < 2 * cuts_.back().period) return false;
    }
    return true;
  }

  /// In which period before the cut an instruction lies; 0: the last, negative: behind the cut.
  std::int32_t period_of(std::int32_t s, std::int32_t i) const {
    const Middle& c = cuts_[at(s)];
    return i >= c.end ? -1 : (c.end - 1 - i) / c.period;
  }

  /// How many periods lie at most between the last two and what they wait for, or meet; 0: a neighbour is more than one
  /// ahead.
  std::int32_t lag() const {
    std::int32_t most = 1;
    for (std::int32_t s = 0; s < stages(); ++s) {
      const Middle& c = cuts_[at(s)];
      for (std::int32_t i = c.end - 2 * c.period; i < c.end; ++i) {
        const Instruction& instruction = stage(s).instructions[at(i)];
        const std::int32_t own = period_of(s, i);
        for_each_wait(s, i, [&](std::int32_t wait) { most = std::max(most, period_of(s, wait) - own); });
        if (instruction.peer_stage < 0) continue;
        const std::int32_t other = period_of(instruction.peer_stage, instruction.peer);
        if (other < 0 && own > 0) return 0;
        if (other >= 0) most = std::max({most, other - own, own - other});
      }
    }
    return most;
  }

  template <class F>
  void for_each_wait(std::int32_t s, std::int32_t i, F&& f) const {
    const Instruction& instruction = stage(s).instructions[at(i)];
    for (std::int32_t w = 0; w < instruction.wait_count; ++w) f(stage(s).waits[at(instruction.first_wait + w)]);
    if (before_[at(s)][at(i)] >= 0) f(before_[at(s)][at(i)]);
  }

  /// Whether the last `periods` do what the one before each did, `by` ticks later.
  bool repeats(std::int32_t periods, std::int64_t by) const {
    for (std::int32_t s = 0; s < stages(); ++s) {
      const Middle& c = cuts_[at(s)];
      const std::int32_t first = c.end - periods * c.period;
      if (first - c.period < 0) return false;
      for (std::int32_t i = first; i < c.end; ++i) {
        if (run_.end(s, i) - run_.end(s, i - c.period) != by || !same(s, i)) return false;
      }
    }
    return true;
  }

  /// Whether an instruction is the one a period before it, a period later.
  bool same(std::int32_t s, std::int32_t i) const {
    const Middle& c = cuts_[at(s)];
    const Instruction& one = stage(s).instructions[at(i)];
    const Instruction& past = stage(s).instructions[at(i - c.period)];
    if (one.kind != past.kind || one.stream != past.stream || one.group != past.group ||
        one.duration != past.duration || one.wait_count != past.wait_count || one.peer_stage != past.peer_stage) {
      return false;
    }
    if (one.kind == InstructionKind::collective &&
        (one.group == GroupKind::world || one.group == GroupKind::embedding)) {
      return false;  // meets other stages: not of the middle
    }
    for (std::int32_t w = 0; w < one.wait_count; ++w) {
      if (stage(s).waits[at(one.first_wait + w)] - stage(s).waits[at(past.first_wait + w)] != c.period) return false;
    }
    const std::int32_t before = before_[at(s)][at(i)], before_past = before_[at(s)][at(i - c.period)];
    if (before < 0 || before_past < 0 || before - before_past != c.period) return false;
    if (one.peer_stage < 0) return true;
    const Middle& other = cuts_[at(one.peer_stage)];
    if (past.peer >= other.end) return false;
    if (one.peer >= other.end) return past.peer + other.period >= other.end;  // the neighbour is ahead by a period
    return one.peer - past.peer == other.period;
  }

  /// Whether nothing older than the last `periods` holds up what follows the cut: it then shifts as they do.
  bool follows(std::int32_t periods) const {
    const auto shifts = [&](std::int32_t s, std::int32_t i) {
      return i >= cuts_[at(s)].end - periods * cuts_[at(s)].period;
    };
    const auto ready = [&](std::int32_t s, std::int32_t i, std::int64_t& shifted, std::int64_t& old) {
      for_each_wait(s, i, [&](std::int32_t wait) {
        std::int64_t& latest = shifts(s, wait) ? shifted : old;
        latest = std::max(latest, run_.end(s, wait));
      });
    };
    std::int64_t meeting[2] = {not_yet, not_yet}, meeting_old[2] = {0, 0};
    for (std::int32_t s = 0; s < stages(); ++s) {
      const auto size = static_cast<std::int32_t>(stage(s).instructions.size());
      for (std::int32_t i = cuts_[at(s)].end; i < size; ++i) {
        const Instruction& instruction = stage(s).instructions[at(i)];
        std::int64_t shifted = not_yet, old = 0;
        ready(s, i, shifted, old);
        if (instruction.peer_stage >= 0) {
          if (!shifts(instruction.peer_stage, instruction.peer)) return false;
          ready(instruction.peer_stage, instruction.peer, shifted, old);
        } else if (instruction.kind == InstructionKind::collective &&
                   (instruction.group == GroupKind::world || instruction.group == GroupKind::embedding)) {
          const int which = instruction.group == GroupKind::world ? 0 : 1;
          meeting[which] = std::max(meeting[which], shifted);
          meeting_old[which] = std::max(meeting_old[which], old);
          continue;
        }
        if (shifted < old) return false;
      }
    }
    return meeting[0] >= meeting_old[0] && (meeting[1] == not_yet ? meeting_old[1] == 0 : meeting[1] >= meeting_old[1]);
  }

  const Programs& programs_;
  const Evaluation& run_;
  const std::vector<Middle>& middles_;
  std::vector<std::vector<std::int32_t>> before_;  ///< in an instruction's stream
  std::vector<Middle> cuts_;                       ///< by stage, in instructions
};

/// What two orders have in common up to where the longer one repeats itself once more.
std::vector<Middle> middles_of(const Schedule& schedule, PipelineShape shape, std::int64_t every) {
  std::vector<Middle> middles;
  PipelineShape longer = shape;
  longer.microbatches += every;
  const auto alike = [](const PassStep& a, const PassStep& b) {
    return a.kind == b.kind && a.chunk == b.chunk && a.exchange_after == b.exchange_after && a.paired == b.paired;
  };
  const PipelineOrder orders = schedule.order(shape), longer_orders = schedule.order(longer);
  for (std::size_t stage = 0; stage < orders.size(); ++stage) {
    const std::vector<PassStep>&one = orders[stage], &other = longer_orders[stage];
    const auto differs = std::mismatch(one.begin(), one.end(), other.begin(), alike).first;
    middles.push_back({static_cast<std::int32_t>(differs - one.begin()),
                       static_cast<std::int32_t>(other.size()) - static_cast<std::int32_t>(one.size())});
  }
  return middles;
}

}  // namespace

SimTime folded_step(const Programs& programs) { return {Evaluation(programs).step()}; }

StepTime step_time(const LoweringInput& input, const PipelineShape& whole) {
  const Schedule& schedule = *find_schedule(input.plan.schedule);
  const std::int64_t every = schedule.repeats != nullptr ? schedule.repeats(whole) : whole.microbatches;
  const auto evaluate = [&](std::int64_t microbatches, const auto& then) {
    PipelineShape shape = whole;
    shape.microbatches = microbatches;
    const PipelineOrder order = schedule.order(shape);
    const LoweringInput some{input.model,
                             input.plan,
                             input.framework,
                             input.cluster,
                             input.costs,
                             input.passes,
                             order,
                             input.boundary,
                             input.boundary_gather,
                             input.hidden,
                             input.gradient_bytes,
                             input.parameter_bytes,
                             input.granularity,
                             microbatches};
    const Programs programs = lower(some);
    const Evaluation run(programs);
    return then(programs, run);
  };
  // Enough to fill the pipeline and to repeat a few times, with the remainder that the whole step has.
  std::int64_t least = (whole.stages / every + 4) * every;
  while (least + every < whole.microbatches) {
    least += (whole.microbatches - least) % every;
    PipelineShape shape = whole;
    shape.microbatches = least;
    if (!schedule.refuses(shape).empty()) {
      least += every;
      continue;
    }
    std::int64_t wanted = 0;  // microbatches at which a repetition found would end with the step
    const auto found = evaluate(least, [&](const Programs& programs, const Evaluation& run) -> std::optional<StepTime> {
      const std::vector<Middle> middles = middles_of(schedule, shape, every);
      SteadyState steady(programs, run, middles);
      for (std::int32_t repeat = 1; repeat <= 2 * whole.stages; ++repeat) {
        const auto by = steady.shift(repeat);
        if (!by) continue;
        const std::int64_t left = whole.microbatches - least, period = every * repeat;
        if (left % period != 0) {
          wanted = least + left % period;
          return std::nullopt;
        }
        return StepTime{{run.step() + left / period * *by}, least, run.size()};
      }
      return std::nullopt;
    });
    if (found) return *found;
    least = wanted > least ? wanted : least + std::max(every, least / 2 / every * every);
  }
  return evaluate(whole.microbatches, [&](const Programs&, const Evaluation& run) {
    return StepTime{{run.step()}, whole.microbatches, run.size()};
  });
}

}  // namespace stepcast
