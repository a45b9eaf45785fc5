/// Laws of DESIGN: what holds for every job, whatever its numbers.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/predict.hpp"
#include "simulator/schedules/schedule.hpp"
#include "tests/support/any_job.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

void same_breakdown(const Report& a, const Report& b) {
  RC_ASSERT(a.step_time.si() == b.step_time.si());
  for (std::size_t stage = 0; stage < a.per_stage.size(); ++stage) {
    const Breakdown& x = a.per_stage[stage].breakdown;
    const Breakdown& y = b.per_stage[stage].breakdown;
    RC_ASSERT(x.compute.si() == y.compute.si());
    RC_ASSERT(x.tp_comm_exposed.si() == y.tp_comm_exposed.si());
    RC_ASSERT(x.bubble.si() == y.bubble.si());
    RC_ASSERT(x.dp_comm_exposed.si() == y.dp_comm_exposed.si());
    RC_ASSERT(x.cp_comm_exposed.si() == y.cp_comm_exposed.si());
    RC_ASSERT(x.ep_comm_exposed.si() == y.ep_comm_exposed.si());
  }
}

ExecutionOptions quiet(Executor executor, bool fold, Granularity granularity = Granularity::chunk) {
  return {.executor = executor, .granularity = granularity, .fold = fold, .contention = false, .jitter = false};
}

RC_GTEST_PROP(Executors, EventsEqualDataflowToTheLastTick, ()) {
  const Job job = fixtures::any_job();
  const Report a = predict(job, quiet(Executor::dataflow, true));
  RC_PRE(a.step_time.si() > 0);
  same_breakdown(a, predict(job, quiet(Executor::events, true)));
}

RC_GTEST_PROP(Executors, FullEqualsFolded, ()) {
  const Job job = fixtures::any_job();
  const Report folded = predict(job, quiet(Executor::dataflow, true));
  RC_PRE(folded.step_time.si() > 0);
  same_breakdown(folded, predict(job, quiet(Executor::dataflow, false)));
  same_breakdown(folded, predict(job, quiet(Executor::events, false)));
}

RC_GTEST_PROP(Executors, KernelsEqualTheirFoldedChunk, ()) {
  const Job job = fixtures::any_job();
  const Report chunk = predict(job, quiet(Executor::dataflow, true));
  RC_PRE(chunk.step_time.si() > 0);
  for (Executor executor : {Executor::dataflow, Executor::events}) {
    const Report kernel = predict(job, quiet(executor, true, Granularity::kernel));
    RC_ASSERT(kernel.step_time.si() == chunk.step_time.si());
    RC_ASSERT(kernel.breakdown.compute.si() == chunk.breakdown.compute.si());
    RC_ASSERT(kernel.breakdown.tp_comm_exposed.si() == chunk.breakdown.tp_comm_exposed.si());
    RC_ASSERT(kernel.breakdown.cp_comm_exposed.si() == chunk.breakdown.cp_comm_exposed.si());
    RC_ASSERT(kernel.breakdown.ep_comm_exposed.si() == chunk.breakdown.ep_comm_exposed.si());
  }
}

RC_GTEST_PROP(Account, BucketsSumToTheStepOnEveryStage, ()) {
  const Report report = predict(fixtures::any_job());
  RC_PRE(report.step_time.si() > 0);
  for (const StageReport& stage : report.per_stage) {
    RC_ASSERT(std::abs(stage.breakdown.total() / report.step_time - 1) < 1e-9);
  }
}

RC_GTEST_PROP(Physics, MoreBandwidthIsNeverSlower, ()) {
  const Job job = fixtures::in_turn(fixtures::any_job());
  Job faster = job;
  faster.cluster.fabric.nic.bandwidth.value *= 2;
  faster.cluster.node.intra.bandwidth.value *= 2;
  faster.cluster.gpu.hbm_bandwidth.value *= 2;
  RC_ASSERT(predict(faster).step_time <= predict(job).step_time);
}

RC_GTEST_PROP(Physics, ExpectedSpreadOnlyAddsTime, ()) {
  const Job job = fixtures::in_turn(fixtures::any_job());
  ExecutionOptions off;
  off.jitter = false;
  RC_ASSERT(predict(job, off).step_time <= predict(job).step_time);
}

TEST(Sampling, SameSeedSameStepAndOtherSeedAnother) {
  Job job = fixtures::job(2, 2, 2, 4);
  job.cluster = fixtures::rough_cluster(job.cluster.gpus);
  ExecutionOptions options{.executor = Executor::events, .granularity = Granularity::kernel, .fold = false, .seed = 7};
  const Seconds once = predict(job, options).step_time;
  EXPECT_EQ(once.si(), predict(job, options).step_time.si());
  options.seed = 8;
  EXPECT_NE(once.si(), predict(job, options).step_time.si());
}

