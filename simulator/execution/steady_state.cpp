#include "simulator/execution/steady_state.hpp"

#include <algorithm>

namespace stepcast {
namespace {

constexpr std::int64_t not_yet = -1;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

}  // namespace

std::vector<Middle> middles_of(const Schedule& schedule, const PipelineShape& shape, const PipelineOrder& order,
                               std::int64_t every) {
  std::vector<Middle> middles;
  PipelineShape longer = shape;
  longer.microbatches += every;
  const auto alike = [](const PassStep& a, const PassStep& b) {
    return a.kind == b.kind && a.chunk == b.chunk && a.exchange_after == b.exchange_after && a.paired == b.paired;
  };
  const PipelineOrder longer_order = schedule.order(longer);
  for (std::size_t stage = 0; stage < order.size(); ++stage) {
    const std::vector<PassStep>&one = order[stage], &other = longer_order[stage];
    const auto differs = std::mismatch(one.begin(), one.end(), other.begin(), alike).first;
    middles.push_back({static_cast<std::int32_t>(differs - one.begin()),
                       static_cast<std::int32_t>(other.size()) - static_cast<std::int32_t>(one.size())});
  }
  return middles;
}

/// Ticks by which `repeat` repetitions, taken together, shift what follows; nothing when they do not.
std::optional<std::int64_t> SteadyState::shift(std::int32_t repeat) {
  // The last microbatches may differ (their gradients are reduced): the cut lies before them.
  for (std::int32_t back = 0; back <= 2; ++back) {
    if (!cut(repeat, back)) return std::nullopt;
    const std::int32_t last = cuts_[0].end - 1;
    const std::int64_t by = end(0, last) - end(0, last - cuts_[0].period);
    if (!repeats(1, by)) continue;
    const std::int32_t periods = lag_of(repeat, back);
    if (periods > 0 && (periods == 1 || repeats(periods, by)) && follows(periods)) return by;
  }
  return std::nullopt;
}

/// Turns passes into instructions. @return whether two periods lie before the cut
bool SteadyState::cut(std::int32_t repeat, std::int32_t back) {
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
std::int32_t SteadyState::period_of(std::int32_t s, std::int32_t i) const {
  const Middle& c = cuts_[at(s)];
  return i >= c.end ? -1 : (c.end - 1 - i) / c.period;
}

std::int32_t SteadyState::lag_of(std::int32_t repeat, std::int32_t back) {
  const auto [known, is_new] = lags_.try_emplace({repeat, back}, 0);
  if (is_new) known->second = lag();
  return known->second;
}

/// How many periods lie at most between the last two and what they wait for, or meet; 0: a neighbour is more than one
/// ahead.
std::int32_t SteadyState::lag() const {
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
void SteadyState::for_each_wait(std::int32_t s, std::int32_t i, F&& f) const {
  const Instruction& instruction = stage(s).instructions[at(i)];
  for (std::int32_t w = 0; w < instruction.wait_count; ++w) f(stage(s).waits[at(instruction.first_wait + w)]);
  if (const std::int32_t before = recurrence_.before(recurrence_.index(s, i)); before >= 0) f(before);
}

/// Whether the last `periods` do what the one before each did, `by` ticks later.
bool SteadyState::repeats(std::int32_t periods, std::int64_t by) const {
  for (std::int32_t s = 0; s < stages(); ++s) {
    const Middle& c = cuts_[at(s)];
    const std::int32_t first = c.end - periods * c.period;
    if (first - c.period < 0) return false;
    for (std::int32_t i = first; i < c.end; ++i) {
      if (end(s, i) - end(s, i - c.period) != by || !same(s, i)) return false;
    }
  }
  return true;
}

/// Whether an instruction is the one a period before it, a period later.
bool SteadyState::same(std::int32_t s, std::int32_t i) const {
  const Middle& c = cuts_[at(s)];
  const Instruction& one = stage(s).instructions[at(i)];
  const Instruction& past = stage(s).instructions[at(i - c.period)];
  if (one.kind != past.kind || one.stream != past.stream || one.group != past.group ||
      durations_[at(recurrence_.index(s, i))] != durations_[at(recurrence_.index(s, i - c.period))] ||
      one.wait_count != past.wait_count || one.peer_stage != past.peer_stage) {
    return false;
  }
  if (one.kind == InstructionKind::collective && (one.group == GroupKind::world || one.group == GroupKind::embedding)) {
    return false;  // meets other stages: not of the middle
  }
  for (std::int32_t w = 0; w < one.wait_count; ++w) {
    if (stage(s).waits[at(one.first_wait + w)] - stage(s).waits[at(past.first_wait + w)] != c.period) return false;
  }
  const std::int32_t before = recurrence_.before(recurrence_.index(s, i)),
                     before_past = recurrence_.before(recurrence_.index(s, i - c.period));
  if (before < 0 || before_past < 0 || before - before_past != c.period) return false;
  if (one.peer_stage < 0) return true;
  const Middle& other = cuts_[at(one.peer_stage)];
  if (past.peer >= other.end) return false;
  if (one.peer >= other.end) return past.peer + other.period >= other.end;  // the neighbour is ahead by a period
  return one.peer - past.peer == other.period;
}

/// Whether nothing older than the last `periods` holds up what follows the cut: it then shifts as they do.
bool SteadyState::follows(std::int32_t periods) const {
  const auto shifts = [&](std::int32_t s, std::int32_t i) {
    return i >= cuts_[at(s)].end - periods * cuts_[at(s)].period;
  };
  const auto ready = [&](std::int32_t s, std::int32_t i, std::int64_t& shifted, std::int64_t& old) {
    for_each_wait(s, i, [&](std::int32_t wait) {
      std::int64_t& latest = shifts(s, wait) ? shifted : old;
      latest = std::max(latest, end(s, wait));
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

}  // namespace stepcast
