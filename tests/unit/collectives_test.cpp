#include <gtest/gtest.h>

#include "simulator/collectives/collective_time.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

struct RingCase {
  const char* name;
  std::int64_t ranks;
  Bytes size;
  Hop hop;
  double expected_us;
};

class RingAllReduce : public testing::TestWithParam<RingCase> {};

TEST_P(RingAllReduce, TakesWhatTheFormulaSays) {
  const RingCase& c = GetParam();
  EXPECT_NEAR(ring_all_reduce(c.size, c.ranks, c.hop) / 1.0_us, c.expected_us, 1e-9 * c.expected_us);
}

INSTANTIATE_TEST_SUITE_P(
    NcclPerformanceMd, RingAllReduce,
    testing::Values(  //     name                        ranks size     latency  one-way link   expected us
        RingCase{"one_rank_is_free", 1, 1.0_GB, {5.0_us, 450.0_GBps}, 0.0},
        RingCase{"eight_ranks_bandwidth_bound", 8, 0.9_GB, {0.0_us, 450.0_GBps}, 3500.0},  // 2*7/8 * 0.9/450 s
        RingCase{"eight_ranks_latency_bound", 8, 0.0_GB, {5.0_us, 450.0_GBps}, 70.0},      // 14 steps * 5 us
        RingCase{"link_rate_given_in_bits", 8, 0.9_GB, {0.0_us, 400.0_Gbps}, 31500.0}),
    [](const auto& c) { return std::string(c.param.name); });

// SimGrid 3.32, model CM02, flat platform of 50e9 B/s links with 1 us path latency, 1 GiB ring all_reduce with
// 2 (N-1) steps: simulated seconds.
TEST(RingAllReduceOracle, SimGridFlatPlatform) {
  const Hop hop{1.0_us, BytesPerSecond(50e9)};
  const std::pair<std::int64_t, double> rows[] = {
      {8, 0.037594964}, {64, 0.042404584}, {256, 0.043291901}, {1024, 0.044953730}, {4096, 0.051129187}};
  for (const auto& [ranks, seconds] : rows) {
    EXPECT_NEAR(ring_all_reduce(1.0_GiB, ranks, hop).si(), seconds, 1e-3 * seconds) << ranks;
  }
}

// LogGOPSim, ring all_reduce of 1 GiB with L = 0.5 us, G = 0.018626 ns a byte: 2(N-1)(L + (m-1)G).
TEST(RingAllReduceOracle, LogGopSim) {
  const Hop hop{0.5_us, BytesPerSecond(1 / 0.018626e-9)};
  const std::pair<std::int64_t, double> rows[] = {
      {8, 35.006151e-3}, {64, 39.437043e-3}, {256, 40.097775e-3}, {1024, 40.982931e-3}};
  for (const auto& [ranks, seconds] : rows) {
    EXPECT_NEAR(ring_all_reduce(1.0_GiB, ranks, hop).si(), seconds, 1e-3 * seconds) << ranks;
  }
}

TEST(RingCollectives, AllReduceIsReduceScatterThenAllGather) {
  for (std::int64_t ranks : {1, 2, 3, 8, 64}) {
    const Hop hop{3.0_us, 100.0_GBps};
    const Seconds half = ring_all_gather(1.0_GB, ranks, hop);
    EXPECT_DOUBLE_EQ(ring_all_reduce(1.0_GB, ranks, hop).si(), 2 * half.si());
  }
}

TEST(CollectiveTime, MoreBandwidthIsNeverSlower) {
  Cluster slow = fixtures::ideal_cluster(64);
  Cluster fast = slow;
  fast.fabric.nic.bandwidth.value = 2 * slow.fabric.nic.bandwidth.value;
  fast.node.intra.bandwidth.value = 2 * slow.node.intra.bandwidth.value;
  for (auto kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    for (std::int64_t stride : {1, 8}) {
      for (double bytes : {1e3, 1e6, 1e9}) {
        const GroupShape group = group_shape(slow, 8, stride);
        EXPECT_LE(collective_time(kind, Bytes(bytes), group, fast), collective_time(kind, Bytes(bytes), group, slow));
      }
    }
  }
}

