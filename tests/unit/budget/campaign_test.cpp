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

/// Copies in memory beside storage come down to Daly's expectation wherever one level is all that counts.
TEST(Campaign, CopiesInMemory) {
  CampaignInput input = run_of(400 * hour, minute, failing_every(4 * hour, gpus_of_run));
  input.reliability.repair.value = Seconds(0);
  input.reliability.restart.value = 5 * minute;
  input.checkpoint_interval = 2 * hour;
  input.checkpoint.stall = input.checkpoint.write = 3 * minute;
  input.checkpoint.load = 4 * minute;
  input.memory_checkpoints = MemoryCheckpoints{Seconds(10), minute, 20 * minute, false};
  const auto days = [&](double takes_node, bool survive) {
    input.reliability.takes_node.value = takes_node;
    input.memory_checkpoints->survive_loss_of_node = survive;
    const CampaignOutcome outcome = simulate_campaign(input, 2000, 1);
    EXPECT_LT(standard_error(outcome), 0.002 * outcome.days.mean);
    expect_parts_sum(outcome);
    return outcome.days.mean;
  };
  // Nodes take their copies along: storage alone, six copies being part of each of its segments.
  const Seconds stored = expected_time(400 * hour, 2 * hour, 4 * minute, 9 * minute, 4 * hour);
  EXPECT_NEAR(days(1, false) / (stored / day), 1, 0.008);
  // They never do, and storage is free: memory alone.
  EXPECT_NEAR(days(0, false), days(1, true), 0.15);
  input.checkpoint.stall = input.checkpoint.write = Seconds(0);
  const Seconds in_memory = expected_time(400 * hour, 20 * minute, Seconds(10), 6 * minute, 4 * hour);
  EXPECT_NEAR(days(0, false) / (in_memory / day), 1, 0.008);
  EXPECT_NEAR(days(1, true) / (in_memory / day), 1, 0.008);
  // Between the two, and nearer to one as more failures are its.
  const double some = days(0.3, false), more = days(0.7, false);
  EXPECT_LT(in_memory / day, some);
  EXPECT_LT(some, more);
}

TEST(Campaign, IntervalsOfTwoLevels) {
  CampaignInput input = run_of(1000 * hour, minute, failing_every(4 * hour, gpus_of_run));
  input.reliability.takes_node.value = 0.25;
  input.checkpoint.stall = input.checkpoint.write = 3 * minute;
  input.memory_checkpoints = MemoryCheckpoints{Seconds(1), Seconds(1), std::nullopt, false};
  const CampaignOutcome outcome = simulate_campaign(input, 10, 1);
  EXPECT_NEAR(outcome.checkpoint_interval / optimal_interval(3 * minute, 16 * hour), 1, 0.01);
  EXPECT_NEAR(*outcome.memory_interval / optimal_interval(Seconds(1), 4 * hour), 1, 0.2);  // whole minutes
  EXPECT_NEAR(outcome.expected_goodput, simulate_campaign(input, 1000, 1).goodput, 0.005);
}

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

/// Without spare nodes each loss waits for a repair, and nothing fails that stands still.
TEST(Campaign, WaitsForRepairs) {
  CampaignInput input = run_of(60 * day, Seconds(60), failing_every(day, gpus_of_run));
  input.checkpoint_interval = Seconds(60);
  input.reliability.takes_node.value = 1;
  input.reliability.repair.value = 6 * hour;
  input.spare_nodes = 0;
  const CampaignOutcome outcome = simulate_campaign(input, 2000, 5);
  EXPECT_NEAR(outcome.days.mean, 60 + 60 * 0.25, 4 * standard_error(outcome) + 0.03);  // half a step lost 60 times
  EXPECT_NEAR(outcome.time.waiting / day, 15, 0.3);
  EXPECT_EQ(outcome.waited_share, 1);
  input.spare_nodes.reset();
  const CampaignOutcome with_spares = simulate_campaign(input, 2000, 5);
  EXPECT_EQ(with_spares.spare_nodes, outcome.recommended_spares);
  EXPECT_LT(with_spares.time.waiting, 0.02 * outcome.time.waiting);
}

