#include "simulator/cluster/topology.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

/// Nodes of eight: NVSwitch of 300 GB/s, one NIC of 25 GB/s a GPU.
Cluster machine(std::int64_t nodes, std::string topology, std::string interconnect = "nvswitch") {
  Cluster cluster = fixtures::ideal_cluster(8 * nodes);
  cluster.node.interconnect = std::move(interconnect);
  cluster.node.pcie_bandwidth = fixtures::given(50.0_GBps);
  cluster.fabric.topology = std::move(topology);
  cluster.fabric.kind = "infiniband";
  return cluster;
}

double GBps(BytesPerSecond rate) { return rate.si() / 1e9; }

struct BisectionCase {
  const char* name;
  std::int64_t nodes;
  const char* topology;
  TopologyOptions options;
  double expected_GBps;
  std::int64_t hops;
};
class Bisection : public testing::TestWithParam<BisectionCase> {};

TEST_P(Bisection, IsWhatTheTiersCarry) {
  const BisectionCase& c = GetParam();
  const Topology topology = build_topology(machine(c.nodes, c.topology), c.options);
  EXPECT_NEAR(GBps(topology.bisection()), c.expected_GBps, 1e-3 * c.expected_GBps);
  EXPECT_EQ(topology.diameter().hops, c.hops);
}

// Half of the GPUs, 25 GB/s each, or what an oversubscribed tier leaves of it. Hops: gpu, pcie, nic, leaf (spine (core,
// spine), leaf), nic, pcie, gpu.
INSTANTIATE_TEST_SUITE_P(
    Fabrics, Bisection,
    testing::Values(BisectionCase{"one_node_is_nvswitch", 1, "rail-optimised", {}, 4 * 300.0, 2},
                    BisectionCase{"rails_of_two_nodes", 2, "rail-optimised", {}, 8 * 25.0, 8},
                    BisectionCase{"rails_of_64_nodes", 64, "rail-optimised", {}, 256 * 25.0, 8},
                    BisectionCase{"plain_tree", 64, "fat-tree", {}, 256 * 25.0, 8},
                    BisectionCase{"leaves_4_to_1", 64, "fat-tree", {4, 1}, 256 * 25.0 / 4, 8},
                    BisectionCase{"two_pods", 1024, "rail-optimised", {}, 4096 * 25.0, 10},
                    BisectionCase{"llama3_7_to_1_between_pods", 1024, "rail-optimised", {1, 7}, 4096 * 25.0 / 7, 10}),
    [](const auto& c) { return std::string(c.param.name); });

TEST(Topology, RailsKeepNeighboursOnOneLeaf) {
  // Rank r of every node sits on rail r: a ring over one GPU of each of four nodes never sees a spine.
  const std::vector<std::vector<std::int64_t>> ring{{0, 8, 16, 24}};
  const GroupRoutes rails = build_topology(machine(4, "rail-optimised")).routes(ring);
  EXPECT_EQ(rails.most_hops, 6);
  EXPECT_EQ(rails.most_shared, 1);
  EXPECT_DOUBLE_EQ(GBps(rails.bandwidth), 25.0);
}

TEST(Topology, GroupsInsideANodeStayOnNvlink) {
  const GroupRoutes routes =
      build_topology(machine(2, "fat-tree")).routes(std::vector<std::vector<std::int64_t>>{{0, 1, 2, 3}});
  EXPECT_EQ(routes.most_hops, 2);
  EXPECT_DOUBLE_EQ(GBps(routes.bandwidth), 300.0);
}

// 512 flows between leaves: taking turns they fill every uplink evenly, by hash some meet.
TEST(Topology, HashedRoutesCollide) {
  std::vector<std::vector<std::int64_t>> groups;
  for (std::int64_t first = 0; first < 8; ++first) {
    auto& group = groups.emplace_back();
    for (std::int64_t node = 0; node < 32; ++node) group.push_back(first + 8 * (node % 2 * 16 + node / 2));
  }
  const GroupRoutes even = build_topology(machine(32, "fat-tree")).routes(groups);
  const GroupRoutes hashed = build_topology(machine(32, "cloud")).routes(groups);
  EXPECT_LT(hashed.bandwidth, even.bandwidth);
  EXPECT_GT(hashed.most_shared, even.most_shared);
}

TEST(Topology, HybridCubeMesh) {
  const Topology mesh = build_topology(machine(1, "none", "nvlink-mesh"));
  EXPECT_EQ(mesh.diameter().hops, 2);
  // Four links of 50 GB/s cross between the two halves twice: 0-4 and 1-5, 2-6 and 3-7: 2 + 2 + 1 + 1 of 6 links.
  EXPECT_NEAR(GBps(mesh.bisection()), 300.0 / 6 * 6, 1);
}

TEST(Topology, Torus) {
  Cluster pod = machine(8, "torus");  // 64 chips: 8 x 8
  const Topology torus = build_topology(pod);
  EXPECT_EQ(torus.diameter().hops, 8);
  EXPECT_EQ(torus.links().size(), 2u * 2 * 64);
  EXPECT_NEAR(GBps(torus.bisection()), 16 * 25.0 / 4, 1e-3);  // two cuts of 8 links, a quarter of 25 GB/s each
}

TEST(Topology, Dragonfly) {
  const Topology dragonfly = build_topology(machine(128, "dragonfly"));  // 1,024 NICs: four groups of 16 routers
  EXPECT_LE(dragonfly.diameter().hops, 9);
  EXPECT_GT(GBps(dragonfly.bisection()), 0.5 * 512 * 25);
}

TEST(Topology, RackIsOneNvlinkDomain) {
  Cluster rack = machine(36, "rail-optimised");
  rack.node.gpus = rack.gpus_per_node = 4;
  rack.node.domain_gpus = 72;
  rack.gpus = 144;
  rack.fabric.nics_per_node = 4;
  const Topology topology = build_topology(rack);
  EXPECT_EQ(topology.routes(std::vector<std::vector<std::int64_t>>{{0, 71}}).most_hops, 2);
  EXPECT_GT(topology.routes(std::vector<std::vector<std::int64_t>>{{71, 72}}).most_hops, 4);
}

TEST(Topology, MoreLinksAreNeverLess) {
  for (const char* name : {"rail-optimised", "fat-tree", "dragonfly"}) {
    Cluster slow = machine(64, name), fast = slow;
    fast.fabric.nic.bandwidth.value *= 2;
    EXPECT_LE(build_topology(slow).bisection(), build_topology(fast).bisection()) << name;
  }
}

std::string problem(const Cluster& cluster, const TopologyOptions& options = {}) {
  try {
    build_topology(cluster, options);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Topology, SaysWhatIsWrong) {
  Cluster no_nics = machine(2, "rail-optimised");
  no_nics.fabric.nics_per_node = 0;
  EXPECT_THAT(problem(no_nics), HasSubstr("cannot reach GPU 0"));
  Cluster no_bandwidth = machine(2, "fat-tree");
  no_bandwidth.fabric.nic.bandwidth.value = BytesPerSecond(0);
  EXPECT_THAT(problem(no_bandwidth), HasSubstr("no bandwidth"));
  EXPECT_THAT(problem(machine(2, "fat-treee")), HasSubstr("did you mean 'fat-tree'"));
  EXPECT_THAT(problem(machine(10'000'000, "fat-tree")), HasSubstr("80000000 GPUs"));
  EXPECT_THAT(problem(machine(2, "fat-tree"), {0, 1}), HasSubstr("oversubscription"));
}

}  // namespace
}  // namespace stepcast
