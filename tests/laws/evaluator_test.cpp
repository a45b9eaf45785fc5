/// A sweep's evaluator says what predict() says, plan after plan, whatever was asked before.

#include "simulator/evaluator.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/execution/step_time.hpp"
#include "simulator/predict.hpp"
#include "simulator/resolve.hpp"
#include "tests/support/any_job.hpp"

namespace stepcast {
namespace {

/// The same job with so many more microbatches that its middle repeats.
Job longer(Job job) {
  ParallelPlan& plan = job.plan;
  const std::int64_t more = 2 * plan.pipeline_parallel * *rc::gen::inRange<std::int64_t>(0, 30);
  plan.global_batch += more * plan.data_parallel * plan.microbatch;
  return job;
}

RC_GTEST_PROP(StepTimeAlone, FastForwardedEqualsTheWholeStepToTheTick, ()) {
  const Job job = longer(fixtures::any_job());
  const Report whole = predict(job);
  RC_PRE(whole.step_time.si() > 0);
  Evaluator evaluator(job);
  RC_ASSERT(evaluator.set_plan(job.plan).empty());
  const StepTime alone = evaluator.step();
  RC_TAG(alone.microbatches < job.plan.microbatches());
  RC_ASSERT(alone.step.seconds().si() == whole.step_time.si());
  RC_ASSERT(evaluator.memory().peak().si() == whole.memory.peak().si());
}

/// Plans of one model and cluster, one after the other, leave nothing behind.
RC_GTEST_PROP(Evaluator, AnswersAsPredictDoesWhateverWasAskedBefore, ()) {
  Job job = fixtures::any_job();
  job.model.layers = 24;
  Evaluator evaluator(job);
  for (int i = 0; i < 6; ++i) {
    Job other = fixtures::any_job();
    if (!job.model.moe) other.plan.expert_parallel = 1;
    other.model = job.model;
    other.framework = job.framework;
    other.cluster = job.cluster;
    other.plan.data_parallel = 1;
    if (job.cluster.gpus % other.plan.gpus() != 0) continue;
    const std::int64_t microbatches = other.plan.global_batch;
    other.plan.data_parallel = static_cast<int>(job.cluster.gpus / other.plan.gpus());
    other.plan.global_batch = microbatches * other.plan.data_parallel;
    const Report report = predict(other);
    const std::string reason = evaluator.set_plan(other.plan);
    RC_ASSERT(reason.empty() == report.has_time());
    if (!reason.empty()) continue;
    RC_ASSERT(evaluator.memory().peak().si() == report.memory.peak().si());
    RC_ASSERT(evaluator.step().step.seconds().si() == report.step_time.si());
  }
}

// The cost of a step is that of a few microbatches however many there are.
TEST(StepTimeAlone, CostDoesNotGrowWithMicrobatches) {
  for (const auto& [stages, chunks] : {std::pair(1, 1), {8, 1}, {4, 3}}) {
    Job job = fixtures::job(2, stages, 2, 4096, chunks);
    job.cluster = fixtures::rough_cluster(job.cluster.gpus);
    Evaluator evaluator(job);
    ASSERT_EQ(evaluator.set_plan(job.plan), "");
    EXPECT_LT(evaluator.step().microbatches, 100) << stages << " stages";
  }
}

}  // namespace
}  // namespace stepcast