/// On the replicas that are left, progress goes with their number: Palm's mean of nodes in repair.
TEST(Campaign, ElasticRunsOnFewerReplicas) {
  CampaignInput input = run_of(200 * day, Seconds(60), failing_every(12 * hour, 100 * 8));
  input.nodes = 100;
  input.elastic_replica_nodes = 1;
  input.spare_nodes = 0;
  input.checkpoint_interval = Seconds(60);
  input.reliability.takes_node.value = 1;
  input.reliability.repair.value = 60 * hour;  // five nodes away
  const CampaignOutcome outcome = simulate_campaign(input, 200, 9);
  EXPECT_NEAR(outcome.goodput, 0.95, 0.003);
  EXPECT_NEAR(outcome.nodes_in_repair, 5, 0.1);
  EXPECT_EQ(outcome.waited_share, 0);
  expect_parts_sum(outcome);
  input.elastic_replica_nodes = 0;
  EXPECT_LT(simulate_campaign(input, 50, 9).goodput, outcome.goodput);
}

/// Each spike goes back `b` steps: S / (1 - rate * b) steps are run in all.
TEST(Campaign, LossSpikes) {
  CampaignInput input = run_of(10000 * Seconds(10), Seconds(10), failing_every(Seconds(1e30), gpus_of_run));
  input.checkpoint_interval = Seconds(10);
  input.spikes = {20.0 / 10000, 100};
  const CampaignOutcome outcome = simulate_campaign(input, 2000, 2);
  EXPECT_NEAR(outcome.spikes.mean, 20 / (1 - 0.2), 0.5);  // 25: the rate is of steps run, again or not
  EXPECT_NEAR(outcome.time.lost_work / Seconds(10), 2500, 50);
  input.spikes.back_steps = 500;
  EXPECT_THAT(simulate_campaign(input, 1, 2).infeasible_reason, HasSubstr("never ends"));
}

/// Every so many days; what is running is saved first.
TEST(Campaign, PlannedInterruptions) {
  CampaignInput input = run_of(100 * day, Seconds(60), failing_every(Seconds(1e30), gpus_of_run));
  input.checkpoint_interval = hour;
  input.checkpoint.write = minute;
  input.checkpoint.load = 2 * minute;
  input.reliability.restart.value = 7 * minute;
  input.reliability.planned.value = 1 / (2.5 * day);
  input.reliability.planned_time.value = 20 * minute;
  const CampaignOutcome outcome = simulate_campaign(input, 1, 2);
  EXPECT_EQ(outcome.planned.mean, 40);
  EXPECT_DOUBLE_EQ(outcome.time.planned / minute, 40 * 30);
  EXPECT_LE(outcome.time.lost_work, 40 * minute);  // of a step each
  EXPECT_EQ(outcome.failures.mean, 0);
}

/// A checkpoint that is still being written is worth nothing: the loss of a failure grows by that time.
TEST(Campaign, CheckpointsBehindTrainingAreSafeLater) {
  CampaignInput input = run_of(2000 * hour, Seconds(60), failing_every(20 * hour, gpus_of_run));
  input.checkpoint_interval = hour;
  const auto loss = [&] {
    const CampaignOutcome outcome = simulate_campaign(input, 1000, 2);
    return outcome.time.lost_work / outcome.failures.mean;
  };
  const Seconds at_once = loss();
  input.checkpoint.write = input.checkpoint.shortest_interval = 30 * minute;
  const Seconds later = loss();
  EXPECT_NEAR(at_once / minute, 30, 0.7);
  EXPECT_NEAR(later / minute, 60, 1.5);
}

TEST(Campaign, IntervalIsNotShorterThanTheWriting) {
  CampaignInput input = run_of(100 * hour, Seconds(60), failing_every(2 * hour, gpus_of_run));
  input.checkpoint.stall = Seconds(1);
  input.checkpoint.write = input.checkpoint.shortest_interval = 30 * minute;
  EXPECT_EQ(simulate_campaign(input, 10, 2).checkpoint_interval, 30 * minute);
  EXPECT_TRUE(simulate_campaign(input, 10, 2).remarks.empty()) << "nothing else was asked for";
  input.checkpoint_interval = 10 * minute;
  const CampaignOutcome asked = simulate_campaign(input, 10, 2);
  EXPECT_EQ(asked.checkpoint_interval, 30 * minute);
  ASSERT_EQ(asked.remarks.size(), 1U);
  EXPECT_THAT(asked.remarks[0], HasSubstr("instead of 600 s"));
}

