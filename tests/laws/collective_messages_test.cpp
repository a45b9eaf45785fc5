// The messages of every algorithm do what it promises, whatever the number of ranks; on idle links they take the closed
// form's time.

#include <algorithm>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/collectives/collective_time.hpp"
#include "simulator/collectives/messages/run.hpp"
#include "simulator/collectives/steps.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

using enum CollectiveKind;

/// How often each rank's contribution is in one part of a buffer.
using Value = std::vector<int>;
/// By part.
using Buffer = std::vector<Value>;

/// Carries out the messages of a reducing or gathering collective on contributions instead of numbers.
class Ranks {
 public:
  Ranks(const MessageSteps& messages, MessageShape shape, Bytes size)
      : messages_(messages), shape_(shape), size_(size), buffers_(at(shape.n), Buffer(at(messages.parts))) {
    for (Buffer& buffer : buffers_)
      for (Value& value : buffer) value.assign(at(shape.n), 0);
  }

  void give(std::int64_t rank, std::int64_t part, std::int64_t contribution) {
    buffers_[at(rank)][at(part)][at(contribution)] = 1;
  }
  void give_all(std::int64_t rank, std::int64_t part) {
    std::fill(buffers_[at(rank)][at(part)].begin(), buffers_[at(rank)][at(part)].end(), 1);
  }
  /// Everyone's contribution is in it once.
  bool complete(std::int64_t rank, std::int64_t part) const {
    const Value& value = buffers_[at(rank)][at(part)];
    return std::all_of(value.begin(), value.end(), [](int times) { return times == 1; });
  }

  void run() {
    for (const auto& step : messages_.steps) {
      const std::vector<Buffer> before = buffers_;
      std::map<std::int64_t, Buffer> switches;  // by domain; -1 the network's
      const auto switch_of = [&](std::int64_t which, std::int64_t rank) -> Buffer& {
        Buffer& buffer = switches[which == network_switch ? -1 : rank / shape_.p];
        if (buffer.empty()) buffer.assign(at(messages_.parts), Value(at(shape_.n), 0));
        return buffer;
      };
      for (const Message& m : step)
        if (m.to < 0) deliver(m, before[at(m.from)], switch_of(m.to, m.from));
      for (const Message& m : step)
        if (m.to >= 0) deliver(m, m.from < 0 ? switch_of(m.from, m.to) : before[at(m.from)], buffers_[at(m.to)]);
    }
  }

 private:
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

  void deliver(const Message& m, const Buffer& source, Buffer& target) {
    EXPECT_NEAR(m.size.si(), size_.si() * static_cast<double>(m.count) / static_cast<double>(messages_.parts), 1e-6);
    for (std::int64_t i = 0; i < m.count; ++i) {
      const std::size_t part = at((m.first + i) % messages_.parts);
      for (std::size_t c = 0; c < target[part].size(); ++c)
        target[part][c] = m.reduces ? target[part][c] + source[part][c] : source[part][c];
    }
  }

  const MessageSteps& messages_;
  MessageShape shape_;
  Bytes size_;
  std::vector<Buffer> buffers_;
};

constexpr MessageShape shapes[] = {{2, 2}, {3, 3}, {8, 8},  {7, 7},  {2, 1},  {5, 1},  {8, 1},
                                   {4, 2}, {9, 3}, {16, 8}, {16, 4}, {20, 4}, {24, 8}, {12, 2}};

/// Who has which part at the end of a reduce_scatter, and so at the beginning of an all_gather.
std::vector<std::vector<std::int64_t>> reduce_scattered(const AlgorithmRow& row, MessageShape shape) {
  const Bytes size(4e6);
  const MessageSteps messages = row.messages(reduce_scatter, size, shape);
  if (messages.steps.empty()) return {};
  Ranks ranks(messages, shape, size);
  for (std::int64_t rank = 0; rank < shape.n; ++rank)
    for (std::int64_t part = 0; part < messages.parts; ++part) ranks.give(rank, part, rank);
  ranks.run();
  std::vector<std::vector<std::int64_t>> parts(static_cast<std::size_t>(shape.n));
  for (std::int64_t rank = 0; rank < shape.n; ++rank)
    for (std::int64_t part = 0; part < messages.parts; ++part)
      if (ranks.complete(rank, part)) parts[static_cast<std::size_t>(rank)].push_back(part);
  return parts;
}

