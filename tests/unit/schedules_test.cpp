#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/schedules/custom.hpp"
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
  EXPECT_EQ(text(one_f_one_b.order({4, 1, 5})[0]), "F0 F1 F2 F3 B0 F4 B1 B2 B3 B4 ");
  EXPECT_EQ(text(one_f_one_b.order({4, 1, 5})[2]), "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4 ");
  EXPECT_EQ(text(one_f_one_b.order({4, 1, 5})[3]), "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 ");
}

// Megatron-LM schedules.py documents its table for PP2, groups of 2, 4 microbatches, 2 chunks.
TEST(Interleaved, OrderOfTwoStagesAndTwoChunks) {
  EXPECT_EQ(text(interleaved_one_f_one_b.order({2, 2, 4})[0]),
            "F0 F1 F0' F1' F2 B0' F3 B1' F2' B0 F3' B1 B2' B3' B2 B3 ");
  EXPECT_EQ(text(interleaved_one_f_one_b.order({2, 2, 4})[1]),
            "F0 F1 F0' B0' F1' B1' F2 B0 F3 B1 F2' B2' F3' B3' B2 B3 ");
}

TEST(Gpipe, AllForwardThenAllBackward) { EXPECT_EQ(text(gpipe.order({3, 1, 3})[1]), "F0 F1 F2 B0 B1 B2 "); }

TEST(BreadthFirst, ChunkAfterChunk) {
  EXPECT_EQ(text(breadth_first.order({2, 2, 2})[0]), "F0 F1 F0' F1' B0' B1' B0 B1 ");
}

const PipelineShape some_shapes[] = {
    {1, 1, 7}, {4, 1, 4},       {4, 1, 9},        {3, 2, 7},       {4, 3, 8}, {4, 2, 12}, {8, 2, 16}, {6, 2, 13},
    {2, 2, 4}, {1, 1, 7, true}, {4, 2, 12, true}, {4, 3, 9, true}, {5, 1, 1}, {7, 2, 31}, {9, 2, 20}, {3, 2, 1}};

// Every microbatch once through every chunk, and no pass that waits for ever.
TEST(Schedules, RunEveryPassOnceAndNeverStop) {
  for (const Schedule& schedule : list_schedules()) {
    int shapes = 0;
    for (const PipelineShape& shape : some_shapes) {
      if (!schedule.refuses(shape).empty()) continue;
      ++shapes;
      const PipelineOrder order = schedule.order(shape);
      EXPECT_EQ(order_problem(order, shape, schedule.placement), "") << schedule.name;
      for (const std::vector<PassStep>& steps : order) {
        for (std::size_t i = 0; i < steps.size(); ++i) {
          if (!steps[i].paired) continue;  // with the backward pass of another microbatch
          ASSERT_LT(i + 1, steps.size());
          EXPECT_TRUE(steps[i].kind == PassKind::forward && steps[i + 1].kind == PassKind::backward);
          EXPECT_FALSE(steps[i + 1].microbatch == steps[i].microbatch && steps[i + 1].chunk == steps[i].chunk);
        }
      }
    }
    EXPECT_TRUE(shapes > 1 || schedule.name == "custom") << schedule.name;
  }
}

std::int64_t most_of_all(const PipelineOrder& order) {
  const std::vector<std::int64_t> counts = chunks_in_flight(order);
  return *std::max_element(counts.begin(), counts.end());
}

// Activations of the fullest stage, in chunks, by the papers: 1F1B p; ZB-H1 and ZB-1p that of 1F1B; ZB-H2 2p - 1; ZB-2p 2p;
// ZB-V 2p half stages, which is p; GPipe and breadth-first all; DualPipe p + 1 and DualPipe-V 2p + 1 of half the size.
TEST(Schedules, ChunksInFlight) {
  for (const int p : {2, 4, 8, 12}) {
    const std::int64_t m = 4 * p;
    EXPECT_EQ(most_of_all(one_f_one_b.order({p, 1, m})), p);
    EXPECT_EQ(most_of_all(gpipe.order({p, 1, m})), m);
    EXPECT_EQ(most_of_all(breadth_first.order({p, 3, m})), 3 * m);
    EXPECT_EQ(most_of_all(zb_h1.order({p, 1, m})), p);
    EXPECT_EQ(most_of_all(zb_h2.order({p, 1, m})), 2 * p - 1);
    EXPECT_EQ(most_of_all(zb_1p.order({p, 1, m})), p);
    EXPECT_LE(most_of_all(zb_2p.order({p, 1, m})), 2 * p);
    EXPECT_LE(most_of_all(zb_v.order({p, 2, m})), 2 * p);
    EXPECT_EQ(most_of_all(dualpipe.order({p, 2, m})), p + 1);
    EXPECT_EQ(most_of_all(dualpipe_v.order({p, 2, m})), 2 * p + 1);
  }
}