TEST(Campaign, SlowNodes) {
  CampaignInput input = run_of(100 * day, Seconds(60), failing_every(day, gpus_of_run));
  input.checkpoint_interval = Seconds(60);
  input.reliability.slow_share.value = 0.02;
  input.reliability.slow_spread.value = 0.01;
  const CampaignOutcome outcome = simulate_campaign(input, 500, 2);
  EXPECT_NEAR(outcome.time.slow / outcome.time.productive, 0.02, 0.0005);
}

// --- whatever the input --------------------------------------------------------------------------------------------

/// Between zero and one, to two digits.
double any_share() { return *rc::gen::inRange(0, 100) / 100.0; }

CampaignInput any_campaign() {
  CampaignInput input;
  input.nodes = *rc::gen::inRange(1, 300);
  const int phases = *rc::gen::inRange(1, 4);
  for (int i = 0; i < phases; ++i)
    input.phases.push_back({*rc::gen::inRange(1, 20000), Seconds(1 + *rc::gen::inRange(0, 200) / 10.0)});
  const Seconds mttf = std::pow(10.0, 3.5 + 3 * any_share()) * Seconds(1);
  input.reliability = failing_every(mttf, input.nodes * 8);
  input.reliability.takes_node.value = any_share();
  input.reliability.restart.value = any_share() * 10 * minute;
  input.reliability.detect.value = any_share() * 5 * minute;
  input.reliability.replace.value = any_share() * 5 * minute;
  input.reliability.repair.value = any_share() * day;
  if (*rc::gen::inRange(0, 2) == 1) input.reliability.planned.value = 1 / ((0.1 + any_share()) * day);
  if (*rc::gen::inRange(0, 2) == 1) input.reliability.shape.value = 0.6 + 0.8 * any_share();
  if (*rc::gen::inRange(0, 2) == 1) input.elastic_replica_nodes = *rc::gen::inRange<std::int64_t>(1, input.nodes + 1);
  if (*rc::gen::inRange(0, 2) == 1) input.spare_nodes = *rc::gen::inRange(0, 10);
  if (*rc::gen::inRange(0, 2) == 1) input.spikes = {any_share() / 1000, *rc::gen::inRange(0, 500)};
  if (*rc::gen::inRange(0, 2) == 1) input.evaluation = {*rc::gen::inRange(0, 500), any_share() * 3 * minute};
  if (*rc::gen::inRange(0, 2) == 1) {
    input.memory_checkpoints =
        MemoryCheckpoints{any_share() * Seconds(5), any_share() * minute, std::nullopt, any_share() < 0.5};
  }
  input.reliability.slow_share.value = any_share() / 20;
  input.reliability.slow_spread.value = any_share() / 20;
  input.data_share = any_share() / 20;
  input.checkpoint.stall = any_share() * minute;
  input.checkpoint.write = input.checkpoint.stall + any_share() * 2 * minute;
  input.checkpoint.shortest_interval = input.checkpoint.write - input.checkpoint.stall;
  input.checkpoint.load = any_share() * minute;
  return input;
}

bool same(const CampaignOutcome& a, const CampaignOutcome& b) {
  for (const CampaignTimePart& part : parts_of_campaign) {
    if (a.time.*part.time != b.time.*part.time) return false;
  }
  return a.days.mean == b.days.mean && a.days.p5 == b.days.p5 && a.days.p95 == b.days.p95 &&
         a.histogram.counts == b.histogram.counts && a.failures.mean == b.failures.mean && a.goodput == b.goodput;
}

RC_GTEST_PROP(Campaign, SameSeedSameOutcomeOnAnyNumberOfThreads, ()) {
  const CampaignInput input = any_campaign();
  const std::uint64_t seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
  const CampaignOutcome many = simulate_campaign(input, 40, seed);
  const tbb::global_control one(tbb::global_control::max_allowed_parallelism, 1);
  RC_ASSERT(same(many, simulate_campaign(input, 40, seed)));
  if (many.failures.deviation > 0) RC_ASSERT(!same(many, simulate_campaign(input, 40, seed + 1)));
}