std::string told(const AlgorithmRow& row, MessageShape shape) {
  return std::string(row.name) + " on " + std::to_string(shape.n) + " ranks, " + std::to_string(shape.p) + " a domain";
}

TEST(CollectiveMessages, AllReduceAddsUpEverythingOnceEverywhere) {
  int tried = 0;
  for (const AlgorithmRow& row : list_collectives()) {
    for (const MessageShape shape : shapes) {
      const Bytes size(4e6);
      const MessageSteps messages = row.messages(all_reduce, size, shape);
      if (messages.steps.empty()) continue;
      ++tried;
      Ranks ranks(messages, shape, size);
      for (std::int64_t rank = 0; rank < shape.n; ++rank)
        for (std::int64_t part = 0; part < messages.parts; ++part) ranks.give(rank, part, rank);
      ranks.run();
      for (std::int64_t rank = 0; rank < shape.n; ++rank)
        for (std::int64_t part = 0; part < messages.parts; ++part)
          ASSERT_TRUE(ranks.complete(rank, part)) << told(row, shape) << ": rank " << rank << ", part " << part;
    }
  }
  EXPECT_GT(tried, 60);
}

TEST(CollectiveMessages, ReduceScatterLeavesEachPartWithOneRank) {
  int tried = 0;
  for (const AlgorithmRow& row : list_collectives()) {
    for (const MessageShape shape : shapes) {
      const auto parts = reduce_scattered(row, shape);
      if (parts.empty()) continue;
      ++tried;
      std::vector<std::int64_t> all;
      for (const auto& own : parts) {
        EXPECT_EQ(own.size(), parts.front().size()) << told(row, shape);
        all.insert(all.end(), own.begin(), own.end());
      }
      std::sort(all.begin(), all.end());
      EXPECT_EQ(std::unique(all.begin(), all.end()), all.end()) << told(row, shape);
      EXPECT_EQ(static_cast<std::int64_t>(all.size()), row.messages(reduce_scatter, Bytes(1), shape).parts)
          << told(row, shape);
    }
  }
  EXPECT_GT(tried, 25);
}

TEST(CollectiveMessages, AllGatherGivesEveryPartToEveryRank) {
  for (const AlgorithmRow& row : list_collectives()) {
    for (const MessageShape shape : shapes) {
      const auto parts = reduce_scattered(row, shape);
      if (parts.empty()) continue;
      const Bytes size(4e6);
      const MessageSteps messages = row.messages(all_gather, size, shape);
      ASSERT_FALSE(messages.steps.empty()) << told(row, shape);
      Ranks ranks(messages, shape, size);
      for (std::int64_t rank = 0; rank < shape.n; ++rank)
        for (const std::int64_t part : parts[static_cast<std::size_t>(rank)]) ranks.give_all(rank, part);
      ranks.run();
      for (std::int64_t rank = 0; rank < shape.n; ++rank)
        for (std::int64_t part = 0; part < messages.parts; ++part)
          ASSERT_TRUE(ranks.complete(rank, part)) << told(row, shape) << ": rank " << rank << ", part " << part;
    }
  }
}

TEST(CollectiveMessages, BroadcastAndReduceHaveTheRootAtOneEnd) {
  for (const MessageShape shape : shapes) {
    const Bytes size(4e6);
    const MessageSteps down = ring_messages(broadcast, size, shape);
    Ranks receivers(down, shape, size);
    for (std::int64_t part = 0; part < down.parts; ++part) receivers.give_all(0, part);
    receivers.run();
    const MessageSteps up = ring_messages(reduce, size, shape);
    Ranks senders(up, shape, size);
    for (std::int64_t rank = 0; rank < shape.n; ++rank)
      for (std::int64_t part = 0; part < up.parts; ++part) senders.give(rank, part, rank);
    senders.run();
    for (std::int64_t part = 0; part < up.parts; ++part) {
      ASSERT_TRUE(senders.complete(0, part)) << shape.n;
      for (std::int64_t rank = 0; rank < shape.n; ++rank) ASSERT_TRUE(receivers.complete(rank, part)) << shape.n;
    }
  }
}

