#include "simulator/budget/campaign.hpp"

#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <tbb/global_control.h>

#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

/// Failures and nothing that follows them; every other loss has to be asked for.
Reliability failing_every(Seconds mttf, std::int64_t gpus) {
  Reliability reliability;
  reliability.failures_per_gpu.value = 1.0 / mttf / static_cast<double>(gpus);
  reliability.takes_node.value = 0;
  reliability.restart.value = Seconds(0);
  return reliability;
}

CampaignInput run_of(Seconds productive, Seconds step, const Reliability& reliability) {
  CampaignInput input;
  input.phases = {{static_cast<std::int64_t>(std::round(productive / step)), step}};
  input.nodes = 16;
  input.gpus_per_node = 8;
  input.reliability = reliability;
  return input;
}

constexpr std::int64_t gpus_of_run = 128;

double standard_error(const CampaignOutcome& outcome) { return outcome.days.deviation / std::sqrt(outcome.trials); }

/// The parts of a run sum to its time, in the mean as in every trial.
void expect_parts_sum(const CampaignOutcome& outcome) {
  EXPECT_NEAR(outcome.time.total() / day, outcome.days.mean, 1e-9 * outcome.days.mean);
}

// --- against closed forms ------------------------------------------------------------------------------------------

struct DalyCase {
  std::string name;
  Seconds mttf, interval, stall, restart;
};
class Daly : public testing::TestWithParam<DalyCase> {};

