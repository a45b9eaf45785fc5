/// Monte Carlo of finishing dates: a long run of many GPUs, so that failures and not steps are what costs.

#include <benchmark/benchmark.h>

#include "simulator/budget/campaign.hpp"
#include "simulator/input/operations_reader.hpp"
#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

/// Llama-3's 54 days on so many GPUs; `failures` counts those of all trials.
void campaign(benchmark::State& state) {
  CampaignInput input;
  input.reliability = load_reliability("llama3-16k-h100");
  input.nodes = state.range(0) / 8;
  input.phases = {{static_cast<std::int64_t>(49 * day / Seconds(12.1)), Seconds(12.1)}};
  const CheckpointStorage storage{BytesPerSecond(2e12), BytesPerSecond(2e12)};
  input.checkpoint = checkpoint_cost(checkpoint_size(405e9), 16384, storage, CheckpointMode::synchronous);
  const auto trials = static_cast<int>(state.range(1));
  double failures = 0;
  std::uint64_t seed = 0;
  for (auto _ : state) failures += simulate_campaign(input, trials, ++seed).failures.mean * trials;
  state.counters["failures/s"] = benchmark::Counter(failures, benchmark::Counter::kIsRate);
}
BENCHMARK(campaign)
    ->ArgNames({"gpus", "trials"})
    ->Args({16384, 1000})
    ->Args({1024, 1000})
    ->Args({65536, 100})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace stepcast