/// The parts sum to the whole in every trial (a check inside), nothing is negative, and quantiles are in order.
RC_GTEST_PROP(Campaign, IsAnAccount, ()) {
  const CampaignInput input = any_campaign();
  const CampaignOutcome outcome = simulate_campaign(input, 20, 1);
  RC_PRE(outcome.feasible);
  for (const CampaignTimePart& part : parts_of_campaign) {
    const Seconds time = outcome.time.*part.time;
    RC_ASSERT(time >= Seconds(-1e-9 * outcome.time.total().si()));
  }
  RC_ASSERT(std::abs(outcome.time.total() / day - outcome.days.mean) <= 1e-9 * outcome.days.mean);
  const Distribution& days = outcome.days;
  RC_ASSERT(days.lowest <= days.p5 && days.p5 <= days.p10 && days.p10 <= days.p50 && days.p50 <= days.p90 &&
            days.p90 <= days.p95 && days.p95 <= days.highest);
  RC_ASSERT(std::accumulate(outcome.histogram.counts.begin(), outcome.histogram.counts.end(), 0) == outcome.trials);
  Seconds pure;
  for (const TrainingPhase& phase : input.phases) pure += static_cast<double>(phase.steps) * phase.step_time;
  RC_ASSERT(std::abs(outcome.time.productive / pure - 1) < 1e-9);
}

/// More failures, longer restarts or stalls: never faster, but for sampling.
RC_GTEST_PROP(Campaign, MoreTroubleIsNeverFaster, ()) {
  const CampaignInput input = any_campaign();
  CampaignInput worse = input;
  switch (*rc::gen::inRange(0, 4)) {
    case 0: worse.reliability.failures_per_gpu.value *= 2; break;
    case 1: worse.reliability.restart.value += 10 * minute; break;
    case 2: worse.checkpoint.stall += minute, worse.checkpoint.write += minute; break;
    default: worse.data_share += 0.1;
  }
  const Seconds fixed =
      minute * std::ceil(optimal_interval(input.checkpoint.stall + Seconds(1),
                                          mean_time_between_failures(input.reliability, input.nodes * 8)) /
                         minute);
  CampaignInput before = input;
  before.checkpoint_interval = worse.checkpoint_interval = fixed;
  before.spare_nodes = worse.spare_nodes = 20;
  const CampaignOutcome a = simulate_campaign(before, 200, 1), b = simulate_campaign(worse, 200, 2);
  RC_PRE(a.feasible && b.feasible);
  RC_ASSERT(b.days.mean >= a.days.mean - 4 * (standard_error(a) + standard_error(b)));
}

TEST(Campaign, GpuTimeIsWhatIsHeld) {
  CampaignInput input = run_of(100 * day, Seconds(60), failing_every(day, gpus_of_run));
  input.checkpoint.stall = input.checkpoint.write = minute;
  input.checkpoint_interval = hour;
  input.spare_nodes = 4;
  const CampaignOutcome outcome = simulate_campaign(input, 20, 2);
  const CampaignGpuTime time = gpu_time(outcome, 16, 8);
  EXPECT_NEAR(time.held() / day, outcome.days.mean * 20 * 8, 1e-6 * time.held() / day);
  EXPECT_GT(time.in_steps / day, 100 * 128);
  EXPECT_NEAR(time.in_steps / day, 128 * (outcome.time.productive + outcome.time.lost_work) / day, 1e-6);
}

// --- runs that cannot be ------------------------------------------------------------------------------------------

TEST(Campaign, NeverEndsWhereRestartsTakeLongerThanFailuresLeave) {
  Reliability reliability;  // Llama-3's rate on half a million GPUs, six minutes between failures; ten to restart
  reliability.failures_per_gpu.value = 419 / (54 * day * 16384);
  CampaignInput input = run_of(10 * day, Seconds(10), reliability);
  input.nodes = 65536;
  input.reliability.restart.value = 60 * minute;
  input.checkpoint.stall = input.checkpoint.write = Seconds(30);
  const CampaignOutcome outcome = simulate_campaign(input, 10, 1);
  EXPECT_FALSE(outcome.feasible);
  EXPECT_THAT(outcome.infeasible_reason, HasSubstr("524,288 GPUs fail every 348 s"));
  EXPECT_THAT(outcome.infeasible_reason, HasSubstr("Half of it would be on "));
  // What it proposes is so: take the number of GPUs that it names.
  const std::string& reason = outcome.infeasible_reason;
  std::string digits;
  for (std::size_t at = reason.find(" on ", reason.find("Half of it")) + 4; reason[at] != ' '; ++at)
    if (reason[at] != ',') digits += reason[at];
  input.nodes = std::stoll(digits) / 8;
  const CampaignOutcome smaller = simulate_campaign(input, 200, 1);
  ASSERT_TRUE(smaller.feasible) << smaller.infeasible_reason;
  EXPECT_NEAR(smaller.goodput, 0.5, 0.06);
}

