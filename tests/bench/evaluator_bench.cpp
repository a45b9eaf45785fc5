/// What one configuration of a sweep costs.

#include <benchmark/benchmark.h>

#include "simulator/evaluator.hpp"
#include "simulator/input/input.hpp"

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

}  // namespace
}  // namespace stepcast
