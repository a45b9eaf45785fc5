#include "simulator/cluster/topology.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/cluster/group_routes.hpp"
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
  double leaf, spine;  ///< oversubscription
  double expected_GBps;
  std::int64_t hops;
};
class Bisection : public testing::TestWithParam<BisectionCase> {};

TEST_P(Bisection, IsWhatTheTiersCarry) {
  const BisectionCase& c = GetParam();
  Cluster cluster = machine(c.nodes, c.topology);
  cluster.fabric.leaf_oversubscription.value = c.leaf;
  cluster.fabric.spine_oversubscription.value = c.spine;
  const Topology topology = build_topology(cluster);
  EXPECT_NEAR(GBps(topology.bisection()), c.expected_GBps, 1e-3 * c.expected_GBps);
  EXPECT_EQ(topology.diameter().hops, c.hops);
}

// Half of the GPUs, 25 GB/s each, or what an oversubscribed tier leaves of it. Hops: gpu, pcie, nic, leaf (spine (core,
// spine), leaf), nic, pcie, gpu.
INSTANTIATE_TEST_SUITE_P(Fabrics, Bisection,
                         testing::Values(BisectionCase{"one_node_is_nvswitch", 1, "rail-optimised", 1, 1, 4 * 300.0, 2},
                                         BisectionCase{"rails_of_two_nodes", 2, "rail-optimised", 1, 1, 8 * 25.0, 8},
                                         BisectionCase{"rails_of_64_nodes", 64, "rail-optimised", 1, 1, 256 * 25.0, 8},
                                         BisectionCase{"plain_tree", 64, "fat-tree", 1, 1, 256 * 25.0, 8},
                                         BisectionCase{"leaves_4_to_1", 64, "fat-tree", 4, 1, 256 * 25.0 / 4, 8},
                                         BisectionCase{"two_pods", 1024, "rail-optimised", 1, 1, 4096 * 25.0, 10},
                                         BisectionCase{"llama3_7_to_1_between_pods", 1024, "rail-optimised", 1, 7,
                                                       4096 * 25.0 / 7, 10}),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Topology, RailsKeepNeighboursOnOneLeaf) {
  // Rank r of every node sits on rail r: a ring over one GPU of each of four nodes never sees a spine.
  const std::vector<std::vector<std::int64_t>> ring{{0, 8, 16, 24}};
  const GroupRoutes rails = ring_routes(build_topology(machine(4, "rail-optimised")), ring);
  EXPECT_EQ(rails.most_hops, 6);
  EXPECT_EQ(rails.most_shared, 1);
  EXPECT_DOUBLE_EQ(GBps(rails.ring), 25.0);
  EXPECT_EQ(rails.switches, 1);
  EXPECT_EQ(rails.most_on_a_switch, 4);
  EXPECT_EQ(rails.domains, 4);
}

using Groups = std::vector<std::vector<std::int64_t>>;

TEST(Topology, GroupsInsideANodeStayOnNvlink) {
  const GroupRoutes routes = ring_routes(build_topology(machine(2, "fat-tree")), Groups{{0, 1, 2, 3}});
  EXPECT_EQ(routes.most_hops, 2);
  EXPECT_DOUBLE_EQ(GBps(routes.ring), 300.0);
  EXPECT_EQ(routes.network_flows, 0);
}

// What the closed forms assume (ring_hop): eight rings through eight NICs, at most NVLink's rate; one through one.
TEST(Topology, RingsUseTheNicsOfAllMembers) {
  std::vector<std::int64_t> all(32);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  const Topology topology = build_topology(machine(4, "rail-optimised"));
  EXPECT_DOUBLE_EQ(GBps(ring_routes(topology, Groups{all}).ring), 8 * 25.0);
  EXPECT_DOUBLE_EQ(GBps(ring_routes(topology, Groups{{0, 1, 8, 9}}).ring), 2 * 25.0);
  EXPECT_DOUBLE_EQ(GBps(ring_routes(topology, Groups{{0, 8, 16}, {1, 9, 17}}).ring), 25.0);
}

TEST(Topology, NicsThatAreSharedAreHalved) {
  Cluster cluster = machine(4, "fat-tree");
  cluster.fabric.nics_per_node = 4;
  const GroupRoutes routes = ring_routes(build_topology(cluster), Groups{{0, 8}, {1, 9}});
  EXPECT_DOUBLE_EQ(GBps(routes.ring), 12.5);
  cluster.fabric.nics_per_node = 32;  // four each
  EXPECT_DOUBLE_EQ(GBps(ring_routes(build_topology(cluster), Groups{{0, 8}, {1, 9}}).ring), 100);
}

// Every ring of nodes in turn between two leaves: taking turns they fill every uplink evenly, by hash some meet.
TEST(Topology, HashedRoutesCollide) {
  Groups groups;
  for (std::int64_t first = 0; first < 8; ++first) {
    auto& group = groups.emplace_back();
    for (std::int64_t node = 0; node < 32; ++node) group.push_back(first + 8 * (node % 4 * 8 + node / 4));
  }
  const GroupRoutes even = ring_routes(build_topology(machine(32, "fat-tree")), groups);
  const GroupRoutes hashed = ring_routes(build_topology(machine(32, "cloud")), groups);
  EXPECT_LT(hashed.ring, even.ring);
  EXPECT_LT(hashed.mean_network, even.mean_network);
  EXPECT_GT(hashed.most_shared, even.most_shared);
}

// --- routes ------------------------------------------------------------------------------------------------------

