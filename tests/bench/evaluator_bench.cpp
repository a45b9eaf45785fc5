/// What one configuration of a sweep costs.

#include <benchmark/benchmark.h>

#include "simulator/evaluator.hpp"
#include "simulator/input/input.hpp"
#include "simulator/search/search.hpp"

namespace stepcast {
namespace {

Job gpt3() { return load_job(STEPCAST_SOURCE_DIR "/scenarios/gpt3-175b-1024-a100.yaml"); }

/// Plans that share blocks and a cut, simulated one after the other.
void StepOfOneConfiguration(benchmark::State& state) {
  Job job = gpt3();
  Evaluator evaluator(job);
  ParallelPlan plan = job.plan;
  plan.tensor_parallel = 8;
  plan.pipeline_parallel = static_cast<int>(state.range(0));
  plan.virtual_stages = static_cast<int>(state.range(1));
  plan.schedule = plan.virtual_stages > 1 ? "interleaved-1f1b" : "1f1b";
  plan.data_parallel = static_cast<int>(job.cluster.gpus) / 8 / plan.pipeline_parallel;
  plan.microbatch = 1;
  plan.global_batch = plan.data_parallel * state.range(2);
  if (!evaluator.set_plan(plan).empty()) return state.SkipWithError("infeasible");
  StepTime step;
  for (auto _ : state) {
    plan.overlap_grad_reduce = !plan.overlap_grad_reduce.value_or(false);
    evaluator.set_plan(plan);
    step = evaluator.step();
    benchmark::DoNotOptimize(step);
  }
  state.counters["instructions"] = static_cast<double>(step.instructions);
  state.counters["microbatches"] = static_cast<double>(step.microbatches);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(StepOfOneConfiguration)
    ->ArgNames({"stages", "chunks", "microbatches"})
    ->Args({1, 1, 64})
    ->Args({8, 1, 64})
    ->Args({8, 1, 1024})
    ->Args({8, 3, 64})
    ->Args({8, 12, 1024})
    ->Args({16, 1, 64})
    ->Args({32, 1, 256})
    ->Args({32, 3, 256});

void SetPlan(benchmark::State& state) {
  Job job = gpt3();
  Evaluator evaluator(job);
  ParallelPlan plan = job.plan;
  for (auto _ : state) {
    plan.overlap_grad_reduce = !plan.overlap_grad_reduce.value_or(false);
    benchmark::DoNotOptimize(evaluator.set_plan(plan));
  }
}
BENCHMARK(SetPlan);

/// Everything that fits of a space of pipelines of 4 to 16 stages and up to 6 chunks, on one thread.
void SweepOfEverything(benchmark::State& state) {
  Sweep sweep;
  sweep.objective = find_objective("step_time");
  Variant variant;
  variant.base = gpt3();
  const std::pair<const char*, std::vector<std::string>> space[] = {{"tensor_parallel", {"4", "8"}},
                                                                    {"sequence_parallel", {"true", "false"}},
                                                                    {"microbatch", {"1", "2"}},
                                                                    {"recompute", {"none", "selective", "full"}},
                                                                    {"pipeline_parallel", {"4", "8", "16"}},
                                                                    {"virtual_stages", {"1", "2", "3", "6"}},
                                                                    {"overlap_p2p", {"true", "false"}},
                                                                    {"zero", {"0", "1"}},
                                                                    {"overlap_grad_reduce", {"true", "false"}},
                                                                    {"overlap_param_gather", {"true", "false"}}};
  for (const auto& [name, texts] : space) {
    Axis axis;
    axis.key = find_plan_key(name);
    for (const std::string& text : texts) {
      axis.texts.push_back(text);
      axis.samples.push_back(variant.base.plan);
      assign(axis.samples.back(), *axis.key, text);
    }
    variant.axes.push_back(std::move(axis));
  }
  sweep.variants.push_back(std::move(variant));
  std::uint64_t simulated = 0;
  for (auto _ : state) simulated += search(sweep, {.jobs = 1, .exhaustive = true}).tally.simulated;
  state.SetItemsProcessed(static_cast<std::int64_t>(simulated));
}
BENCHMARK(SweepOfEverything)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace stepcast
