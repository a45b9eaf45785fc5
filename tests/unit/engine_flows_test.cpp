/// Max-min fair sharing: hand-worked cases, a slow reference, and SimGrid.

#include <fstream>

#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/engine/flows.hpp"
#include "tests/support/slow_flows.hpp"

namespace stepcast {
namespace {

struct WorkedFlow {
  double start_ms;
  std::vector<LinkId> path;
  double megabytes;
  double ends_ms;
};
struct WorkedCase {
  const char* name;
  std::vector<double> gigabytes_per_second;
  std::vector<WorkedFlow> flows;  ///< no latency; 1 MB takes 1 ms at 1 GB/s
};
class WorkedFlows : public testing::TestWithParam<WorkedCase> {};

TEST_P(WorkedFlows, EndWhenTheyShould) {
  std::vector<BytesPerSecond> links;
  for (double capacity : GetParam().gigabytes_per_second) links.push_back(BytesPerSecond(capacity * 1e9));
  std::vector<FlowSpec> flows;
  for (const WorkedFlow& flow : GetParam().flows) {
    flows.push_back({to_ticks(Seconds(flow.start_ms * 1e-3)), flow.path, Bytes(flow.megabytes * 1e6), {}});
  }
  const std::vector<SimTime> ends = run_flows(links, flows);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    EXPECT_NEAR(ends[i].seconds() / 1.0_ms, GetParam().flows[i].ends_ms, 1e-8) << "flow " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    ByHand, WorkedFlows,
    testing::Values(
        WorkedCase{"alone", {2}, {{0, {0}, 2, 1}}},
        // Half each until the short one ends at 2; what is left of the long one, 2 MB, takes 2 ms.
        WorkedCase{"two_share_a_link", {1}, {{0, {0}, 1, 2}, {0, {0}, 3, 4}}},
        // The first moves 1 MB alone, then both move at half until 3: the first has 1 MB at 3, the second 1 MB more.
        WorkedCase{"one_comes_later", {1}, {{0, {0}, 2, 3}, {1, {0}, 2, 4}}},
        // Three flows on link 0 (3 GB/s) would get 1 each; one of them is held to 0.5 by link 1, so the others get 1.25.
        WorkedCase{
            "who_is_held_elsewhere_leaves_more", {3, 0.5}, {{0, {0, 1}, 0.5, 1}, {0, {0}, 1.25, 1}, {0, {0}, 1.25, 1}}},
        // The textbook line: a long flow over three links of 1 GB/s, a short one on each; all get 0.5. When the first short
        // one ends at 1, nobody gains, for the long flow is held by the other links too. All others end at 2.
        WorkedCase{"long_flow_over_a_line",
                   {1, 1, 1},
                   {{0, {0, 1, 2}, 1, 2}, {0, {0}, 0.5, 1}, {0, {1}, 1, 2}, {0, {2}, 1, 2}}},
        // The chain: link 0 (1 GB/s) holds A and B to 0.5; link 1 (2) gives C the other 1.5. A ends at 1; B rises to 1 and C
        // falls to 1: at 1 it has 3 - 1.5 left, at 2 B is through its 1.5 and C, with 0.5 left, gets 2: 2.25.
        WorkedCase{
            "a_change_reaches_past_a_shared_flow", {1, 2}, {{0, {0}, 0.5, 1}, {0, {0, 1}, 1.5, 2}, {0, {1}, 3, 2.25}}},
        WorkedCase{"nothing_to_move_or_to_cross", {1}, {{3, {0}, 0, 3}, {4, {}, 5, 4}}},
        // A hundred of one path are one entry: 1/100 each; all end together at 100.
        WorkedCase{"identical_flows", {1}, std::vector<WorkedFlow>(100, WorkedFlow{0, {0}, 1, 100})}),
    [](const auto& c) { return std::string(c.param.name); });

// SimGrid 3.32, model CM02, 256 hosts of 50e9 B/s and 500 ns up and down: 4,096 flows that all start at once (start
// source destination bytes a line; made for this comparison by our own generator).
TEST(SimGridFlows, BurstOf4096Between256Hosts) {
  std::ifstream file(STEPCAST_SOURCE_DIR "/tests/data/flows_256_burst4k.txt");
  ASSERT_TRUE(file);
  const std::vector<BytesPerSecond> links(std::size_t{2} * 256, 50.0_GBps);
  std::vector<std::array<LinkId, 2>> paths;
  paths.reserve(4096);
  std::vector<FlowSpec> flows;
  double start = 0, bytes = 0;
  LinkId from = 0, to = 0;
  while (file >> start >> from >> to >> bytes) {
    paths.push_back({2 * from, 2 * to + 1});
    flows.push_back({to_ticks(Seconds(start)), paths.back(), Bytes(bytes), 1.0_us});
  }
  ASSERT_EQ(flows.size(), 4096U);
  double makespan = 0, sum = 0;
  for (SimTime end : run_flows(links, flows)) {
    makespan = std::max(makespan, end.seconds().si());
    sum += end.seconds().si();
  }
  EXPECT_NEAR(makespan, 0.002881968, 1e-9);
  EXPECT_NEAR(sum / 4096, 0.000780096, 1e-9);
}

void agrees_with_reference(const slow_flows::Case& c) {
  const std::vector<SimTime> fast = run_flows(c.links, c.flows);
  const std::vector<double> slow = slow_flows::run(c.links, c.flows);
  for (std::size_t i = 0; i < fast.size(); ++i) {
    ASSERT_NEAR(fast[i].seconds().si(), slow[i], 1e-9 * slow[i] + 1e-11) << "flow " << i;
  }
}

TEST(SlowReference, FlowsBetweenHosts) { agrees_with_reference(slow_flows::between_hosts(16, 600, 0.6, 1)); }
TEST(SlowReference, OverloadedHosts) { agrees_with_reference(slow_flows::between_hosts(12, 400, 1.5, 2)); }
TEST(SlowReference, AllAtOnce) { agrees_with_reference(slow_flows::between_hosts(24, 300, 0, 3)); }
TEST(SlowReference, LongPathsOverUnlikeLinks) { agrees_with_reference(slow_flows::over_any_links(20, 300, 4)); }

TEST(FlowNetwork, TellsRatesAndLoads) {
  FlowNetwork network;
  const LinkId a = network.add_link(3.0_GBps), b = network.add_link(1.0_GBps);
  const LinkId both[] = {a, b};
  const FlowId narrow = network.add_flow({}, both, 1.0_MB);
  const FlowId wide = network.add_flow({}, std::span(both).first(1), 1.0_MB, 1.0_us);
  network.advance({});
  EXPECT_EQ(network.rate(wide).si(), 0);  // still on its way
  EXPECT_EQ(network.next(), to_ticks(1.0_us));
  network.advance(network.next());
  EXPECT_NEAR(network.rate(narrow) / 1.0_GBps, 1, 1e-12);
  EXPECT_NEAR(network.rate(wide) / 1.0_GBps, 2, 1e-12);
  EXPECT_NEAR(network.load(a) / 3.0_GBps, 1, 1e-12);
  EXPECT_NEAR(network.load(b) / 1.0_GBps, 1, 1e-12);
  EXPECT_EQ(network.flows(), 2U);
}

TEST(FlowNetwork, RemovedFlowsLeaveTheirShare) {
  FlowNetwork network;
  const LinkId path[] = {network.add_link(1.0_GBps)};
  const FlowId kept = network.add_flow({}, path, 2.0_MB);
  const FlowId removed = network.add_flow({}, path, 2.0_MB);
  const FlowId never_began = network.add_flow({}, path, 2.0_MB, 500.0_us);
  network.advance(to_ticks(100.0_us));
  network.remove_flow(to_ticks(100.0_us), never_began);
  network.advance(to_ticks(1.0_ms));
  network.remove_flow(to_ticks(1.0_ms), removed);
  EXPECT_EQ(network.flows(), 1U);
  EXPECT_EQ(network.next(), to_ticks(2.5_ms));  // 0.5 MB in the first millisecond
  const auto ended = network.advance(to_ticks(1.0_s));
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].flow, kept);
  EXPECT_EQ(network.next(), forever);
  EXPECT_EQ(network.flows(), 0U);
}