// arXiv 2405.15362: of 1F1B's activations (2p half stages) V-Min keeps a third, V-Half a half, and a few more that do not
// grow with the stages.
TEST(Schedules, ControllableMemory) {
  for (const int p : {4, 6, 8, 9, 16, 24}) {
    EXPECT_LE(most_of_all(v_min.order({p, 2, 6 * p})), 2 * p / 3 + 4) << p;
    EXPECT_LE(most_of_all(v_half.order({p, 2, 6 * p})), p + 4) << p;
  }
  EXPECT_LT(most_of_all(v_min.order({16, 2, 64})), most_of_all(v_half.order({16, 2, 64})));
}

// --- bubbles of the arrangement itself -----------------------------------------------------------------------------

/// When the last pass of an order ends, each pass run as soon as it can be.
double end_of(const Schedule& schedule, const PipelineShape& shape) {
  const PipelineOrder order = schedule.order(shape);
  std::map<std::tuple<bool, std::int32_t, int>, double> ended;  // forward, microbatch, position
  std::vector<std::size_t> next(order.size(), 0);
  std::vector<double> free(order.size(), 0.0);
  const int length = path_length(schedule.placement, shape.stages, shape.chunks);
  for (bool progress = true; progress;) {
    progress = false;
    for (int stage = 0; stage < shape.stages; ++stage) {
      const auto rank = static_cast<std::size_t>(stage);
      while (next[rank] < order[rank].size()) {
        const PassStep& step = order[rank][next[rank]];
        const int at = path_point(schedule.placement, shape.stages, stage, step.chunk).position;
        const bool forward = step.kind == PassKind::forward;
        double ready = free[rank];
        if (step.kind != PassKind::backward_weight) {
          const int before = forward ? at - 1 : at + 1;
          if (before >= 0 && before < length) {
            const auto found = ended.find({forward, step.microbatch, before});
            if (found == ended.end()) break;
            ready = std::max(ready, found->second);
          }
        }
        const PassTimes times = shape.times_of(stage, step.chunk);
        free[rank] = ready + (forward                                 ? times.forward
                              : step.kind == PassKind::backward       ? times.input + times.weight
                              : step.kind == PassKind::backward_input ? times.input
                                                                      : times.weight);
        if (step.kind != PassKind::backward_weight) ended[{forward, step.microbatch, at}] = free[rank];
        ++next[rank];
        progress = true;
      }
    }
  }
  return *std::max_element(free.begin(), free.end());
}

// Qi et al. 2023, Table 1: bubbles with F = I = W = 1. ZB-H2 has none inside: what is left is the p - 1 forward passes until
// the last stage has work. ZB-1p does as well as ZB-H1, ZB-2p as ZB-H2.
TEST(Schedules, BubblesWhereAllPassesAreAlike) {
  for (const int p : {2, 4, 8}) {
    const std::int64_t m = 4 * p;
    const auto bubble = [&](const Schedule& schedule, int v) {
      const double work = 3.0 * static_cast<double>(m) * v;
      return end_of(schedule, {p, v, m}) - work;
    };
    EXPECT_EQ(bubble(one_f_one_b, 1), 3 * (p - 1));
    EXPECT_EQ(bubble(gpipe, 1), 3 * (p - 1));
    EXPECT_EQ(bubble(breadth_first, 2), 3 * (p - 1));  // of chunks half as long
    EXPECT_EQ(bubble(interleaved_one_f_one_b, 2), 3 * (p - 1));
    EXPECT_EQ(bubble(zb_h1, 1), p - 1);
    EXPECT_EQ(bubble(zb_h2, 1), p - 1);
    EXPECT_EQ(bubble(zb_v, 2), p - 1);
    EXPECT_LE(bubble(zb_1p, 1), bubble(zb_h1, 1));
    EXPECT_LE(bubble(zb_2p, 1), bubble(zb_h2, 1));
    // arXiv 2405.15362: less memory costs bubbles, of no more than 1F1B's 6 (p - 1) in half stages.
    EXPECT_LE(bubble(v_half, 2), 3 * p) << p;
    EXPECT_LE(bubble(v_min, 2), 4 * p) << p;
  }
}

