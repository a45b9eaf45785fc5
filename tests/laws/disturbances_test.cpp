/// What is slow, what has failed, what varies: who pays for it, and that it is always accounted for.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/execution/interconnect.hpp"
#include "simulator/predict.hpp"
#include "simulator/report/formats.hpp"
#include "tests/support/any_job.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

ExecutionOptions every_rank(bool jitter) {
  return {.executor = Executor::events, .granularity = Granularity::kernel, .fold = false, .jitter = jitter};
}

Job rough_job(int t, int p, int d, std::int64_t m) {
  Job job = fixtures::job(t, p, d, m);
  job.cluster = fixtures::rough_cluster(job.cluster.gpus);
  return job;
}

Fault slow_gpu(std::int64_t gpu, double speed) {
  Fault fault;
  fault.gpu = gpu;
  fault.speed = speed;
  return fault;
}
Fault of_node(std::int64_t node, std::optional<int> nic, double speed, bool failed = false) {
  Fault fault;
  fault.node = node;
  fault.nic = nic;
  fault.speed = speed;
  fault.failed = failed;
  return fault;
}

RC_GTEST_PROP(CriticalPath, LeadsFromTheStartOfTheStepToItsEnd, ()) {
  const Job job = fixtures::any_job();
  ExecutionOptions options = every_rank(*rc::gen::arbitrary<bool>());
  options.executor = *rc::gen::element(Executor::events, Executor::dataflow);
  options.critical_path = true;
  Timeline timeline;
  predict(job, options, &timeline);
  RC_PRE(timeline.step.ps > 0);
  SimTime at;
  for (const PathStep& stretch : timeline.critical_path) {
    RC_ASSERT(stretch.start.ps == at.ps);
    RC_ASSERT(stretch.end.ps > stretch.start.ps);
    at = stretch.end;
  }
  RC_ASSERT(at.ps == timeline.step.ps);
}

TEST(Faults, ASlowGpuHoldsUpTheStepAndIsFound) {
  Job job = rough_job(2, 2, 2, 4);
  job.faults = {slow_gpu(5, 0.8)};
  ExecutionOptions options = every_rank(false);
  options.critical_path = true;
  const Report report = predict(job, options);
  ASSERT_TRUE(report.undisturbed.has_value());
  EXPECT_EQ(report.undisturbed->si(), predict(rough_job(2, 2, 2, 4), every_rank(false)).step_time.si());
  EXPECT_GT(report.step_time, *report.undisturbed * 1.05);
  EXPECT_LT(report.step_time, *report.undisturbed * 1.25);  // by no more than the clock is slower
  ASSERT_FALSE(report.stragglers.empty());
  EXPECT_EQ(report.stragglers.front().rank, 5);
  Seconds on_path;
  for (const Report::PathPart& part : report.critical_path) {
    if (part.rank == 5) on_path += part.time;
  }
  EXPECT_GT(on_path, report.step_time * 0.5);
}

TEST(Faults, WhichOfTwoLikeGpusIsSlowMakesNoDifference) {
  Job a = rough_job(2, 2, 2, 4), b = a;
  a.faults = {slow_gpu(4, 0.7)};
  b.faults = {slow_gpu(7, 0.7)};  // of the same stage
  EXPECT_EQ(predict(a, every_rank(false)).step_time.si(), predict(b, every_rank(false)).step_time.si());
}

TEST(Faults, ASlowNodeIsItsGpus) {
  Job node = rough_job(2, 2, 4, 8), gpus = node;
  node.faults = {of_node(1, {}, 0.9)};
  for (std::int64_t gpu = 8; gpu < 16; ++gpu) gpus.faults.push_back(slow_gpu(gpu, 0.9));
  EXPECT_EQ(predict(node, every_rank(false)).step_time.si(), predict(gpus, every_rank(false)).step_time.si());
}

TEST(Faults, WhatHasFailedKeepsTheJobFromRunning) {
  Job job = rough_job(2, 2, 4, 8);
  job.faults = {of_node(1, {}, 1, true)};
  EXPECT_FALSE(predict(job).feasible);
  EXPECT_EQ(predict(job).infeasible_reason, "node 1 has failed and the job uses all 16 GPUs: go on without it");
  job.faults.clear();
  for (int nic = 0; nic < 8; ++nic) job.faults.push_back(of_node(0, nic, 1, true));
  EXPECT_EQ(predict(job).infeasible_reason, "every NIC of node 0 has failed: nothing reaches it");
}

TEST(Faults, AFailedNicSharesTheNextOne) {
  const Cluster cluster = fixtures::ideal_cluster(16);
  const std::vector<Fault> faults{of_node(0, 7, 1, true), of_node(1, 2, 0.25)};
  const Interconnect healthy = ports_of(cluster, false), network = ports_of(cluster, false, faults);
  const auto links = [](const Interconnect& of, std::int64_t from, std::int64_t to) {
    std::vector<LinkId> path;
    of.route(from, to, path);
    return path;
  };
  EXPECT_EQ(links(network, 7, 9).front(), links(healthy, 0, 9).front());  // the eighth's traffic leaves by the first
  EXPECT_EQ(links(network, 9, 7).back(), links(healthy, 9, 0).back());
  EXPECT_EQ(links(network, 6, 9), links(healthy, 6, 9));
  EXPECT_EQ(network.health(links(network, 10, 0).front()), 0.25);
  EXPECT_EQ(network.health(links(network, 11, 0).front()), 1);
}

TEST(Faults, ASlowNicSlowsTheReductionThroughIt) {
  Job job = rough_job(1, 1, 16, 1);
  const Report whole = predict(job, every_rank(false));
  job.faults = {of_node(1, 3, 0.1)};
  EXPECT_GT(predict(job, every_rank(false)).step_time, whole.step_time);
}

TEST(Steps, AreSpreadAroundTheirMedian) {
  const Job job = rough_job(2, 2, 2, 4);
  ExecutionOptions options = every_rank(true);
  options.steps = 25;
  const Report report = predict(job, options);
  ASSERT_TRUE(report.steps.has_value());
  EXPECT_EQ(report.steps->count, 25);
  EXPECT_EQ(report.steps->p50.si(), report.step_time.si());
  EXPECT_LT(report.steps->fastest, report.steps->p50);
  EXPECT_LT(report.steps->p50, report.steps->p95);
  EXPECT_LE(report.steps->p95, report.steps->p99);
  EXPECT_EQ(report.steps->p99.si(), report.steps->slowest.si());  // of 25 the slowest, by nearest rank
  EXPECT_EQ(predict(job, options).steps->mean.si(), report.steps->mean.si());
}

TEST(Sampling, SameSeedSameBytes) {
  ExecutionOptions options = every_rank(true);
  options.record_spans = true;
  const auto trace = [&] {
    Timeline timeline;
    predict(rough_job(2, 2, 2, 4), options, &timeline);
    std::string bytes;
    perfetto_trace(timeline, [&](std::string_view piece) { bytes += piece; });
    return bytes;
  };
  EXPECT_EQ(trace(), trace());
}

}  // namespace
}  // namespace stepcast