TEST(FlowNetwork, WhatEndsTogetherIsToldInOrderOfEntry) {
  FlowNetwork network;
  const LinkId up = network.add_link(1.0_GBps), down = network.add_link(1.0_GBps);
  const FlowId first = network.add_flow({}, std::span(&down, 1), 1.0_MB);
  const FlowId second = network.add_flow({}, std::span(&up, 1), 1.0_MB);
  const FlowId third = network.add_flow({}, {}, 0.0_MB, 1.0_ms);
  const auto ended = network.advance(to_ticks(2.0_ms));
  ASSERT_EQ(ended.size(), 3U);
  EXPECT_EQ(ended[0].flow, first);
  EXPECT_EQ(ended[1].flow, second);
  EXPECT_EQ(ended[2].flow, third);
}

TEST(FlowNetwork, RefusesALinkThatCarriesNothing) {
  FlowNetwork network;
  EXPECT_THROW(network.add_link({}), UserError);
  EXPECT_THROW(network.add_link(BytesPerSecond(-1)), UserError);
}

TEST(FlowNetwork, RefusesAFlowLongerThanTheClock) {
  FlowNetwork network;
  const LinkId path[] = {network.add_link(BytesPerSecond(1e-6))};
  network.add_flow({}, path, 1.0_GB);
  EXPECT_THROW(network.advance(to_ticks(1.0_s)), UserError);
}

}  // namespace
}  // namespace stepcast
