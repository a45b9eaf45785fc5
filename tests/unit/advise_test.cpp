#include "simulator/advise.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/predict.hpp"
#include "simulator/report/formats.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

void limit(Cluster& cluster) {
  cluster.gpu.memory = fixtures::given(4.0_GiB);
  cluster.node.pcie_bandwidth = fixtures::given(BytesPerSecond(25e9));
  cluster.node.host_memory_bandwidth = fixtures::given(BytesPerSecond(200e9));
}

/// A plan that needs more than its GPUs have: activations of many tokens.
Job too_large() {
  Job job = fixtures::job(1, 1, 8, 4);
  job.plan.microbatch = 8;
  job.plan.global_batch = 8 * 8 * 4;
  limit(job.cluster);
  return job;
}

TEST(Advise, RemediesArePredictionsOfTheChangedPlan) {
  const Job job = too_large();
  const Report report = predict(job, ExecutionOptions{});
  ASSERT_FALSE(report.feasible);
  const std::vector<Advice> advice = advise(job, report);
  ASSERT_FALSE(advice.empty());
  const auto full =
      std::find_if(advice.begin(), advice.end(), [](const Advice& a) { return a.setting == "plan.recompute full"; });
  ASSERT_NE(full, advice.end());
  Job changed = job;
  changed.plan.recompute = "full";
  const Report recomputed = predict(changed, ExecutionOptions{});
  EXPECT_EQ(full->step_time, recomputed.step_time);
  EXPECT_EQ(full->memory, recomputed.memory.peak());
  EXPECT_EQ(full->fits, recomputed.feasible);
  EXPECT_DOUBLE_EQ(full->saved.si(), (report.memory.peak() - recomputed.memory.peak()).si());
  EXPECT_DOUBLE_EQ(full->cost, recomputed.step_time / report.step_time - 1);
}

TEST(Advise, WhatFitsComesFirstByItsTime) {
  const Job job = too_large();
  const std::vector<Advice> advice = advise(job, predict(job, ExecutionOptions{}));
  EXPECT_TRUE(advice.front().fits);
  for (std::size_t i = 1; i < advice.size(); ++i) {
    EXPECT_GE(advice[i - 1].fits, advice[i].fits);
    if (advice[i - 1].fits == advice[i].fits) {
      EXPECT_LE(advice[i - 1].step_time, advice[i].step_time);
    }
    EXPECT_GT(advice[i].saved, Bytes{});
  }
}

TEST(Advise, LeavesOutWhatCannotBe) {
  Job job = too_large();
  job.cluster = fixtures::ideal_cluster(3);
  limit(job.cluster);
  job.plan.data_parallel = 3;  // no half of it
  job.plan.global_batch = 8 * 3 * 4;
  for (const Advice& advice : advise(job, predict(job, ExecutionOptions{}))) {
    EXPECT_THAT(advice.setting, testing::Not(testing::HasSubstr("half the replicas")));
    EXPECT_THAT(advice.setting, testing::Not(testing::HasSubstr("expert_parallel")));
  }
}

TEST(Advise, PageShowsTheTable) {
  const Job job = too_large();
  Report report = predict(job, ExecutionOptions{});
  EXPECT_THAT(report.infeasible_reason, testing::HasSubstr("of it activations"));
  report.advice = advise(job, report);
  const std::string page = text_report(report, {});
  EXPECT_THAT(page, testing::HasSubstr("What may make it fit"));
  EXPECT_THAT(page, testing::HasSubstr("recompute every layer"));
}

}  // namespace
}  // namespace stepcast
