/// Runs "measured" on a machine with other constants give these constants back.

#include "simulator/anchor.hpp"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

Job job_on(std::int64_t gpus, int tensor_parallel, int pipeline_parallel) {
  Job job = load_job(STEPCAST_SOURCE_DIR "/scenarios/llama3-70b-256-h100.yaml");
  job.cluster.gpus = gpus;
  job.plan.tensor_parallel = tensor_parallel;
  job.plan.pipeline_parallel = pipeline_parallel;
  job.plan.virtual_stages = 1;
  job.plan.schedule = pipeline_parallel > 1 ? "1f1b" : "none";
  job.plan.data_parallel = static_cast<int>(gpus) / (tensor_parallel * pipeline_parallel);
  job.plan.context_parallel = 1;
  return job;
}

/// The run as a machine with other constants would have measured it.
Job measured(Job run, double clock, double host) {
  Job truth = run;
  for (auto& [precision, gemm] : truth.cluster.gpu.gemm) gemm.sustained.value *= clock;
  truth.framework.host_time_per_layer_forward.value = truth.framework.host_time_per_layer_forward.value * host;
  truth.framework.host_time_per_layer_backward.value = truth.framework.host_time_per_layer_backward.value * host;
  run.reference.emplace();
  run.reference->measured.step_time_s = predict(truth).step_time.si();
  return run;
}

TEST(Anchor, FindsTheClockOfTheMachine) {
  const Job large = job_on(256, 4, 4);
  const Anchor anchor = anchored({measured(job_on(64, 4, 4), 0.93, 1), measured(job_on(32, 4, 4), 0.93, 1)}, large);
  EXPECT_THAT(anchor.constants[0].name, HasSubstr("sustained clock"));
  EXPECT_TRUE(anchor.constants[0].informed);
  EXPECT_NEAR(anchor.constants[0].multiplier, 0.93, 0.03);  // what the profile says pulls a little
  Job truth = large;
  for (auto& [precision, gemm] : truth.cluster.gpu.gemm) gemm.sustained.value *= 0.93;
  const double before = predict(large).step_time / predict(truth).step_time;
  const double after = predict(with_anchor(anchor, large)).step_time / predict(truth).step_time;
  EXPECT_LT(std::abs(after - 1), 0.4 * std::abs(before - 1));
  for (const Anchor::Run& run : anchor.runs) EXPECT_LT(std::abs(run.after / run.measured - 1), 0.03);
}

TEST(Anchor, LeavesAloneWhatNoRunSees) {
  const Job large = job_on(256, 4, 4);
  Job node = job_on(8, 8, 1);
  node.model.layers = 8;
  const Anchor anchor = anchored({measured(node, 0.9, 1)}, large);
  for (const Anchor::Constant& constant : anchor.constants) {
    if (constant.name.find("bandwidth") == std::string::npos) continue;
    EXPECT_FALSE(constant.informed);
    EXPECT_EQ(constant.multiplier, 1);
  }
}

TEST(Anchor, StaysInsidePhysics) {
  const Job large = job_on(256, 4, 4);
  Job absurd = job_on(64, 4, 4);
  absurd.reference.emplace();
  absurd.reference->measured.step_time_s = predict(absurd).step_time.si() / 10;
  const Anchor anchor = anchored({absurd}, large);
  for (const Anchor::Constant& constant : anchor.constants) {
    EXPECT_GE(constant.multiplier, constant.low - 1e-9);
    EXPECT_LE(constant.multiplier, constant.high + 1e-9);
  }
}

TEST(Anchor, RefusesRunsOfAnotherKind) {
  const Job large = job_on(256, 4, 4);
  Job unmeasured = job_on(64, 4, 4);
  unmeasured.reference.reset();
  EXPECT_THROW(anchored({unmeasured}, large), UserError);
  Job other = measured(job_on(64, 4, 4), 1, 1);
  other.cluster.gpu.name = "a100-80gb-sxm";
  EXPECT_THROW(anchored({other}, large), UserError);
}

}  // namespace
}  // namespace stepcast
