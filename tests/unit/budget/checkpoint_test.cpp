#include "simulator/budget/checkpoint.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/budget/reliability.hpp"
#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

/// Llama-3's rate: 419 unexpected interruptions of 16,384 GPUs in 54 days (arXiv 2407.21783, sec. 3.3.4).
Reliability llama3() {
  Reliability reliability;
  reliability.failures_per_gpu.value = 419 / (54 * day * 16384);
  return reliability;
}

struct GoodputCase {
  std::string name;
  std::int64_t gpus;
  Seconds stall, restart;
  double goodput;
};

/// Worked by hand from Young's and Daly's formulas at that rate.
class GoodputVectors : public testing::TestWithParam<GoodputCase> {};

TEST_P(GoodputVectors, FirstOrderAtDalysInterval) {
  const GoodputCase& c = GetParam();
  const Seconds mttf = mean_time_between_failures(llama3(), c.gpus);
  const Seconds interval = daly_interval(c.stall, mttf);
  EXPECT_NEAR(goodput_first_order(interval, c.stall, c.restart, mttf), c.goodput, 0.0011);
}

INSTANTIATE_TEST_SUITE_P(Worked, GoodputVectors,
                         testing::Values(GoodputCase{"1024_fast", 1024, Seconds(10), Seconds(300), 0.988},
                                         GoodputCase{"1024_slow", 1024, Seconds(60), Seconds(600), 0.971},
                                         GoodputCase{"4096_fast", 4096, Seconds(10), Seconds(300), 0.972},
                                         GoodputCase{"4096_slow", 4096, Seconds(60), Seconds(600), 0.936},
                                         GoodputCase{"16384_fast", 16384, Seconds(10), Seconds(300), 0.932},
                                         GoodputCase{"16384_slow", 16384, Seconds(60), Seconds(600), 0.848},
                                         GoodputCase{"65536_fast", 65536, Seconds(10), Seconds(300), 0.814},
                                         GoodputCase{"65536_slow", 65536, Seconds(60), Seconds(600), 0.609}),
                         [](const auto& c) { return c.param.name; });

TEST(CheckpointInterval, OfSixteenThousandGpus) {
  const Seconds mttf = mean_time_between_failures(llama3(), 16384);
  EXPECT_NEAR(mttf / hour, 3.09, 0.005);
  EXPECT_NEAR(daly_interval(Seconds(10), mttf) / minute, 7.8, 0.05);
  EXPECT_NEAR(daly_interval(Seconds(60), mttf) / minute, 18.6, 0.05);
}

TEST(CheckpointInterval, DalyIsTheMttfWhereAStallTakesTwiceThat) {
  EXPECT_EQ(daly_interval(Seconds(200), Seconds(100)), Seconds(100));
  EXPECT_EQ(daly_interval(Seconds(1000), Seconds(100)), Seconds(100));
}

TEST(CheckpointInterval, WithoutStallOrFailures) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(optimal_interval(Seconds(0), Seconds(100)), Seconds(0));
  EXPECT_EQ(optimal_interval(Seconds(5), Seconds(infinity)).si(), infinity);
  EXPECT_EQ(goodput_exponential(Seconds(90), Seconds(10), Seconds(100), Seconds(infinity)), 0.9);
}

/// Neither a longer nor a shorter interval does better, and Daly's estimate comes near it where it is meant to.
RC_GTEST_PROP(CheckpointInterval, OptimumIsALowestPoint, ()) {
  const Seconds mttf(std::pow(10.0, *rc::gen::inRange(10, 70) / 10.0));
  const Seconds stall = mttf * std::pow(10.0, *rc::gen::inRange(-60, 10) / 10.0);
  const Seconds restart = mttf * (*rc::gen::inRange(0, 100) / 50.0);
  const Seconds best = optimal_interval(stall, mttf);
  const auto time = [&](Seconds interval) { return expected_time(1e3 * mttf, interval, stall, restart, mttf); };
  RC_ASSERT(best > Seconds(0));
  RC_ASSERT(best < mttf);
  for (const double factor : {0.5, 0.9, 0.99, 1.01, 1.1, 2.0}) RC_ASSERT(time(best) <= time(factor * best));
  if (stall < mttf / 2) RC_ASSERT(time(daly_interval(stall, mttf)) < 1.002 * time(best));
}

