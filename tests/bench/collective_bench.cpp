/// What a collective costs: in closed form, by NCCL's choice, as messages over a topology; and what a topology costs.

#include <numeric>

#include <benchmark/benchmark.h>

#include "simulator/collectives/collective_time.hpp"
#include "simulator/collectives/messages/run.hpp"
#include "simulator/input/cluster_reader.hpp"

namespace stepcast {
namespace {

const Cluster& superpod() {
  static const Cluster cluster = [] {
    PresetStore presets;
    Defaults defaults;
    std::vector<std::string> assumed;
    const YamlNode name = yaml_scalar("dgx-h100-superpod");
    return read_cluster(YamlValue(name, "cluster"), presets, defaults, assumed);
  }();
  return cluster;
}

void ClosedFormInANode(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(collective_time(CollectiveKind::all_reduce, 64.0_MiB, {8, 8}, superpod()));
}
BENCHMARK(ClosedFormInANode);

void NcclsChoice(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(nccl_time({CollectiveKind::all_reduce, 64.0_MiB, {1024, 8}, superpod(), {}}));
}
BENCHMARK(NcclsChoice);

void BuildTopology(benchmark::State& state) {
  Cluster cluster = superpod();
  cluster.gpus = state.range(0);
  for (auto _ : state) benchmark::DoNotOptimize(build_topology(cluster));
  state.SetItemsProcessed(state.iterations() * cluster.gpus);
}
BENCHMARK(BuildTopology)->Arg(1024)->Arg(16384)->Arg(131072)->Unit(benchmark::kMillisecond);

void Route(benchmark::State& state) {
  Cluster cluster = superpod();
  cluster.gpus = state.range(0);
  const Topology topology = build_topology(cluster);
  std::vector<LinkIndex> path;
  std::int64_t from = 0;
  for (auto _ : state) {
    path.clear();
    topology.route(from, (from + cluster.gpus / 2) % cluster.gpus, path);
    from = (from + 9973) % cluster.gpus;
    benchmark::DoNotOptimize(path.data());
  }
}
BENCHMARK(Route)->Arg(1024)->Arg(16384)->Arg(131072);

void RingOverATopology(benchmark::State& state) {
  Cluster cluster = superpod();
  cluster.gpus = state.range(0);
  const Topology topology = build_topology(cluster);
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(cluster.gpus));
  std::iota(ranks.begin(), ranks.end(), 0);
  const MessageSteps messages = messages_of(Algorithm::ring, CollectiveKind::all_reduce, 1.0_GiB, {cluster.gpus, 8});
  for (auto _ : state) benchmark::DoNotOptimize(run_messages(messages, topology, ranks));
  state.SetItemsProcessed(state.iterations() * messages.messages());
}
BENCHMARK(RingOverATopology)->Arg(8)->Arg(64)->Arg(256)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace stepcast
