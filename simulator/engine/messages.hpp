#pragma once
/// Ring collectives simulated message by message: every step of every rank, each message over its sender's own link.
///
///   const RingMessages ring{.ranks = 4096, .size = 1.0_GiB, .bandwidth = 50.0_GBps, .latency = 1.0_us};
///   const Seconds time = simulate(ring, RingExecutor::events, fold).time.seconds();
///
/// A step: the rank sends one part to its successor and receives one from its predecessor, and goes on when both are
/// done. A message moves once both ends have entered the step, and takes latency + part / bandwidth. On an idle network
/// with equal ranks every step takes as long as any other and the whole is ring_time(), to the tick.
/// Cost: events 2 (ranks-1) * ranks * chunks queue operations, about 20 million a second and more; O(ranks) memory.
/// Leaves out: links shared with other traffic (flows.hpp), switches that store a whole message before they send it on.

#include <cstdint>
#include <vector>

#include "simulator/engine/sim_time.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

enum class RingOperation : std::uint8_t {
  all_reduce,      ///< ranks-1 steps that reduce, then ranks-1 that only move
  reduce_scatter,  ///< the first half
  all_gather       ///< the second half
};

struct RingMessages {
  std::int64_t ranks = 2;
  Bytes size{};  ///< one rank's whole buffer (all_gather: the gathered one); a message is size/chunks/ranks
  BytesPerSecond bandwidth{};  ///< of the link to the successor, one direction
  Seconds latency{};           ///< of one message from rank to rank, all hops together
  /// Memory that the local reduction reads twice and writes once: a reducing step costs 3 * part / reduce_bandwidth
  /// more. Zero: reducing is free.
  BytesPerSecond reduce_bandwidth{};
  /// A rank waits this long before its first message and after each one that it received (software at the end point).
  Seconds endpoint_delay{};
  std::int64_t chunks = 1;  ///< the buffer is cut into chunks, served one after the other
  RingOperation operation = RingOperation::all_reduce;
  /// Grain of the clock. At a picosecond durations are rounded to the nearest; a coarser clock cuts them down to whole
  /// grains (ASTRA-sim: 1 ns), the transfer and each of the three passes of the reduction by itself.
  SimTime grain{1};

  // What breaks the symmetry: empty, or one value a rank.
  std::vector<double> slowdown{};  ///< the rank's link takes this many times as long for the bytes; 1: as stated
  std::vector<SimTime> arrival{};  ///< when the rank enters the collective

  bool symmetric() const { return slowdown.empty() && arrival.empty(); }
};

enum class RingExecutor : std::uint8_t {
  events,   ///< an event queue; one event a message
  dataflow  ///< one pass, step by step; no queue
};

struct MessageRun {
  SimTime time;               ///< from zero until the last rank is done
  std::int64_t messages = 0;  ///< simulated: one representative's when folded
  std::int64_t events = 0;    ///< taken from the queue; zero for dataflow
};

/// Runs the collective. The executors agree to the tick, and folded agrees with full.
///
/// @param fold  simulate one rank for all where the ranks are equal; ignored when slowdown or arrival tells them apart
/// @throws UserError no ranks, no chunks, a bandwidth or time that is negative or zero where it must not be, lists of
///         another length than ranks, a total that the clock cannot hold, more than 10^12 messages to simulate
MessageRun simulate(const RingMessages& ring, RingExecutor executor = RingExecutor::events, bool fold = true);

/// The closed form, in ticks, of a symmetric ring:  chunks * [ steps * S + reducing * 3 R + (steps + 1) * D ]  with
/// S = latency + m / bandwidth, R = m / reduce_bandwidth, D = endpoint_delay, m = size / chunks / ranks, each rounded to
/// the clock. With ASTRA-sim's grain of 1 ns it is that simulator's ring to the nanosecond; with D and R zero it is
/// SimGrid's (CM02) and LogGOPSim's. One rank costs nothing.
SimTime ring_time(const RingMessages& ring);

}  // namespace stepcast