// Where weight gradients are short (attention has none), the handcrafted order leaves gaps and the arranged one fewer.
TEST(Schedules, ArrangedByTheTimesOfPasses) {
  PipelineShape shape{8, 1, 24};
  shape.times.assign(8, {{1.0, 1.2, 0.8}});
  shape.exchange = 0.05;
  EXPECT_LE(end_of(zb_2p, shape), end_of(zb_1p, shape));
  EXPECT_LE(end_of(zb_2p, shape), end_of(zb_h2, shape));
  EXPECT_LE(end_of(zb_1p, shape), end_of(zb_h1, shape));
  shape.times[7] = {{1.3, 1.5, 1.1}};  // the head
  EXPECT_LE(end_of(zb_1p, shape), end_of(zb_h1, shape));
}

// --- a user's own order --------------------------------------------------------------------------------------------

std::string refusal(const std::vector<std::string>& rows, const PipelineShape& shape) {
  try {
    parse_order(rows, shape);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Custom, ReadsPyTorchsNotation) {
  const OwnOrder order = parse_order({"0F0,0F1,,0B0,0B1", "1F0 1I0 1W0 1F1 1B1"}, {2, 1, 2});
  EXPECT_EQ(order.stages[0], one_f_one_b.order({2, 1, 2})[0]);
  EXPECT_EQ(order.stages[1][1], (PassStep{PassKind::backward_input, 0, 0}));
  EXPECT_EQ(order.placement, ChunkPlacement::loop);
  // stages 0 and 3 on rank 0, 1 and 2 on rank 1
  EXPECT_EQ(parse_order({"0F0 3F0 3B0 0B0", "1F0 2F0 2B0 1B0"}, {2, 2, 1}).placement, ChunkPlacement::vee);
}

TEST(Custom, NamesTheFirstPassThatCanNeverRun) {
  EXPECT_EQ(refusal({"0F0 0B0 0F1 0B1", "1F0 1F1 1B0 1B1"}, {2, 1, 2}),
            "rank 0 can never run 0B0, its pass 2: it waits for 1B0");
  EXPECT_EQ(refusal({"0B0 0F0"}, {1, 1, 1}), "rank 0 can never run 0B0, its pass 1: it waits for 0F0");
  EXPECT_EQ(refusal({"0F0 0W0 0I0"}, {1, 1, 1}), "rank 0 can never run 0W0, its pass 2: it waits for 0I0");
}

TEST(Custom, RefusesWhatIsMissingTwiceOrUnreadable) {
  EXPECT_EQ(refusal({"0F0 0B0"}, {1, 1, 2}), "rank 0 has 1 forward passes; 2 microbatches through 1 chunk make 2");
  EXPECT_EQ(refusal({"0F0 0F0 0B0 0B1"}, {1, 1, 2}), "rank 0 runs 0F0 twice");
  EXPECT_EQ(refusal({"0F0 0I0 0B0"}, {1, 1, 1}), "rank 0 runs 0B0 twice");
  EXPECT_EQ(refusal({"0F0 0I0"}, {1, 1, 1}),
            "rank 0 has 0 weight gradients (B or W); 1 microbatches through 1 chunk make 1");
  EXPECT_EQ(refusal({"0F0 0F7 0B0 0B1"}, {1, 1, 2}), "rank 0 runs 0F7, but the step has 2 microbatches");
  EXPECT_EQ(refusal({"0F0 0X0"}, {1, 1, 1}),
            "rank 0: '0X0' is no pass; write stage, action (F, B, I or W) and microbatch, as 0F3");
  EXPECT_EQ(refusal({"0F0 0B0"}, {2, 1, 1}), "an order has one row a rank: 1 rows for 2 pipeline stages");
  EXPECT_EQ(refusal({"1F0 1B0", "0F0 0B0"}, {2, 1, 1}), "rank 0 runs 1F0, but stage s of 2 is on rank s mod 2");
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
