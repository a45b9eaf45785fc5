/// What a prediction costs: a whole one, a simulation inside a sweep, one event (kernels: kernel_bench.cpp).

#include <benchmark/benchmark.h>

#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"

namespace stepcast {
namespace {

const Job& quickstart() {
  static const Job job = load_job(STEPCAST_SOURCE_DIR "/scenarios/quickstart.yaml");
  return job;
}

void LoadScenario(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(load_job(STEPCAST_SOURCE_DIR "/scenarios/quickstart.yaml"));
}
BENCHMARK(LoadScenario)->Unit(benchmark::kMillisecond);

void PredictFolded(benchmark::State& state) {
  const Job& job = quickstart();
  for (auto _ : state) benchmark::DoNotOptimize(predict(job));
}
BENCHMARK(PredictFolded)->Unit(benchmark::kMicrosecond);

void PredictEveryRankByEvents(benchmark::State& state) {
  const Job& job = quickstart();
  const ExecutionOptions options{.executor = Executor::events, .granularity = Granularity::kernel, .fold = false};
  double events = 0;
  for (auto _ : state) events += static_cast<double>(predict(job, options).simulation.events);
  state.counters["events/s"] = benchmark::Counter(events, benchmark::Counter::kIsRate);
}
BENCHMARK(PredictEveryRankByEvents)->Unit(benchmark::kMillisecond)->Iterations(2);

}  // namespace
}  // namespace stepcast