/// The links of a route follow one another from one GPU to the other.
void expect_route(const Topology& topology, std::int64_t from, std::int64_t to) {
  std::vector<LinkIndex> path;
  topology.route(from, to, path);
  VertexIndex at = topology.gpus()[static_cast<std::size_t>(from)];
  std::set<LinkIndex> seen;
  for (const LinkIndex index : path) {
    const Link& link = topology.links()[index];
    ASSERT_EQ(link.from, at) << from << " to " << to;
    at = link.to;
    EXPECT_TRUE(seen.insert(index).second) << "crossed twice";
  }
  EXPECT_EQ(at, topology.gpus()[static_cast<std::size_t>(to)]) << from << " to " << to;
}

struct RouteCase {
  const char* name;
  std::int64_t nodes;
  const char* topology;
  const char* interconnect;
  int nics;
  int detour;  ///< links that a route may have more than the shortest
};
class Routes : public testing::TestWithParam<RouteCase> {};

TEST_P(Routes, LeadFromEveryGpuToEveryOther) {
  const RouteCase& c = GetParam();
  Cluster cluster = machine(c.nodes, c.topology, c.interconnect);
  cluster.fabric.nics_per_node = c.nics;
  cluster.fabric.pod_nodes.value = 16;
  const Topology topology = build_topology(cluster);
  std::vector<LinkIndex> path;
  for (std::int64_t from = 0; from < cluster.gpus; from += 1 + cluster.gpus / 40) {
    const auto hops = topology.hops_from(topology.gpus()[static_cast<std::size_t>(from)]);
    for (std::int64_t to = 0; to < cluster.gpus; ++to) {
      expect_route(topology, from, to);
      path.clear();
      topology.route(from, to, path);
      const auto shortest = hops[static_cast<std::size_t>(topology.gpus()[static_cast<std::size_t>(to)])];
      EXPECT_LE(static_cast<int>(path.size()), shortest + c.detour) << from << " to " << to;
    }
  }
}

// A message keeps to the NICs of its own GPUs and to dragonfly's minimal path, which is at most a link longer.
INSTANTIATE_TEST_SUITE_P(Shapes, Routes,
                         testing::Values(RouteCase{"one_node", 1, "none", "nvswitch", 8, 0},
                                         RouteCase{"rails", 40, "rail-optimised", "nvswitch", 8, 2},
                                         RouteCase{"plain", 40, "fat-tree", "nvswitch", 8, 0},
                                         RouteCase{"hashed", 40, "cloud", "nvlink-mesh", 4, 0},
                                         RouteCase{"mesh", 2, "fat-tree", "nvlink-mesh", 4, 0},
                                         RouteCase{"pcie", 3, "fat-tree", "pcie", 8, 0},
                                         RouteCase{"pcie_one_nic", 3, "fat-tree", "pcie", 1, 0},
                                         RouteCase{"many_nics", 3, "fat-tree", "nvswitch", 32, 0},
                                         RouteCase{"dragonfly", 75, "dragonfly", "nvswitch", 8, 1},
                                         RouteCase{"torus_2d", 8, "torus", "nvswitch", 0, 0},
                                         RouteCase{"torus_3d", 64, "torus", "nvswitch", 0, 0}),
                         [](const auto& c) { return std::string(c.param.name); });

// All-to-all traffic at random: no link of a full-bisection tree is asked for much more than it has.
TEST(Topology, DestinationsSpreadOverTheSpines) {
  const Topology topology = build_topology(machine(64, "fat-tree"));
  std::vector<int> load(topology.links().size());
  std::vector<LinkIndex> path;
  for (std::int64_t rank = 0; rank < 512; ++rank) topology.route(rank, (rank + 256) % 512, path);
  for (const LinkIndex link : path) ++load[link];
  for (std::size_t i = 0; i < load.size(); ++i)
    EXPECT_LE(load[i] * 25.0, GBps(topology.links()[i].bandwidth) * (1 + 1e-9)) << "a permutation that d-mod-k carries";
}

TEST(Topology, LatenciesOfALongRouteSumToTheProfiles) {
  Cluster cluster = machine(64, "fat-tree");
  cluster.fabric.nic.latency.value = 8.0_us;
  const Topology topology = build_topology(cluster);
  std::vector<LinkIndex> path;
  topology.route(0, 511, path);
  Seconds sum(0);
  for (const LinkIndex link : path) sum += topology.links()[link].latency;
  EXPECT_NEAR(sum / 1.0_us, 8, 1e-9);
}

TEST(Topology, AchievedRatesAreTheEfficiencys) {
  Cluster cluster = machine(2, "fat-tree");
  cluster.fabric.nic.efficiency.value = 0.9;
  EXPECT_DOUBLE_EQ(GBps(ring_routes(build_topology(cluster, {.achieved = true}), Groups{{0, 8}}).ring), 22.5);
  EXPECT_DOUBLE_EQ(GBps(ring_routes(build_topology(cluster), Groups{{0, 8}}).ring), 25);
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
  EXPECT_EQ(ring_routes(topology, Groups{{0, 71}}).most_hops, 2);
  EXPECT_GT(ring_routes(topology, Groups{{71, 72}}).most_hops, 4);
  EXPECT_EQ(ring_routes(topology, Groups{{0, 71, 72}}).domains, 2);
}

TEST(Topology, MoreLinksAreNeverLess) {
  for (const char* name : {"rail-optimised", "fat-tree", "dragonfly"}) {
    Cluster slow = machine(64, name), fast = slow;
    fast.fabric.nic.bandwidth.value *= 2;
    EXPECT_LE(build_topology(slow).bisection(), build_topology(fast).bisection()) << name;
  }
}

std::string problem(const Cluster& cluster) {
  try {
    build_topology(cluster);
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
  Cluster no_uplinks = machine(2, "fat-tree");
  no_uplinks.fabric.leaf_oversubscription.value = 0;
  EXPECT_THAT(problem(no_uplinks), HasSubstr("oversubscription"));
}

}  // namespace
}  // namespace stepcast
