#include "simulator/budget/timetable.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

/// An interval that is full but for rounding is full.
constexpr double rounding = 1e-9;

}  // namespace

Timetable::Timetable(const CampaignInput& input, Seconds interval, std::optional<Seconds> memory_interval)
    : storage_{interval.si(), input.checkpoint.stall.si()},
      data_share_(input.data_share),
      evaluate_every_(input.evaluation.every_steps),
      evaluation_(input.evaluation.time.si()) {
  CHECK(storage_.interval > 0, "checkpoints have a distance");
  if (memory_interval) {
    CHECK(input.memory_checkpoints && *memory_interval > Seconds(0), "checkpoints have a distance");
    memory_ = {memory_interval->si(), input.memory_checkpoints->stall.si()};
  }
  double begin = 0;
  for (const TrainingPhase& phase : input.phases) {
    if (phase.steps == 0) continue;
    stretches_.push_back({steps_, begin, phase.step_time.si()});
    steps_ += phase.steps;
    begin += static_cast<double>(phase.steps) * phase.step_time.si();
  }
  CHECK(steps_ > 0, "a run has steps");
}

Seconds Timetable::productive(std::int64_t steps) const {
  const auto after = std::upper_bound(stretches_.begin() + 1, stretches_.end(), steps,
                                      [](std::int64_t s, const Stretch& stretch) { return s < stretch.first; });
  const Stretch& in = *(after - 1);
  return Seconds(in.begin + static_cast<double>(steps - in.first) * in.step);
}

double Timetable::intervals(std::int64_t steps, const Level& level) const {
  return level.interval > 0 ? std::floor(productive(steps).si() / level.interval + rounding) : 0;
}

std::int64_t Timetable::checkpoints(std::int64_t steps, CheckpointLevel level) const {
  auto taken = static_cast<std::int64_t>(intervals(steps, of(level)));
  const bool saves_the_end = level == CheckpointLevel::storage && steps == steps_;
  if (saves_the_end && intervals(steps, of(level)) == intervals(steps - 1, of(level))) ++taken;
  return taken;
}

std::int64_t Timetable::evaluations(std::int64_t steps) const {
  return evaluate_every_ > 0 ? steps / evaluate_every_ : 0;
}

Seconds Timetable::time(std::int64_t steps) const {
  double seconds =
      productive(steps).si() * (1 + data_share_) + static_cast<double>(checkpoints(steps)) * storage_.stall;
  if (memory_.interval > 0) seconds += static_cast<double>(checkpoints(steps, CheckpointLevel::memory)) * memory_.stall;
  seconds += static_cast<double>(evaluations(steps)) * evaluation_;
  return Seconds(seconds);
}

std::int64_t Timetable::steps_at(Seconds at, std::int64_t from) const {
  std::int64_t over = from, not_yet = steps_ + 1;
  for (std::int64_t reach = 1; over + reach < not_yet; reach *= 2) {
    if (time(over + reach) > at) {
      not_yet = over + reach;
      break;
    }
    over += reach;
  }
  while (not_yet - over > 1) {
    const std::int64_t middle = over + (not_yet - over) / 2;
    (time(middle) > at ? not_yet : over) = middle;
  }
  return over;
}

std::int64_t Timetable::last_checkpoint(std::int64_t steps, CheckpointLevel which) const {
  const Level& level = of(which);
  if (which == CheckpointLevel::storage && steps >= steps_) return steps_;
  const double full = intervals(steps, level);
  if (full < 1) return 0;
  // The first step by which so many intervals are full: in the stretch that has the moment.
  const double moment = full * level.interval;
  const auto after = std::upper_bound(stretches_.begin() + 1, stretches_.end(), moment,
                                      [](double m, const Stretch& stretch) { return m < stretch.begin; });
  const Stretch& in = *(after - 1);
  auto step = in.first + static_cast<std::int64_t>(std::ceil((moment - in.begin) / in.step - rounding));
  step = std::min(step, steps);
  while (step > 0 && intervals(step - 1, level) >= full) --step;
  while (step < steps && intervals(step, level) < full) ++step;
  return step;
}

Seconds Timetable::evaluation_time() const { return static_cast<double>(evaluations(steps_)) * Seconds(evaluation_); }
Seconds Timetable::data_time() const { return data_share_ * productive(steps_); }
Seconds Timetable::checkpoint_time() const {
  const auto in_memory = static_cast<double>(checkpoints(steps_, CheckpointLevel::memory));
  return Seconds(static_cast<double>(checkpoints(steps_)) * storage_.stall + in_memory * memory_.stall);
}

}  // namespace stepcast
