/// What simulating costs: the event queue alone (the hold model: take the next event, push it anew), flows that share
/// links, rings message by message, and a training step with every rank. The figures are in simulator/engine/README.md.

#include <cmath>
#include <fstream>

#include <benchmark/benchmark.h>

#include "simulator/engine/event_queue.hpp"
#include "simulator/engine/messages.hpp"
#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"
#include "tests/support/slow_flows.hpp"

namespace stepcast {
namespace {

/// Exponential increments of a mean of 10^6 ticks, drawn as the peers' hold.cpp draws them.
class Increments {
 public:
  Increments() {
    for (std::int64_t& x : table_) {
      const double u = (static_cast<double>(next() >> 11) + 1) * (1.0 / 9007199254740993.0);
      x = static_cast<std::int64_t>(-std::log(u) * 1e6) + 1;
    }
  }
  std::int64_t operator()() { return table_[next() & 0xffff]; }

 private:
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    return state_ ^= state_ << 17;
  }
  std::uint64_t state_ = 88172645463325252ULL;
  std::vector<std::int64_t> table_ = std::vector<std::int64_t>(65536);
};

void Hold(benchmark::State& state) {
  Increments increment;
  EventQueue<std::uint64_t> queue;
  for (std::int64_t i = 0; i < state.range(0); ++i) queue.push({increment()}, static_cast<std::uint64_t>(i));
  for (auto _ : state) {
    const auto event = queue.pop();
    queue.push({event.time.ps + increment()}, event.what);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Hold)->Arg(1024)->Arg(4096)->Arg(65536)->Arg(1048576);

/// Flows of a list "start from to bytes" between hosts with a link of 50 GB/s up and one down, 1 us from host to host:
/// the platform `flat` of SimGrid's figures. STEPCAST_FLOWS names the file, which is not ours to carry along.
void RandomFlows(benchmark::State& state) {
  const char* path = std::getenv("STEPCAST_FLOWS");
  slow_flows::Case c;
  if (path == nullptr) {
    c = slow_flows::between_hosts(64, 20'000, 0.6, 1);
  } else {
    std::ifstream file(path);
    double start = 0, bytes = 0;
    LinkId from = 0, to = 0, hosts = 0;
    std::vector<std::pair<double, double>> flows;
    while (file >> start >> from >> to >> bytes) {
      c.paths.push_back({2 * from, 2 * to + 1});
      flows.emplace_back(start, bytes);
      hosts = std::max({hosts, from + 1, to + 1});
    }
    c.links.assign(2 * hosts, 50.0_GBps);
    for (std::size_t i = 0; i < flows.size(); ++i) {
      c.flows.push_back({to_ticks(Seconds(flows[i].first)), c.paths[i], Bytes(flows[i].second), 1.0_us});
    }
  }
  double makespan = 0, mean = 0;
  for (auto _ : state) {
    const std::vector<SimTime> ends = run_flows(c.links, c.flows);
    makespan = mean = 0;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      makespan = std::max(makespan, ends[i].seconds().si());
      mean += (ends[i] - c.flows[i].start).seconds().si() / static_cast<double>(ends.size());
    }
  }
  state.counters["makespan_s"] = makespan;
  state.counters["mean_flow_s"] = mean;
}
BENCHMARK(RandomFlows)->Unit(benchmark::kMillisecond);

/// 1 GiB over that many ranks in that many chunks, as the oracle's rings.
void RingMessageByMessage(benchmark::State& state) {
  RingMessages ring;
  ring.ranks = state.range(0);
  ring.chunks = state.range(1);
  ring.size = Bytes(1073741824.0);
  ring.bandwidth = BytesPerSecond(50 * 1073741824.0);
  ring.latency = Seconds(500e-9);
  const bool fold = state.range(2) != 0;
  std::int64_t messages = 0;
  for (auto _ : state) messages += simulate(ring, RingExecutor::events, fold).messages;
  state.SetItemsProcessed(messages);
}
BENCHMARK(RingMessageByMessage)
    ->Args({4096, 1, 0})
    ->Args({4096, 4, 0})
    ->Args({4096, 4, 1})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);

/// Llama 3.1 405B with TP 8 and PP 16 at kernel granularity, sixteen microbatches whatever the number of GPUs.
void TrainingStepOfEveryRank(benchmark::State& state) {
  const std::string nodes = std::to_string(state.range(0));
  const Job job = load_job(STEPCAST_SOURCE_DIR "/scenarios/llama3-405b-16384-h100.yaml",
                           {{"cluster.nodes", nodes}, {"plan.global_batch", nodes}});
  ExecutionOptions options{.executor = Executor::events, .granularity = Granularity::kernel, .fold = false};
  options.contention = state.range(1) != 0;
  options.jitter = state.range(2) != 0;
  double events = 0, kernels = 0;
  for (auto _ : state) {
    const Report report = predict(job, options);
    events += static_cast<double>(report.simulation.events);
    kernels += static_cast<double>(report.simulation.instructions);
  }
  state.counters["events/s"] = benchmark::Counter(events, benchmark::Counter::kIsRate);
  state.counters["kernels/s"] = benchmark::Counter(kernels, benchmark::Counter::kIsRate);
  state.counters["events"] = events / static_cast<double>(state.iterations());
}
BENCHMARK(TrainingStepOfEveryRank)
    ->ArgNames({"nodes", "contention", "jitter"})
    ->Args({2048, 0, 0})
    ->Args({2048, 1, 0})
    ->Args({2048, 1, 1})
    ->Args({4096, 1, 1})
    ->Args({8192, 1, 1})
    ->Args({16384, 1, 1})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);

}  // namespace
}  // namespace stepcast
