/// Published runs on the calendar. Where a model of failures alone cannot give the published time, the test says by how
/// much: what is left is not fitted away.

#include <cmath>

#include <gtest/gtest.h>

#include "simulator/budget/campaign.hpp"
#include "simulator/input/operations_reader.hpp"
#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

constexpr int trials = 300;

/// A run that would take so long if nothing happened.
CampaignInput run_of(const char* reliability, std::int64_t gpus, Seconds productive, Seconds step) {
  CampaignInput input;
  input.reliability = load_reliability(reliability);
  input.nodes = gpus / 8;
  input.phases = {{static_cast<std::int64_t>(productive / step), step}};
  return input;
}

double share(const CampaignOutcome& outcome, Seconds CampaignTime::*part) {
  return outcome.time.*part / outcome.time.total();
}

/// Llama Team 2024, arXiv 2407.21783, sec. 3.3.4: in 54 days of the 405B on 16,384 GPUs 419 unexpected and 47 planned
/// interruptions, and more than 90% of the time effective. Storage: 2 TB/s sustained (sec. 3.3.1); 12 bytes a parameter.
/// The time of a restart is not published: ten minutes is what Meta needs at 100,000 GPUs.
TEST(PublishedCampaigns, Llama3Snapshot) {
  CampaignInput input = run_of("llama3-16k-h100", 16384, 0.92 * 54 * day, Seconds(12.1));
  const CheckpointStorage tectonic{BytesPerSecond(2e12), BytesPerSecond(2e12)};
  input.checkpoint = checkpoint_cost(checkpoint_size(405e9, {4, 8, 0}), 16384, tectonic, CheckpointMode::synchronous);
  const CampaignOutcome outcome = simulate_campaign(input, trials, 1);
  EXPECT_NEAR(outcome.days.mean, 54, 0.5);
  EXPECT_LT(outcome.failures.p5, 419);
  EXPECT_GT(outcome.failures.p95, 419);
  EXPECT_NEAR(outcome.planned.mean, 47, 5);  // ours are not held when one falls into downtime
  EXPECT_GT(outcome.goodput, 0.90);
  EXPECT_LT(outcome.goodput, 0.95) << "419 restarts are felt";
  // At most 4 GB a GPU are written (sec. 3.3.1), and it takes seconds.
  EXPECT_LT(input.checkpoint.per_gpu, 4.0_GB);
  EXPECT_NEAR(input.checkpoint.stall.si(), 2.43, 0.01);
}

/// Salpekar et al. 2026, arXiv 2602.00277: about 100,000 GPUs, 18 minutes between failures, ten minutes stalled by each:
/// 44% effective. What a checkpoint costs is not published. Even free ones leave no more than e^(-10/18) = 57%; the model
/// comes to 44% when one stalls for half a minute.
TEST(PublishedCampaigns, HundredThousandGpus) {
  CampaignInput input = run_of("meta-100k", 100000, 5 * day, Seconds(10));
  const auto goodput = [&](Seconds stall) {
    input.checkpoint.stall = input.checkpoint.write = stall;
    return simulate_campaign(input, 100, 1).goodput;
  };
  EXPECT_LT(goodput(Seconds(0)), std::exp(-10.0 / 18));
  EXPECT_NEAR(goodput(Seconds(10)), 0.50, 0.01);
  EXPECT_NEAR(goodput(Seconds(30)), 0.44, 0.015);
}

/// Jiang et al. 2024, arXiv 2402.15627, sec. 6.3: 12,288 GPUs over several weeks, more than 100 recoveries, more than 90%
/// effective; detection and diagnosis take less than ten minutes, catching up less than fifteen. With Llama-3's failures,
/// as there is no rate of their own: above 90% at half of these bounds, not at the bounds.
TEST(PublishedCampaigns, MegaScale) {
  CampaignInput input = run_of("llama3-16k-h100", 12288, 26 * day, Seconds(10));
  input.reliability.planned.value = Hertz(0);
  input.checkpoint.stall = input.checkpoint.write = Seconds(5);
  const auto at = [&](double share_of_bounds) {
    input.reliability.detect.value = share_of_bounds * 10 * minute;
    input.reliability.restart.value = share_of_bounds * 15 * minute;
    return simulate_campaign(input, trials, 1);
  };
  EXPECT_GT(at(0.5).goodput, 0.90);
  EXPECT_GT(at(0.5).failures.p5, 100);
  EXPECT_NEAR(at(1).goodput, 0.878, 0.01);
}

/// BLOOM on 384 GPUs and four spare nodes (BigScience chronicles): 105.6 days of steps in 117.5, 0.90. One or two GPUs a
/// week and a checkpoint of 40 s every three hours are less than two of the ten points: the rest are what no rate is
/// published for, hangs and crashes of software, the ramp of the batch, debugging with the machine held.
TEST(PublishedCampaigns, BloomLosesMoreThanItsGpusExplain) {
  CampaignInput input = run_of("bloom-jean-zay", 384, 105.6 * day, Seconds(105));
  const CheckpointStorage gpfs{BytesPerSecond(57.5e9), BytesPerSecond(57.5e9)};
  input.checkpoint = checkpoint_cost(2.3_TB, 384, gpfs, CheckpointMode::synchronous);
  input.checkpoint_interval = 3 * hour;
  input.spare_nodes = 4;
  const CampaignOutcome outcome = simulate_campaign(input, trials, 1);
  EXPECT_NEAR(input.checkpoint.stall.si(), 40, 0.1);
  EXPECT_NEAR(outcome.failures.mean, 1.5 * 107.6 / 7, 1);
  EXPECT_NEAR(share(outcome, &CampaignTime::checkpoints), 40.0 / 10840, 5e-4);
  EXPECT_NEAR(outcome.goodput, 0.982, 0.004);
  EXPECT_GT(outcome.goodput, 105.6 / 117.5);
}

/// OPT-175B on 992 GPUs (Zhang et al. 2022, arXiv 2205.01068): 33 days of steps became 57, with about two machines a day
/// lost and restarts by hand. Restarts of minutes would have left 35; five to six hours a failure explain it all.
TEST(PublishedCampaigns, OptRestartedByHand) {
  CampaignInput input = run_of("opt-175b-azure", 992, 33 * day, Seconds(20));
  input.checkpoint.stall = input.checkpoint.write = minute;
  input.checkpoint_interval = 2 * hour;
  input.spare_nodes = 12;  // of 12 to 18
  const auto days = [&](Seconds restart) {
    input.reliability.restart.value = restart;
    return simulate_campaign(input, trials, 1).days.mean;
  };
  EXPECT_NEAR(days(10 * minute), 36.6, 1);
  EXPECT_LT(days(5 * hour), 57);
  EXPECT_GT(days(6 * hour), 57);
}

}  // namespace
}  // namespace stepcast
