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
    for (const PipelineShape shape :
         {PipelineShape{1, 1, 7}, PipelineShape{4, 1, 4}, PipelineShape{4, 1, 9}, PipelineShape{3, 2, 7},
          PipelineShape{4, 3, 8}, PipelineShape{4, 2, 12}, PipelineShape{8, 2, 16}, PipelineShape{1, 1, 7, true},
          PipelineShape{4, 2, 12, true}, PipelineShape{4, 3, 9, true}}) {
      if (!schedule.refuses(shape).empty()) continue;
      const auto passes = static_cast<std::size_t>(shape.microbatches * shape.chunks / paths(schedule.placement));
      for (int stage = 0; stage < shape.stages; ++stage) {
        std::set<std::tuple<PassKind, int, int>> seen;
        std::size_t forwards = 0, inputs = 0, weights = 0;
        const std::vector<PassStep> steps = schedule.order(shape, stage);
        for (std::size_t i = 0; i < steps.size(); ++i) {
          const PassStep& step = steps[i];
          EXPECT_TRUE(seen.insert({step.kind, step.microbatch, step.chunk}).second);
          const bool forward = step.kind == PassKind::forward;
          const bool input = step.kind == PassKind::backward || step.kind == PassKind::backward_input;
          const bool weight = step.kind == PassKind::backward || step.kind == PassKind::backward_weight;
          if (input) {
            EXPECT_TRUE(seen.contains({PassKind::forward, step.microbatch, step.chunk}));
          } else if (weight) {
            EXPECT_TRUE(seen.contains({PassKind::backward_input, step.microbatch, step.chunk}));
          }
          if (step.paired) {  // with the backward pass of another microbatch
            ASSERT_LT(i + 1, steps.size());
            EXPECT_TRUE(forward && steps[i + 1].kind == PassKind::backward);
            EXPECT_FALSE(steps[i + 1].microbatch == step.microbatch && steps[i + 1].chunk == step.chunk);
          }
          forwards += forward, inputs += input, weights += weight;
        }
        EXPECT_EQ(forwards, passes) << schedule.name << " stage " << stage;
        EXPECT_EQ(inputs, passes) << schedule.name << " stage " << stage;
        EXPECT_EQ(weights, passes) << schedule.name << " stage " << stage;
        // DualPipe: the paper's p + 1 on every rank; the ranks next to the middle have it.
        const std::int64_t most = schedule.chunks_in_flight(shape, stage);
        EXPECT_LE(most_in_flight(steps), most) << schedule.name << " stage " << stage;
        if (schedule.placement != ChunkPlacement::both_ways || stage == shape.stages / 2) {
          EXPECT_EQ(most_in_flight(steps), most) << schedule.name << " stage " << stage;
        }
      }
    }
  }
}

// Memory of the papers: ZB-H1 that of 1F1B (p chunks on every stage), ZB-V 2p half chunks, DualPipe p + 1.
TEST(Schedules, ChunksInFlight) {
  for (int stage = 0; stage < 8; ++stage) {
    EXPECT_LE(zb_h1.chunks_in_flight({8, 1, 32}, stage), 8);
    EXPECT_LE(zb_v.chunks_in_flight({8, 2, 32}, stage), 16);
    EXPECT_EQ(dualpipe.chunks_in_flight({8, 2, 32}, stage), 9);
  }
  EXPECT_EQ(zb_h1.chunks_in_flight({8, 1, 32}, 0), 8);
}

TEST(Schedules, SayWhatTheyNeed) {
  EXPECT_NE(dualpipe.refuses({3, 2, 12}), "");
  EXPECT_NE(dualpipe.refuses({4, 1, 12}), "");
  EXPECT_NE(dualpipe.refuses({4, 2, 6}), "");
  EXPECT_NE(zb_v.refuses({4, 1, 8}), "");
  EXPECT_NE(one_f_one_b.refuses({4, 1, 8, true}), "");
  EXPECT_EQ(interleaved_one_f_one_b.refuses({4, 2, 8, true}), "");
}

}  // namespace
}  // namespace stepcast