TEST(CollectiveMessages, AllToAllBringsEveryPieceToItsRank) {
  for (const AlgorithmRow& row : list_collectives()) {
    for (const MessageShape shape : shapes) {
      const Bytes size(4e6);
      const MessageSteps messages = row.messages(all_to_all, size, shape);
      if (messages.steps.empty()) continue;
      const bool by_rail = row.algorithm == Algorithm::pxn;
      const auto part_of = [&](std::int64_t rank) {
        return by_rail ? rank % shape.p * shape.domains() + rank / shape.p : rank;
      };
      // pieces[rank][part]: sources whose piece for that part the rank holds.
      std::vector<std::vector<std::vector<std::int64_t>>> pieces(static_cast<std::size_t>(shape.n));
      for (std::int64_t rank = 0; rank < shape.n; ++rank) {
        auto& held = pieces[static_cast<std::size_t>(rank)];
        held.assign(static_cast<std::size_t>(shape.n), {rank});
      }
      for (const auto& step : messages.steps) {
        auto after = pieces;
        for (const Message& m : step) {
          std::int64_t moved = 0;
          for (std::int64_t part = m.first; part < m.first + m.count; ++part) {
            const auto& sent = pieces[static_cast<std::size_t>(m.from)][static_cast<std::size_t>(part)];
            auto& received = after[static_cast<std::size_t>(m.to)][static_cast<std::size_t>(part)];
            received.insert(received.end(), sent.begin(), sent.end());
            auto& left = after[static_cast<std::size_t>(m.from)][static_cast<std::size_t>(part)];
            for (const std::int64_t source : sent) std::erase(left, source);
            moved += static_cast<std::int64_t>(sent.size());
          }
          EXPECT_NEAR(m.size.si(), static_cast<double>(moved) * 4e6 / static_cast<double>(shape.n), 1e-6);
        }
        pieces = after;
      }
      for (std::int64_t rank = 0; rank < shape.n; ++rank) {
        auto held = pieces[static_cast<std::size_t>(rank)][static_cast<std::size_t>(part_of(rank))];
        std::sort(held.begin(), held.end());
        std::vector<std::int64_t> everyone(static_cast<std::size_t>(shape.n));
        std::iota(everyone.begin(), everyone.end(), 0);
        ASSERT_EQ(held, everyone) << told(row, shape) << ": rank " << rank;
      }
    }
  }
}

// --- time --------------------------------------------------------------------------------------------------------

/// Nodes of eight: NVSwitch of 300 GB/s and 1 us, one NIC of 25 GB/s a GPU and 8 us from GPU to GPU over the spine.
Cluster machine(std::int64_t nodes) {
  Cluster cluster = fixtures::ideal_cluster(8 * nodes);
  cluster.node.interconnect = "nvswitch";
  cluster.node.intra.latency.value = 1.0_us;
  cluster.node.pcie_bandwidth = fixtures::given(50.0_GBps);
  cluster.fabric.topology = "rail-optimised";
  cluster.fabric.nic.latency.value = 8.0_us;
  return cluster;
}

std::vector<std::int64_t> first_ranks(std::int64_t count) {
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(count));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

Seconds on_wires(Algorithm algorithm, CollectiveKind kind, Bytes size, std::int64_t nodes, std::int64_t ranks) {
  const Topology topology = build_topology(machine(nodes));
  const MessageSteps messages = messages_of(algorithm, kind, size, {ranks, std::min<std::int64_t>(8, ranks)});
  const MessagesRun run = run_messages(messages, topology, first_ranks(ranks));
  EXPECT_LE(run.busiest_link, 1 + 1e-9) << "no link carries more than it can";
  EXPECT_EQ(run.messages, messages.messages());
  return run.time.seconds();
}

// One tick a step.
TEST(CollectiveMessages, ARingInANodeTakesTheClosedForm) {
  for (const std::int64_t ranks : {2, 3, 8}) {
    const Hop hop{1.0_us, 300.0_GBps};
    EXPECT_NEAR(on_wires(Algorithm::ring, all_reduce, 1.0_GB, 1, ranks).si(), ring_all_reduce(1.0_GB, ranks, hop).si(),
                1e-12 * 2 * static_cast<double>(ranks));
    EXPECT_NEAR(on_wires(Algorithm::ring, all_gather, 1.0_GB, 1, ranks).si(), ring_all_gather(1.0_GB, ranks, hop).si(),
                1e-12 * 2 * static_cast<double>(ranks));
  }
}