// The closed form of the slowest GPU agrees with sampling every rank: over seeds, the means are close.
TEST(Sampling, ExpectationAgreesWithTheMeanOverSeeds) {
  Job job = fixtures::job(4, 2, 4, 8);
  job.cluster = fixtures::rough_cluster(job.cluster.gpus);
  const double expected = predict(job).step_time.si();
  ExecutionOptions options{.executor = Executor::events, .granularity = Granularity::kernel, .fold = false};
  double sum = 0;
  constexpr int seeds = 12;
  for (options.seed = 1; options.seed <= seeds; ++options.seed) sum += predict(job, options).step_time.si();
  EXPECT_NEAR(sum / seeds / expected, 1.0, 0.015);
}

/// Without overheads, exchange time or vocabulary the bubble is what the papers say.
double bubble_over_work(int p, int v, std::int64_t m, const std::string& schedule) {
  Job job = fixtures::job(1, p, 1, m, v);
  job.plan.schedule = schedule;
  job.plan.sequence_length = 128;  // scores have no weight gradients, and are few here
  job.model.vocab = 16;
  job.model.position = Position::none;
  job.model.tied_embeddings = false;
  job.model.hidden = 4096;
  job.model.heads = job.model.kv_heads = 32;
  job.model.head_dim = 128;
  job.model.ffn = 16384;
  job.cluster.gpu.hbm_bandwidth.value = BytesPerSecond(1e30);
  job.cluster.fabric.nic.bandwidth.value = job.cluster.node.intra.bandwidth.value = BytesPerSecond(1e30);
  const Report report = predict(job, {.jitter = false});
  const Breakdown& b = report.per_stage[0].breakdown;
  return b.bubble / b.compute;
}

TEST(Bubble, GpipeAndOneFOneB) {  // (p-1)/m
  EXPECT_NEAR(bubble_over_work(4, 1, 8, "gpipe"), 3.0 / 8, 1e-3);
  EXPECT_NEAR(bubble_over_work(4, 1, 8, "1f1b"), 3.0 / 8, 1e-3);
  EXPECT_NEAR(bubble_over_work(8, 1, 64, "1f1b"), 7.0 / 64, 1e-3);
}

TEST(Bubble, Interleaved) {  // (p-1)/(v m)
  EXPECT_NEAR(bubble_over_work(4, 2, 8, "interleaved-1f1b"), 3.0 / 16, 1e-3);
  EXPECT_NEAR(bubble_over_work(8, 3, 64, "interleaved-1f1b"), 7.0 / 192, 1e-3);
  EXPECT_NEAR(bubble_over_work(8, 3, 64, "breadth-first"), 7.0 / 192, 1e-3);  // arXiv 2211.05953, eq. 8
}

// Qi et al. 2023 (arXiv 2401.10241), Table 1, with forward, input and weight gradients alike: ZB-H1 (p-1)/(3m). ZB-V has
// none inside; the last rank of a step that begins empty waits for p - 1 forward passes of half a stage: (p-1)/(6m).
// DeepSeek-V3's table 2: DualPipe (p/2-1)(tF&B + tB - 3tW), that is 2 (p/2-1) of 3m.
TEST(Bubble, ZeroBubbleAndDualPipe) {
  EXPECT_NEAR(bubble_over_work(4, 1, 8, "zb-h1"), 3.0 / 24, 0.01);
  EXPECT_NEAR(bubble_over_work(8, 1, 32, "zb-h1"), 7.0 / 96, 0.01);
  // Those with twice the activations: nothing but the start, until the last rank has work.
  EXPECT_NEAR(bubble_over_work(4, 1, 8, "zb-h2"), 3.0 / 24, 0.01);
  EXPECT_NEAR(bubble_over_work(8, 1, 32, "zb-2p"), 7.0 / 96, 0.01);
  EXPECT_NEAR(bubble_over_work(8, 1, 32, "zb-1p"), 7.0 / 96, 0.015);
  EXPECT_NEAR(bubble_over_work(4, 2, 8, "zb-v"), 3.0 / 48, 0.01);
  EXPECT_NEAR(bubble_over_work(8, 2, 24, "zb-v"), 7.0 / 144, 0.01);
  EXPECT_NEAR(bubble_over_work(4, 2, 8, "dualpipe"), 2.0 / 24, 0.01);
  EXPECT_NEAR(bubble_over_work(8, 2, 16, "dualpipe"), 6.0 / 48, 0.01);
  // DualPipe's README: half the ranks do the same with chunks of half the size, 2 (p-1) of 6m.
  EXPECT_NEAR(bubble_over_work(4, 2, 16, "dualpipe-v"), 6.0 / 96, 0.01);
}

}  // namespace
}  // namespace stepcast
