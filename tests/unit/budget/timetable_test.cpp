#include "simulator/budget/timetable.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace stepcast {
namespace {

/// Times in whole seconds, so that a loop over the steps can be exact.
CampaignInput any_input() {
  CampaignInput input;
  const int phases = *rc::gen::inRange(1, 4);
  for (int i = 0; i < phases; ++i)
    input.phases.push_back({*rc::gen::inRange(0, 60), Seconds(*rc::gen::inRange(1, 20))});
  input.phases.push_back({1, Seconds(7)});
  input.checkpoint.stall = Seconds(*rc::gen::inRange(0, 30));
  input.evaluation = {*rc::gen::inRange(0, 9), Seconds(*rc::gen::inRange(0, 50))};
  return input;
}

/// What a loop over the steps says.
RC_GTEST_PROP(Timetable, IsTheSumOverSteps, ()) {
  CampaignInput input = any_input();
  const double interval = *rc::gen::inRange(20, 400);  // no step is longer
  const double memory_interval = *rc::gen::inRange(20, 400);
  const bool in_memory = *rc::gen::inRange(0, 2) == 1;
  if (in_memory) input.memory_checkpoints = MemoryCheckpoints{Seconds(*rc::gen::inRange(0, 5)), Seconds(0), {}, false};
  const Timetable table(input, Seconds(interval),
                        in_memory ? std::optional<Seconds>(Seconds(memory_interval)) : std::nullopt);
  double productive = 0, time = 0, saved = 0, copied = 0;
  std::int64_t steps = 0, checkpoints = 0, last = 0, last_copy = 0;
  for (const TrainingPhase& phase : input.phases) {
    for (std::int64_t i = 0; i < phase.steps; ++i) {
      ++steps;
      productive += phase.step_time.si();
      time += phase.step_time.si();
      if (input.evaluation.every_steps > 0 && steps % input.evaluation.every_steps == 0)
        time += input.evaluation.time.si();
      if (productive >= saved + interval || steps == table.steps()) {
        while (productive >= saved + interval) saved += interval;
        time += input.checkpoint.stall.si();
        ++checkpoints;
        last = steps;
      }
      if (in_memory && productive >= copied + memory_interval) {
        while (productive >= copied + memory_interval) copied += memory_interval;
        time += input.memory_checkpoints->stall.si();
        last_copy = steps;
      }
      RC_ASSERT(table.last_checkpoint(steps, CheckpointLevel::memory) == last_copy);
      RC_ASSERT(table.productive(steps).si() == productive);
      RC_ASSERT(table.checkpoints(steps) == checkpoints);
      RC_ASSERT(table.last_checkpoint(steps) == last);
      RC_ASSERT(table.time(steps).si() == time);
      const std::int64_t from = *rc::gen::inRange<std::int64_t>(0, steps + 1);
      RC_ASSERT(table.steps_at(Seconds(time), from) == steps);
      RC_ASSERT(table.steps_at(Seconds(time - 0.5), std::min(from, steps - 1)) == steps - 1);
    }
  }
  RC_ASSERT(table.steps() == steps);
}

TEST(Timetable, IntervalOfManyStepsIsFullDespiteRounding) {
  CampaignInput input;
  input.phases = {{1'000'000, Seconds(0.1)}};
  const Timetable table(input, Seconds(0.1 * 1000));
  EXPECT_EQ(table.checkpoints(1'000'000), 1000);
  EXPECT_EQ(table.last_checkpoint(999'999), 999'000);
  EXPECT_EQ(table.last_checkpoint(999), 0);
  EXPECT_EQ(table.last_checkpoint(1000), 1000);
}

}  // namespace
}  // namespace stepcast