// The ring of a group enters each node through the NICs of all its members there: 8 GPUs a node have 8 x 25 GB/s, one
// GPU a node has 25 (the per-GPU time of TP8 x DP equals that of pure data parallelism for the same model).
TEST(CollectiveTime, GroupsUseTheNicsOfTheirMembers) {
  const Cluster cluster = fixtures::ideal_cluster(64);
  const GroupShape whole_nodes = group_shape(cluster, 64, 1);
  const GroupShape one_per_node = group_shape(cluster, 8, 8);
  EXPECT_EQ(whole_nodes.per_domain, 8);
  EXPECT_EQ(one_per_node.per_domain, 1);
  EXPECT_DOUBLE_EQ(ring_hop(cluster, whole_nodes).bandwidth.si(), 200e9);
  EXPECT_DOUBLE_EQ(ring_hop(cluster, one_per_node).bandwidth.si(), 25e9);
  EXPECT_DOUBLE_EQ(ring_hop(cluster, group_shape(cluster, 8, 1)).bandwidth.si(), 300e9);
}

TEST(CollectiveTime, NvlinkDomainMayBeLargerThanANode) {
  Cluster rack = fixtures::ideal_cluster(144);
  rack.node.gpus = 4;
  rack.gpus_per_node = 4;
  rack.node.domain_gpus = 72;
  EXPECT_FALSE(group_shape(rack, 64, 1).crosses_network());
  EXPECT_TRUE(group_shape(rack, 144, 1).crosses_network());
}

// 16 ranks on two nodes of 300 GB/s links and 25 GB/s NICs: 8 of 16 parts of 16 MB leave through the NIC, 320 us; 7 of
// 16 stay, 23 us, meanwhile. Eight on one node: 7/8 of 16 MB at 300 GB/s.
TEST(AllToAll, WithoutNcclsTablesTheSlowerPathPacesIt) {
  const Cluster cluster = fixtures::ideal_cluster(16);
  EXPECT_NEAR(all_to_all_time(Bytes(16e6), {16, 8}, cluster) / 1.0_us, 320, 1e-6);
  EXPECT_NEAR(all_to_all_time(Bytes(16e6), {8, 8}, cluster) / 1.0_us, 14e6 / 300e9 * 1e6, 1e-6);
  EXPECT_EQ(all_to_all_time(Bytes(16e6), {1, 1}, cluster), Seconds(0));
  EXPECT_EQ(collective_time(CollectiveKind::all_to_all, Bytes(16e6), {16, 8}, cluster),
            all_to_all_time(Bytes(16e6), {16, 8}, cluster));
}

// Half of what each of 16 GPUs sends leaves its node: no less than 128 MB through a NIC of 50 GB/s. On one node it would
// be 224 MB over links that NCCL reaches 371 of 450 GB/s on: leaving the node costs several times as much ("more than
// four times" at the links' full rate: How to Scale Your Model, GPUs).
TEST(AllToAll, LeavingTheNodeIsPacedByTheNic) {
  Cluster cluster = fixtures::ideal_cluster(64);
  cluster.gpu.generation = "hopper";
  cluster.node.interconnect = "nvswitch";
  cluster.node.intra = fixtures::ideal_link(450.0_GBps);
  cluster.fabric.nic = fixtures::ideal_link(50.0_GBps);
  cluster.fabric.kind = "infiniband";
  const Seconds one = all_to_all_time(256.0_MB, {8, 8}, cluster);
  const Seconds two = all_to_all_time(256.0_MB, {16, 8}, cluster);
  EXPECT_GT(two, 128.0_MB / 50.0_GBps);
  EXPECT_GT(two, 3 * one);
}

}  // namespace
}  // namespace stepcast