/// What no closed form foresees: planned interruptions that leave no step, failures that come ever faster, spikes that
/// go back further than they are apart.
TEST(Campaign, GivesUpWhereNothingIsLeft) {
  CampaignInput input = run_of(2 * day, minute, failing_every(day, gpus_of_run));
  input.reliability.planned.value = 1.0 / (minute / 2);
  input.reliability.restart.value = 10 * minute;
  EXPECT_THAT(simulate_campaign(input, 20, 1).infeasible_reason, HasSubstr("planned interruptions every 30.0 s"));
  input.reliability.planned.value = Hertz(0);
  EXPECT_TRUE(simulate_campaign(input, 20, 1).feasible);
  input.reliability.shape.value = 9;  // 512 failures by the end of the second day, 10^9 in the tenth
  input.reliability.observed.value = day;
  input.phases[0].steps *= 10;
  EXPECT_THAT(simulate_campaign(input, 20, 1).infeasible_reason, HasSubstr("never ends"));
  input.reliability.shape.value = 1;
  input.reliability.takes_node.value = 1;
  input.reliability.repair.value = 1000 * day;
  input.spare_nodes = 0;
  EXPECT_THAT(simulate_campaign(input, 20, 1).infeasible_reason,
              HasSubstr("with 0 spare nodes, of 16 that are needed, it waits for repairs of 24,000 h"));
  input.reliability.repair.value = Seconds(0);
  input.spikes = {0.001, 10};
  input.checkpoint_interval = 5000 * minute;
  EXPECT_THAT(simulate_campaign(input, 20, 1).infeasible_reason, HasSubstr("nearer to one another"));
}

TEST(Campaign, RefusesWhatCannotBe) {
  const CampaignInput good = run_of(day, Seconds(10), failing_every(day, gpus_of_run));
  const auto reason = [&](auto change) {
    CampaignInput input = good;
    change(input);
    return simulate_campaign(input, 1, 1).infeasible_reason;
  };
  EXPECT_EQ(reason([](CampaignInput&) {}), "");
  EXPECT_EQ(reason([](CampaignInput& in) { in.phases.clear(); }), "no steps to train");
  EXPECT_EQ(reason([](CampaignInput& in) { in.phases[0].step_time = Seconds(0); }), "a step that takes no time");
  EXPECT_EQ(reason([](CampaignInput& in) { in.nodes = 0; }), "a job without GPUs");
  EXPECT_EQ(reason([](CampaignInput& in) { in.reliability.failures_per_gpu.value = Hertz(-1); }),
            "a negative rate of failures");
  EXPECT_EQ(reason([](CampaignInput& in) { in.reliability.repair.value = Seconds(-1); }),
            "something that takes negative or endless time");
  EXPECT_EQ(reason([](CampaignInput& in) { in.checkpoint_interval = Seconds(0); }),
            "a checkpoint interval that is not above zero");
  EXPECT_EQ(reason([](CampaignInput& in) { in.elastic_replica_nodes = 17; }), "a replica of 17 nodes in a job of 16");
}

// --- spare nodes ---------------------------------------------------------------------------------------------------

/// Quantiles of the Poisson distribution, from tables: 99% of mean 4 is 9, of 10 is 18; 95% of 10 is 15.
TEST(SpareNodes, AreAQuantileOfNodesInRepair) {
  Reliability reliability;
  reliability.takes_node.value = 0.5;
  reliability.repair.value = 2 * day;
  reliability.failures_per_gpu.value = 4 / day / 800.0;
  EXPECT_EQ(spare_nodes_needed(reliability, 100, 8), 9);
  reliability.repair.value = 5 * day;
  EXPECT_EQ(spare_nodes_needed(reliability, 100, 8), 18);
  EXPECT_EQ(spare_nodes_needed(reliability, 100, 8, 0.05), 15);
  reliability.repair.value = Seconds(0);
  EXPECT_EQ(spare_nodes_needed(reliability, 100, 8), 0);
}

}  // namespace
}  // namespace stepcast
