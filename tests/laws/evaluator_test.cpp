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
  Evaluator evaluator(job);
  for (int i = 0; i < 6; ++i) {
    Job other = fixtures::any_job();
    if (!job.model.moe) other.plan.expert_parallel = 1;
    other.model = job.model;
    other.framework = job.framework;
    other.cluster = job.cluster;
    // What only goes with the other model's layers stays with them.
    other.plan.lora = job.plan.lora;
    other.plan.frozen_layers = job.plan.frozen_layers;
    other.plan.decoder_length = job.plan.decoder_length;
    other.plan.sequence_length = job.plan.sequence_length;
    other.plan.tensor_grid = job.plan.tensor_grid;
    other.plan.context_parallel = job.plan.context_parallel;
    other.plan.cp_comm_type = job.plan.cp_comm_type;
    other.plan.offload_activations = 0;
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
  struct Pipeline {
    int stages, chunks;
    const char* schedule;
  };
  for (const Pipeline& p : {Pipeline{1, 1, "none"}, Pipeline{8, 1, "1f1b"}, Pipeline{8, 1, "zb-h1"},
                            Pipeline{8, 1, "zb-h2"}, Pipeline{4, 3, "interleaved-1f1b"}, Pipeline{4, 2, "zb-v"},
                            Pipeline{4, 2, "dualpipe"}, Pipeline{4, 2, "dualpipe-v"}}) {
    Job job = fixtures::job(2, p.stages, 2, 4096, p.chunks);
    job.cluster = fixtures::rough_cluster(job.cluster.gpus);
    job.plan.schedule = p.schedule;
    Evaluator evaluator(job);
    ASSERT_EQ(evaluator.set_plan(job.plan), "");
    const std::int64_t written = evaluator.step().microbatches;
    EXPECT_LT(written, 200) << p.schedule;
  }
}

// Programs that are kept for the next plan do not become those of another: plans that differ in what is launched among the
// passes, in turn, and each as often as there is room for.
TEST(StepTimeAlone, KeptProgramsAreThoseOfThePlan) {
  Job job = fixtures::job(2, 4, 4, 64, 1);
  job.cluster = fixtures::rough_cluster(job.cluster.gpus);
  Evaluator evaluator(job);
  for (int round = 0; round < 3; ++round) {
    for (int bits = 0; bits < 48; ++bits) {
      ParallelPlan plan = job.plan;
      plan.overlap_grad_reduce = (bits & 1) != 0;
      plan.overlap_param_gather = (bits & 2) != 0;
      plan.gradient_buckets = (bits & 4) != 0 ? "ddp" : "megatron";
      plan.recompute = (bits & 8) != 0 ? "full" : "none";
      plan.zero = bits / 16;
      ASSERT_EQ(evaluator.set_plan(plan), "");
      Job alone = job;
      alone.plan = plan;
      EXPECT_EQ(evaluator.step().step.seconds().si(), predict(alone).step_time.si()) << bits;
    }
  }
}

}  // namespace
}  // namespace stepcast