// Eight rings through eight NICs: the bandwidth of ring_hop.
TEST(CollectiveMessages, ARingOverNodesUsesAllNics) {
  const double bandwidth_term = 2.0 * 31 / 32 * 4e9 / 200e9;
  const double time = on_wires(Algorithm::ring, all_reduce, 4.0_GB, 4, 32).si();
  EXPECT_GT(time, bandwidth_term);
  EXPECT_LT(time, 1.05 * bandwidth_term);
}

// Messages of 1/p of the size each through the NVLinks, a share of the nodes' part through the NIC: by the rounds of the
// busiest rank, links idle otherwise.
TEST(CollectiveMessages, RoundsAreThoseOfTheClosedForms) {
  const Links links{1.0_us, 6.0_us, 300.0_GBps, 25.0_GBps};  // one leaf a rail: six of the eight hops
  for (const auto& [algorithm, kind] :
       {std::pair(Algorithm::hierarchical, all_reduce), std::pair(Algorithm::hierarchical, all_gather),
        std::pair(Algorithm::pxn, all_to_all)}) {
    const double expected = idle_time(rounds_of(algorithm, kind, 4.0_GB, {32, 8}), links).si();
    EXPECT_NEAR(on_wires(algorithm, kind, 4.0_GB, 4, 32).si(), expected, 1e-9 * expected + 1e-10)
        << row_of(algorithm).name;
  }
}

TEST(CollectiveMessages, AllReduceIsReduceScatterThenAllGather) {
  for (const Algorithm algorithm : {Algorithm::ring, Algorithm::hierarchical, Algorithm::halving_doubling}) {
    const Seconds whole = on_wires(algorithm, all_reduce, 1.0_GB, 2, 16);
    const Seconds halves =
        on_wires(algorithm, reduce_scatter, 1.0_GB, 2, 16) + on_wires(algorithm, all_gather, 1.0_GB, 2, 16);
    EXPECT_NEAR(whole / halves, 1, 1e-6) << row_of(algorithm).name;
  }
}

// The switches add up while the data passes: once up and once down instead of twice round.
TEST(CollectiveMessages, SwitchesThatAddUpAreNearlyTwiceAsFast) {
  const double ring = on_wires(Algorithm::ring, all_reduce, 4.0_GB, 1, 8).si();
  const double nvls = on_wires(Algorithm::nvls, all_reduce, 4.0_GB, 1, 8).si();
  EXPECT_LT(nvls, 0.75 * ring);
  EXPECT_GT(nvls, 4e9 / 300e9);
}

// Which of the equal ranks has which place does not matter.
TEST(CollectiveMessages, RelabellingAnNvlinkDomainChangesNothing) {
  const Topology topology = build_topology(machine(1));
  const MessageSteps messages = messages_of(Algorithm::ring, all_reduce, 1.0_GB, {8, 8});
  const std::vector<std::int64_t> mixed{3, 1, 7, 0, 2, 6, 5, 4};
  EXPECT_EQ(run_messages(messages, topology, mixed).time, run_messages(messages, topology, first_ranks(8)).time);
}

TEST(CollectiveMessages, SharedUplinksSlowADirectAllToAll) {
  Cluster thin = machine(64);
  thin.fabric.topology = "fat-tree";
  Cluster wide = thin;
  thin.fabric.leaf_oversubscription.value = 4;
  std::vector<std::int64_t> ranks;  // one a node, on sixteen leaves
  for (std::int64_t node = 0; node < 64; ++node)
    for (const std::int64_t gpu : {0, 1}) ranks.push_back(8 * node + gpu);
  const MessageSteps messages = messages_of(Algorithm::pairwise, all_to_all, 64.0_MB, {128, 2});
  const SimTime fast = run_messages(messages, build_topology(wide), ranks).time;
  const SimTime slow = run_messages(messages, build_topology(thin), ranks).time;
  EXPECT_LT(fast, slow);
}

TEST(CollectiveMessages, RefuseWhatTheyCannotDo) {
  EXPECT_THROW(messages_of(Algorithm::ring, all_reduce, 1.0_GB, {100'000, 8}), UserError);
  EXPECT_THROW(messages_of(Algorithm::tree, all_gather, 1.0_GB, {16, 8}), UserError);
  EXPECT_THROW(messages_of(Algorithm::nvls, all_reduce, 1.0_GB, {16, 8}), UserError);
  EXPECT_EQ(messages_of(Algorithm::ring, all_reduce, 1.0_GB, {1, 1}).messages(), 0);
}

}  // namespace
}  // namespace stepcast