/// Kokolis et al. 2024, arXiv 2410.21680: mean time to failure of jobs by size, and the training time ratio.
TEST(MetaClusters, MeanTimeToFailure) {
  Reliability rsc1;
  rsc1.failures_per_gpu.value = per_thousand_node_days(6.50, 8);
  EXPECT_NEAR(mean_time_between_failures(rsc1, 16384) / hour, 1.8, 0.005);
  EXPECT_NEAR(mean_time_between_failures(rsc1, 131072) / hour, 0.23, 0.006);
}

TEST(MetaClusters, TrainingTimeRatioIsFirstOrderGoodputToSecondOrder) {
  const Seconds mttf = 20 * hour, stall = 1 * minute, restart = 5 * minute, interval = hour;
  const double ratio = expected_training_time_ratio(interval, stall, restart, mttf);
  EXPECT_NEAR(ratio, (1 - (5.0 / 60 + 0.5) / 20) / (1 + 1.0 / 60), 1e-12);
  EXPECT_NEAR(ratio, goodput_exponential(interval, stall, restart, mttf), 0.003);
}

// --- sizes -------------------------------------------------------------------------------------------------------

TEST(CheckpointSize, AsPublished) {
  // Narayanan et al. 2021 (arXiv 2104.04473, sec. 5.10): 13.8 TB of a model of 1,008B.
  EXPECT_NEAR(checkpoint_size(1008e9) / Bytes(13.8e12), 1, 0.03);
  // BLOOM (github.com/bigscience-workshop/bigscience, chronicles): 2.3 TB with 176.2B; 40 s at 57.5 GB/s.
  EXPECT_NEAR(checkpoint_size(176.2e9) / Bytes(2.3e12), 1, 0.08);
  // OPT-175B (github.com/facebookresearch/metaseq, chronicles): 992 files of 1.7 GB; half weights and fp32 moments.
  EXPECT_NEAR(checkpoint_size(175e9, {0, 8, 2}) / (992 * 1.7_GB), 1, 0.04);
}

TEST(CheckpointCosts, SynchronousWaitsForTheStorage) {
  const CheckpointStorage jean_zay{BytesPerSecond(57.5e9), BytesPerSecond(57.5e9)};
  const CheckpointCost cost = checkpoint_cost(2.3_TB, 384, jean_zay, CheckpointMode::synchronous);
  EXPECT_DOUBLE_EQ(cost.stall.si(), 40);
  EXPECT_EQ(cost.write, cost.stall);
  EXPECT_DOUBLE_EQ(cost.load.si(), 40);
  EXPECT_EQ(cost.shortest_interval, Seconds(0));
}

TEST(CheckpointCosts, AsynchronousWaitsForTheCopyAlone) {
  // 4 TB of 1,000 GPUs: 4 GB each, 0.16 s at 25 GB/s; 20 s at 200 GB/s behind it, at a tenth of the speed lost 2 s.
  const CheckpointStorage storage{BytesPerSecond(200e9), BytesPerSecond(400e9), BytesPerSecond(25e9), 0.1};
  const CheckpointCost cost = checkpoint_cost(4.0_TB, 1000, storage, CheckpointMode::asynchronous);
  EXPECT_DOUBLE_EQ(cost.stall.si(), 2.16);
  EXPECT_DOUBLE_EQ(cost.write.si(), 20.16);
  EXPECT_DOUBLE_EQ(cost.load.si(), 10);
  EXPECT_DOUBLE_EQ(cost.shortest_interval.si(), 20);
}

/// Weights and Adam's state of 405B parameters on 16,384 GPUs: 0.3 GB each.
TEST(CheckpointCosts, CopiesInMemoryTakeTheCopy) {
  const MemoryCheckpoints copies = memory_checkpoints(checkpoint_size(405e9, {4, 8, 0}), 16384, {});
  EXPECT_NEAR(copies.stall / Seconds(1e-3), 11.9, 0.05);
  EXPECT_EQ(copies.load, copies.stall);
}

}  // namespace
}  // namespace stepcast
