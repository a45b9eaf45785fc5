// Layers moved between stages: as good as trying every placement.

#include "simulator/search/refine.hpp"

#include <numeric>

#include <gtest/gtest.h>

#include "simulator/evaluator.hpp"
#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

/// Llama-3 8B, whose head of 128,256 words takes as long as some two layers, on 4 stages of 2 GPUs.
Job llama(std::int64_t layers, const char* recompute = "none") {
  Job job = load_job(STEPCAST_SOURCE_DIR "/scenarios/llama3-70b-256-h100.yaml", {{"model", "llama3-8b"},
                                                                                 {"cluster.gpus", "16"},
                                                                                 {"plan.tensor_parallel", "2"},
                                                                                 {"plan.pipeline_parallel", "4"},
                                                                                 {"plan.virtual_stages", "1"},
                                                                                 {"plan.data_parallel", "2"},
                                                                                 {"plan.schedule", "1f1b"},
                                                                                 {"plan.microbatch", "1"},
                                                                                 {"plan.recompute", recompute},
                                                                                 {"plan.global_batch", "32"}});
  job.model.layers = layers;
  return job;
}

/// The shortest step of all placements of the layers on four stages, by predict()'s evaluator one by one.
double best_of_all(const Job& job) {
  Evaluator evaluator(job);
  double best = 1e9;
  const int layers = static_cast<int>(job.model.layers);
  ParallelPlan plan = job.plan;
  plan.layer_split = LayerSplit::given;
  for (int a = 0; a <= layers; ++a) {
    for (int b = 1; a + b <= layers; ++b) {
      for (int c = 1; a + b + c <= layers; ++c) {
        plan.stage_layers = {a, b, c, layers - a - b - c};
        EXPECT_EQ(evaluator.set_plan(plan), "");
        if (evaluator.memory().fits()) best = std::min(best, evaluator.step().step.seconds().si());
      }
    }
  }
  return best;
}

TEST(Refine, AHeadAsSlowAsLayersHasFewerBesideIt) {
  const Job job = llama(32);
  const Refined refined = refine_layers(job, {});
  ASSERT_EQ(refined.layers.size(), 4U);
  EXPECT_LT(refined.layers[3], 8);
  EXPECT_LT(refined.step_s, refined.given_s);
  EXPECT_TRUE(refined.proven);
  EXPECT_EQ(std::accumulate(refined.layers.begin(), refined.layers.end(), 0), 32);
  Job again = job;
  again.plan = refined.plan;
  EXPECT_EQ(predict(again).step_time.si(), refined.step_s);
}

TEST(Refine, IsAsGoodAsEveryPlacement) {
  for (const std::int64_t layers : {8, 13, 16}) {
    const Job job = llama(layers);
    const Refined refined = refine_layers(job, {});
    EXPECT_TRUE(refined.proven);
    EXPECT_EQ(refined.step_s, best_of_all(job)) << layers;
  }
}

// Little memory: 1f1b holds most on the first stage, which recomputes more layers than those behind it. Whole recomputation fits
// as well, and takes longer.
TEST(Refine, RecomputesWhereMemoryIsShort) {
  Job job = llama(32, "full");
  Job kept = llama(32, "none");
  const Report most = predict(kept), least = predict(job);
  job.cluster.gpu.memory.value = Bytes((most.memory.peak().si() + least.memory.peak().si()) / 2);
  kept.cluster.gpu.memory.value = job.cluster.gpu.memory.value;
  ASSERT_FALSE(predict(kept).memory.fits());
  const Refined refined = refine_layers(job, {});
  EXPECT_LT(refined.step_s, refined.given_s);
  ASSERT_EQ(refined.recomputed.size(), 4U);
  EXPECT_GT(refined.recomputed[0], 0);
  EXPECT_EQ(refined.recomputed[3], 0);
  for (std::size_t stage = 0; stage < 4; ++stage) EXPECT_LE(refined.recomputed[stage], refined.layers[stage]);
  Job again = job;
  again.plan = refined.plan;
  const Report report = predict(again);
  EXPECT_TRUE(report.memory.fits());
  EXPECT_EQ(report.step_time.si(), refined.step_s);
}

// Chunks, a second way through the ranks, one stage: nothing is lost.
TEST(Refine, IsNeverWorse) {
  struct Case {
    int stages, chunks;
    const char* schedule;
  };
  for (const Case& c :
       {Case{1, 1, "none"}, Case{2, 3, "interleaved-1f1b"}, Case{2, 2, "zb-v"}, Case{4, 2, "dualpipe"}}) {
    Job job = fixtures::job(2, c.stages, 2, 4 * c.stages, c.chunks);
    job.plan.schedule = c.schedule;
    const Refined refined = refine_layers(job, {.most_simulated = 200});
    EXPECT_LE(refined.step_s, refined.given_s) << c.schedule;
    Job again = job;
    again.plan = refined.plan;
    EXPECT_EQ(predict(again).step_time.si(), refined.step_s) << c.schedule;
  }
}

}  // namespace
}  // namespace stepcast
