#include <set>

#include <gtest/gtest.h>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string text(const std::vector<PassStep>& steps) {
  std::string out;
  for (const PassStep& step : steps) {
    out += step.kind == PassKind::forward ? 'F' : 'B';
    out += std::to_string(step.microbatch);
    if (step.chunk > 0) out += std::string(static_cast<std::size_t>(step.chunk), '\'');
    out += ' ';
  }
  return out;
}

// Narayanan et al. 2021, figure 4 (top): four stages; the last stage alternates from the start.
TEST(OneFOneB, OrderOfFourStages) {
  EXPECT_EQ(text(one_f_one_b.order({4, 1, 5}, 0)), "F0 F1 F2 F3 B0 F4 B1 B2 B3 B4 ");
  EXPECT_EQ(text(one_f_one_b.order({4, 1, 5}, 2)), "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4 ");
  EXPECT_EQ(text(one_f_one_b.order({4, 1, 5}, 3)), "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 ");
}

// Megatron-LM schedules.py documents its table for PP2, groups of 2, 4 microbatches, 2 chunks.
TEST(Interleaved, OrderOfTwoStagesAndTwoChunks) {
  EXPECT_EQ(text(interleaved_one_f_one_b.order({2, 2, 4}, 0)),
            "F0 F1 F0' F1' F2 B0' F3 B1' F2' B0 F3' B1 B2' B3' B2 B3 ");
  EXPECT_EQ(text(interleaved_one_f_one_b.order({2, 2, 4}, 1)),
            "F0 F1 F0' B0' F1' B1' F2 B0 F3 B1 F2' B2' F3' B3' B2 B3 ");
}

TEST(Gpipe, AllForwardThenAllBackward) { EXPECT_EQ(text(gpipe.order({3, 1, 3}, 1)), "F0 F1 F2 B0 B1 B2 "); }

TEST(Schedules, EveryPassRunsOnceAndForwardBeforeBackward) {
  for (const Schedule& schedule : list_schedules()) {
    for (const PipelineShape shape : {PipelineShape{1, 1, 7}, PipelineShape{4, 1, 4}, PipelineShape{4, 1, 9},
                                      PipelineShape{3, 2, 7}, PipelineShape{4, 3, 8}}) {
      if (!schedule.refuses(shape).empty()) continue;
      for (int stage = 0; stage < shape.stages; ++stage) {
        std::set<std::tuple<PassKind, int, int>> seen;
        std::int64_t in_flight = 0, most = 0;
        for (const PassStep& step : schedule.order(shape, stage)) {
          EXPECT_TRUE(seen.insert({step.kind, step.microbatch, step.chunk}).second);
          if (step.kind == PassKind::backward) {
            EXPECT_TRUE(seen.contains({PassKind::forward, step.microbatch, step.chunk}));
          }
          in_flight += step.kind == PassKind::forward ? 1 : -1;
          most = std::max(most, in_flight);
        }
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(2 * shape.microbatches * shape.chunks)) << schedule.name;
        EXPECT_EQ(most, schedule.chunks_in_flight(shape, stage)) << schedule.name << " stage " << stage;
      }
    }
  }
}

}  // namespace
}  // namespace stepcast