/// Daly 2006, eq. 20, is exact for Poisson failures, whole segments and restarts that may fail as well.
TEST_P(Daly, MeanOfTheTrialsIsHisExpectation) {
  const DalyCase& c = GetParam();
  CampaignInput input = run_of(600 * c.interval, c.interval / 10, failing_every(c.mttf, gpus_of_run));
  input.reliability.restart.value = c.restart * 0.75;
  input.reliability.detect.value = c.restart * 0.15;
  input.checkpoint.load = c.restart * 0.1;
  input.checkpoint.stall = input.checkpoint.write = c.stall;
  input.checkpoint_interval = c.interval;
  const CampaignOutcome outcome = simulate_campaign(input, 2000, 1);
  ASSERT_TRUE(outcome.feasible) << outcome.infeasible_reason;
  const Seconds expected = expected_time(600 * c.interval, c.interval, c.stall, c.restart, c.mttf);
  EXPECT_NEAR(outcome.days.mean, expected / day, 4 * standard_error(outcome));
  EXPECT_LT(standard_error(outcome), 0.005 * outcome.days.mean);
  EXPECT_EQ(outcome.checkpoints, 600);
  expect_parts_sum(outcome);
  EXPECT_NEAR(outcome.time.productive.si(), 600 * c.interval.si(), 1e-6 * outcome.time.productive.si());
  EXPECT_NEAR(outcome.time.checkpoints.si(), 600 * c.stall.si(), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(
    Poisson, Daly,
    testing::Values(DalyCase{"rare", 20 * hour, hour, minute, 5 * minute},
                    DalyCase{"often", 3 * hour, 20 * minute, minute, 10 * minute},
                    DalyCase{"restart_as_long_as_the_time_between", 30 * minute, 10 * minute, minute, 30 * minute},
                    DalyCase{"stall_as_long_as_the_interval", 2 * hour, 10 * minute, 10 * minute, minute}),
    [](const auto& c) { return c.param.name; });

/// Kokolis et al. 2024 (arXiv 2410.21680): within a point where the ratio's assumptions hold, failures much rarer than
/// restarts and checkpoints.
TEST(Campaign, AgreesWithMetasTrainingTimeRatio) {
  for (const auto& [gpus, restart] : {std::pair(1024, 5 * minute), {2048, 5 * minute}, {4096, 10 * minute}}) {
    Reliability rsc1;
    rsc1.failures_per_gpu.value = per_thousand_node_days(6.50, 8);
    rsc1.takes_node.value = 0;
    rsc1.restart.value = restart;
    const Seconds mttf = mean_time_between_failures(rsc1, gpus);
    CampaignInput input = run_of(30 * day, 10 * Seconds(1), rsc1);
    input.nodes = gpus / 8;
    input.checkpoint.stall = input.checkpoint.write = 2 * minute;
    input.checkpoint_interval = daly_interval(input.checkpoint.stall, mttf);
    const CampaignOutcome outcome = simulate_campaign(input, 2000, 7);
    const double ratio =
        expected_training_time_ratio(outcome.checkpoint_interval, input.checkpoint.stall, restart, mttf);
    EXPECT_NEAR(outcome.goodput, ratio, 0.01) << gpus;
    EXPECT_LT(ratio, 0.97) << "something is lost";
  }
}

TEST(Campaign, WithoutFailuresItIsArithmetic) {
  CampaignInput input;
  input.phases = {{1000, Seconds(5)}, {0, Seconds(0)}, {2000, Seconds(10)}};
  input.checkpoint.stall = input.checkpoint.write = Seconds(30);
  input.checkpoint_interval = Seconds(1000);  // 25 of them
  input.evaluation = {500, Seconds(60)};      // 6
  input.data_share = 0.01;
  const CampaignOutcome outcome = simulate_campaign(input, 3, 1);
  EXPECT_DOUBLE_EQ(outcome.time.productive.si(), 25000);
  EXPECT_DOUBLE_EQ(outcome.time.checkpoints.si(), 25 * 30);
  EXPECT_DOUBLE_EQ(outcome.time.evaluation.si(), 6 * 60);
  EXPECT_DOUBLE_EQ(outcome.time.data.si(), 250);
  EXPECT_NEAR(outcome.days.mean * 86400, 25000 + 750 + 360 + 250, 1e-6);
  EXPECT_EQ(outcome.days.lowest, outcome.days.highest);
  EXPECT_EQ(outcome.checkpoint_steps, 100);
}

TEST(Campaign, LastStepIsSavedOnce) {
  CampaignInput input;
  input.phases = {{105, Seconds(10)}};
  input.checkpoint.stall = input.checkpoint.write = Seconds(1);
  input.checkpoint_interval = Seconds(100);
  EXPECT_EQ(simulate_campaign(input, 1, 1).checkpoints, 11);  // ten, and the end
  input.phases = {{100, Seconds(10)}};
  EXPECT_EQ(simulate_campaign(input, 1, 1).checkpoints, 10);  // the tenth is the end
}

/// With a constant rate, failures in the time that the run takes are Poisson: mean and variance agree.
TEST(Campaign, FailuresArePoisson) {
  CampaignInput input = run_of(40 * day, Seconds(60), failing_every(day, gpus_of_run));
  input.checkpoint_interval = Seconds(60);  // next to nothing is lost: 40 days
  const CampaignOutcome outcome = simulate_campaign(input, 4000, 3);
  EXPECT_NEAR(outcome.failures.mean, 40, 5 * std::sqrt(40.0 / 4000));
  EXPECT_NEAR(outcome.failures.deviation, std::sqrt(40), 0.3);
}

/// A power law: (t / observed)^shape of the observed period's failures.
TEST(Campaign, InfantMortality) {
  for (const double shape : {0.5, 0.8, 1.5}) {
    CampaignInput input = run_of(10 * day, Seconds(60), failing_every(day / 4, gpus_of_run));
    input.checkpoint_interval = Seconds(60);
    input.reliability.shape.value = shape;
    input.reliability.observed.value = 40 * day;  // of 160 failures
    const CampaignOutcome outcome = simulate_campaign(input, 2000, 3);
    const double expected = 160 * std::pow(outcome.days.mean / 40, shape);
    EXPECT_NEAR(outcome.failures.mean, expected, 0.02 * expected) << shape;
  }
}

/// Palm 1943: nodes in repair are Poisson, whatever their repair times. A long run with many spare nodes.
TEST(Campaign, NodesInRepair) {
  CampaignInput input = run_of(60 * day, Seconds(60), failing_every(6 * hour, gpus_of_run));
  input.checkpoint_interval = Seconds(60);
  input.reliability.takes_node.value = 0.5;
  input.reliability.repair.value = 2 * day;
  input.spare_nodes = 100;
  const CampaignOutcome outcome = simulate_campaign(input, 500, 5);
  const double filling = 1 - (1 - std::exp(-30.0)) / 30;   // none at the start: mean of 1 - e^(-t / repair)
  EXPECT_NEAR(outcome.nodes_in_repair, 4 * filling, 0.1);  // 2 a day leave for 2 days each
}

}  // namespace
}  // namespace stepcast
