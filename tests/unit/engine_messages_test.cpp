/// Ring collectives as messages against three simulators. The tables are what they print (GiB is 2^30).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/engine/messages.hpp"

namespace stepcast {
namespace {

constexpr std::int64_t full_up_to = 1024;  ///< ranks that a test simulates one by one

void takes(const RingMessages& ring, double seconds, double tolerance) {
  EXPECT_NEAR(ring_time(ring).seconds().si(), seconds, tolerance);
  for (RingExecutor executor : {RingExecutor::events, RingExecutor::dataflow}) {
    EXPECT_EQ(simulate(ring, executor, true).time, ring_time(ring));
    if (ring.ranks <= full_up_to) {
      EXPECT_EQ(simulate(ring, executor, false).time, ring_time(ring));
    }
  }
}

struct AstraCase {
  const char* name;
  RingOperation operation;
  Seconds latency;
  std::int64_t chunks;
  std::int64_t ranks;
  std::int64_t nanoseconds;
};
class AstraRing : public testing::TestWithParam<AstraCase> {};

// ASTRA-sim 2.x, analytical network: 1 GiB a rank, 50 GiB/s, 500 ns a hop, endpoint-delay 10, local-mem-bw 1600. Its
// clock is of 1 ns; the agreement is to the nanosecond. A switch is two hops.
TEST_P(AstraRing, AgreesToTheNanosecond) {
  const AstraCase& c = GetParam();
  takes({.ranks = c.ranks,
         .size = 1.0_GiB,
         .bandwidth = 50.0_GiB / 1.0_s,
         .latency = c.latency,
         .reduce_bandwidth = 1600.0_GBps,
         .endpoint_delay = 10.0_ns,
         .chunks = c.chunks,
         .operation = c.operation,
         .grain = {1000}},
        static_cast<double>(c.nanoseconds) * 1e-9, 1e-12);
}

constexpr auto all_reduce = RingOperation::all_reduce;
constexpr auto all_gather = RingOperation::all_gather;
constexpr auto reduce_scatter = RingOperation::reduce_scatter;

INSTANTIATE_TEST_SUITE_P(Published, AstraRing,
                         testing::Values(  //  name        operation   latency  chunks ranks  ns
                             AstraCase{"ring_8", all_reduce, 0.5_us, 1, 8, 36'768'756},
                             AstraCase{"ring_64", all_reduce, 0.5_us, 1, 64, 41'420'935},
                             AstraCase{"ring_256", all_reduce, 0.5_us, 1, 256, 42'108'925},
                             AstraCase{"ring_1024", all_reduce, 0.5_us, 1, 1024, 43'014'091},
                             AstraCase{"ring_4096", all_reduce, 0.5_us, 1, 4096, 46'162'945},
                             AstraCase{"ring_8_in_4_chunks", all_reduce, 0.5_us, 4, 8, 36'790'164},
                             AstraCase{"ring_64_in_4_chunks", all_reduce, 0.5_us, 4, 64, 41'613'556},
                             AstraCase{"ring_256_in_4_chunks", all_reduce, 0.5_us, 4, 256, 42'887'980},
                             AstraCase{"ring_1024_in_4_chunks", all_reduce, 0.5_us, 4, 1024, 46'129'156},
                             AstraCase{"ring_4096_in_4_chunks", all_reduce, 0.5_us, 4, 4096, 58'640'440},
                             AstraCase{"switch_8", all_reduce, 1.0_us, 1, 8, 36'775'756},
                             AstraCase{"switch_64", all_reduce, 1.0_us, 1, 64, 41'483'935},
                             AstraCase{"switch_256", all_reduce, 1.0_us, 1, 256, 42'363'925},
                             AstraCase{"switch_1024", all_reduce, 1.0_us, 1, 1024, 44'037'091},
                             AstraCase{"switch_8_in_4_chunks", all_reduce, 1.0_us, 4, 8, 36'818'164},
                             AstraCase{"switch_64_in_4_chunks", all_reduce, 1.0_us, 4, 64, 41'865'556},
                             AstraCase{"switch_256_in_4_chunks", all_reduce, 1.0_us, 4, 256, 43'907'980},
                             AstraCase{"switch_1024_in_4_chunks", all_reduce, 1.0_us, 4, 1024, 50'221'156},
                             AstraCase{"all_gather_8", all_gather, 0.5_us, 1, 8, 17'503'580},
                             AstraCase{"all_gather_64", all_gather, 0.5_us, 1, 64, 19'719'640},
                             AstraCase{"reduce_scatter_8", reduce_scatter, 0.5_us, 1, 8, 19'265'186},
                             AstraCase{"reduce_scatter_64", reduce_scatter, 0.5_us, 1, 64, 21'701'305}),
                         [](const auto& c) { return std::string(c.param.name); });

// ASTRA-sim's own example Ring_4chunks on 8 ranks, 1 MiB: per chunk 14 (500 + 610) + 7 * 3 * 20 + 15 * 10 = 16,110 ns.
TEST(AstraExample, OneMebibyteInFourChunks) {
  takes({.ranks = 8,
         .size = 1.0_MiB,
         .bandwidth = 50.0_GiB / 1.0_s,
         .latency = 500.0_ns,
         .reduce_bandwidth = 1600.0_GBps,
         .endpoint_delay = 10.0_ns,
         .chunks = 4,
         .grain = {1000}},
        64'440e-9, 1e-12);
}

struct PeerCase {
  std::int64_t ranks;
  double seconds;
};

// SimGrid 3.32, model CM02, a platform of private links of 50e9 B/s with 500 ns up and 500 ns down; 1 GiB, each step's
// send and receive awaited.
class SimGridRing : public testing::TestWithParam<PeerCase> {};
TEST_P(SimGridRing, AgreesToATenthOfAPercent) {
  const auto& [ranks, seconds] = GetParam();
  takes({.ranks = ranks, .size = 1.0_GiB, .bandwidth = 50.0_GBps, .latency = 1.0_us}, seconds, 1e-3 * seconds);
}
INSTANTIATE_TEST_SUITE_P(Flat, SimGridRing,
                         testing::Values(PeerCase{8, 0.037594964}, PeerCase{64, 0.042404584},
                                         PeerCase{256, 0.043291901}, PeerCase{1024, 0.044953730},
                                         PeerCase{4096, 0.051129187}));

// LogGOPSim with L = 500 ns, o = g = O = 0 and G = 18.626 ps a byte. There the first byte of a message costs L alone.
class LogGopsRing : public testing::TestWithParam<PeerCase> {};
TEST_P(LogGopsRing, AgreesToATenthOfAPercent) {
  const auto& [ranks, seconds] = GetParam();
  const Seconds per_byte(18.626e-12);
  takes({.ranks = ranks, .size = 1.0_GiB, .bandwidth = 1.0_B / per_byte, .latency = 500.0_ns - per_byte}, seconds,
        1e-3 * seconds);
}
INSTANTIATE_TEST_SUITE_P(Simulated, LogGopsRing,
                         testing::Values(PeerCase{8, 35.006151e-3}, PeerCase{64, 39.437043e-3},
                                         PeerCase{256, 40.097775e-3}, PeerCase{1024, 40.982931e-3}));

TEST(RingMessages, OneRankCostsNothing) {
  EXPECT_EQ(ring_time({.ranks = 1, .size = 1.0_GiB, .bandwidth = 1.0_GBps, .endpoint_delay = 1.0_us}).ps, 0);
  EXPECT_EQ(simulate({.ranks = 1, .size = 1.0_GiB, .bandwidth = 1.0_GBps}).time.ps, 0);
}

// Two ranks, 2 MB over 1 GB/s: a step moves 1 MB in 1 ms; one step reduces.
TEST(RingMessages, TwoRanks) {
  const RingMessages ring{.ranks = 2, .size = 2.0_MB, .bandwidth = 1.0_GBps, .latency = 10.0_us};
  for (bool fold : {true, false}) {
    const MessageRun run = simulate(ring, RingExecutor::events, fold);
    EXPECT_EQ(run.time, to_ticks(2020.0_us));
    EXPECT_EQ(run.messages, fold ? 2 : 4);
    EXPECT_EQ(run.events, run.messages);
  }
}

// Four ranks, parts of 1 MB at 1 GB/s: 1 ms a step. Rank 2's link is three times as slow. The ranks around it wait for it
// at once, the far side of the ring two steps later; from then on a step takes 3 ms: in the end 6 * 3 ms.
TEST(RingMessages, OneSlowLinkPacesTheRing) {
  RingMessages ring{.ranks = 4, .size = 4.0_MB, .bandwidth = 1.0_GBps};
  ring.slowdown = {1, 1, 3, 1};
  EXPECT_EQ(simulate(ring).time.seconds() / 1.0_ms, 18.0);
}

// The last to arrive is rank 1, 5 ms late: its own steps start then, and it has all six of them to do.
TEST(RingMessages, TheLastArrivalStartsTheRing) {
  RingMessages ring{.ranks = 4, .size = 4.0_MB, .bandwidth = 1.0_GBps};
  ring.arrival = {{}, to_ticks(5.0_ms), {}, {}};
  EXPECT_EQ(simulate(ring).time.seconds() / 1.0_ms, 11.0);
}

TEST(RingMessages, RefusesWhatCannotBe) {
  const RingMessages good{.ranks = 8, .size = 1.0_GiB, .bandwidth = 1.0_GBps};
  const auto refused = [&](auto change, const char* why) {
    RingMessages ring = good;
    change(ring);
    try {
      simulate(ring, RingExecutor::events, false);
      ADD_FAILURE() << why;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(why));
    }
  };
  refused([](auto& ring) { ring.ranks = 0; }, "at least one rank");
  refused([](auto& ring) { ring.chunks = -1; }, "at least one chunk");
  refused([](auto& ring) { ring.size = Bytes(-1); }, "size must not be negative");
  refused([](auto& ring) { ring.size = Bytes(std::numeric_limits<double>::quiet_NaN()); }, "size must not be negative");
  refused([](auto& ring) { ring.bandwidth = {}; }, "bandwidth must be above zero");
  refused([](auto& ring) { ring.latency = -1.0_us; }, "latency must not be negative");
  refused([](auto& ring) { ring.reduce_bandwidth = BytesPerSecond(-1); }, "must not be negative");
  refused([](auto& ring) { ring.endpoint_delay = -1.0_us; }, "must not be negative");
  refused([](auto& ring) { ring.slowdown = {1, 2}; }, "one a rank");
  refused([](auto& ring) { ring.slowdown.assign(8, 0); }, "slowdown must be above zero");
  refused([](auto& ring) { ring.arrival = {{}}; }, "one a rank");
  refused([](auto& ring) { ring.arrival.assign(8, {-1}); }, "must not be before");
  refused([](auto& ring) { ring.grain = {0}; }, "grain");
  refused([](auto& ring) { ring.size = 1e12 * 1.0_GB; }, "longer than the clock lasts");
  refused([](auto& ring) { ring.ranks = 100'000'000; }, "fold equal ranks");
}

}  // namespace
}  // namespace stepcast
