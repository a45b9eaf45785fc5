// Links between switches, where a fabric's upper tiers carry less than its NICs.

#include <gtest/gtest.h>

#include "simulator/execution/interconnect.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

/// Pods of one leaf with four nodes of eight; 1:8 between the pods.
Cluster thin(std::int64_t nodes) {
  Cluster cluster = fixtures::ideal_cluster(8 * nodes);
  cluster.node.interconnect = "nvswitch";
  cluster.node.pcie_bandwidth = fixtures::given(50.0_GBps);
  cluster.fabric.topology = "fat-tree";
  cluster.fabric.pod_nodes.value = 4;
  cluster.fabric.spine_oversubscription.value = 8;
  return cluster;
}

TEST(Switches, StandBetweenThePortsOfARoute) {
  const Cluster cluster = thin(8);
  const Interconnect ports = ports_of(cluster, false);
  const Interconnect whole = with_switches(ports_of(cluster, false), cluster);
  const auto route = [](const Interconnect& network, std::int64_t from, std::int64_t to) {
    std::vector<LinkId> path;
    network.route(from, to, path);
    return path;
  };
  EXPECT_EQ(route(whole, 0, 1), route(ports, 0, 1));    // NVLink
  EXPECT_EQ(route(whole, 0, 31), route(ports, 0, 31));  // one leaf
  const std::vector<LinkId> far = route(whole, 0, 32);  // leaf, spine, core, spine, leaf
  ASSERT_EQ(far.size(), 2u + 4u);
  EXPECT_EQ(far.front(), route(ports, 0, 32).front());
  EXPECT_EQ(far.back(), route(ports, 0, 32).back());
  EXPECT_TRUE(whole.name(far[1]).starts_with("leaf 0 to spine")) << whole.name(far[1]);
  EXPECT_EQ(whole.name(far.front()), ports.name(far.front()));
}

// 32 flows of 25 GB/s want to leave a pod whose way out is 100 GB/s: an eighth each on average.
TEST(Switches, HoldBackWhatCrossesPods) {
  const Cluster cluster = thin(8);
  const Interconnect network = with_switches(ports_of(cluster, false), cluster);
  std::vector<std::vector<LinkId>> paths(32);
  std::vector<FlowSpec> flows;
  for (std::int64_t gpu = 0; gpu < 32; ++gpu) {
    auto& path = paths[static_cast<std::size_t>(gpu)];
    network.route(gpu, gpu + 32, path);
    flows.push_back({SimTime{}, path, 25.0_MB});
  }
  SimTime last{};
  for (const SimTime end : run_flows(network.links, flows)) last = std::max(last, end);
  EXPECT_GE(last.seconds() / 1.0_ms, 8 - 1e-6);  // 800 MB through 100 GB/s
}

}  // namespace
}  // namespace stepcast
