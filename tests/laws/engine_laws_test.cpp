/// Laws of the engine: what holds for every sequence of events, every set of flows, every ring.

#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/engine/event_queue.hpp"
#include "simulator/engine/flows.hpp"
#include "simulator/engine/messages.hpp"
#include "tests/support/slow_flows.hpp"

namespace stepcast {
namespace {

// --- the event queue

RC_GTEST_PROP(EventQueueLaw, LeavesByTimeThenByEntry, ()) {
  EventQueue<int> queue;
  std::multimap<std::int64_t, int> sorted;  // equal keys stay in order of insertion
  const auto steps = *rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(-100, 1000));
  const int scale = *rc::gen::inRange(0, 40);
  int entered = 0;
  for (std::int64_t step : steps) {
    if (step >= 0) {  // times before the present among them
      queue.push({step << scale}, entered);
      sorted.emplace(step << scale, entered++);
    } else if (!sorted.empty()) {
      RC_ASSERT(queue.next_time().ps == sorted.begin()->first);
      RC_ASSERT(queue.pop().what == sorted.begin()->second);
      sorted.erase(sorted.begin());
    }
    RC_ASSERT(queue.size() == sorted.size());
  }
  for (const auto& [time, what] : sorted) {
    const auto event = queue.pop();
    RC_ASSERT(event.time.ps == time);
    RC_ASSERT(event.what == what);
  }
}

// --- flows

slow_flows::Case any_flows() {
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  const auto links = *rc::gen::inRange<std::uint32_t>(1, 12);
  return slow_flows::over_any_links(links, *rc::gen::inRange<std::size_t>(0, 60), seed);
}

RC_GTEST_PROP(FlowLaw, AgreesWithPlainProgressiveFilling, ()) {
  const slow_flows::Case c = any_flows();
  const std::vector<SimTime> fast = run_flows(c.links, c.flows);
  const std::vector<double> slow = slow_flows::run(c.links, c.flows);
  for (std::size_t i = 0; i < fast.size(); ++i) {
    RC_ASSERT(std::abs(fast[i].seconds().si() - slow[i]) <= 1e-9 * slow[i] + 1e-10);
  }
}

/// The rates at every change: no link above its capacity, every flow held back by a full link on which none is faster,
/// and the bytes that the links carried are those that the flows brought.
RC_GTEST_PROP(FlowLaw, ConservesCapacityAndBytes, ()) {
  const slow_flows::Case c = any_flows();
  FlowNetwork network;
  for (BytesPerSecond link : c.links) network.add_link(link);
  std::vector<double> to_carry(c.links.size(), 0), carried(c.links.size(), 0);
  for (const FlowSpec& flow : c.flows) {
    network.add_flow(flow.start, flow.path, flow.size, flow.latency);
    for (LinkId link : flow.path) to_carry[link] += flow.size.si();
  }
  std::vector<bool> ended(c.flows.size(), false);
  SimTime now;
  while (network.next() < forever) {
    for (LinkId link = 0; link < c.links.size(); ++link) {
      RC_ASSERT(network.load(link) <= network.capacity(link) * (1 + 1e-9));
      carried[link] += network.load(link).si() * (network.next() - now).seconds().si();
    }
    for (FlowId id = 0; id < c.flows.size(); ++id) {
      if (ended[id] || network.rate(id).si() == 0) continue;
      bool held = false;
      for (LinkId link : c.flows[id].path) {
        bool fastest = true;
        for (FlowId other = 0; other < c.flows.size(); ++other) {
          const auto& path = c.flows[other].path;
          if (ended[other] || std::ranges::find(path, link) == path.end()) continue;
          fastest = fastest && network.rate(other) <= network.rate(id) * (1 + 1e-9);
        }
        held = held || (fastest && network.load(link) >= network.capacity(link) * (1 - 1e-9));
      }
      RC_ASSERT(held);
    }
    now = network.next();
    for (const FlowNetwork::Finished& flow : network.advance(now)) ended[flow.flow] = true;
  }
  RC_ASSERT(network.flows() == 0U);
  for (LinkId link = 0; link < c.links.size(); ++link) {
    RC_ASSERT(std::abs(carried[link] - to_carry[link]) <= 1e-6 * to_carry[link] + 1);
  }
}

RC_GTEST_PROP(FlowLaw, TwiceTheBytesOverTwiceTheBandwidthTakesAsLong, ()) {
  slow_flows::Case c = any_flows();
  const std::vector<SimTime> once = run_flows(c.links, c.flows);
  for (BytesPerSecond& link : c.links) link *= 2;
  for (FlowSpec& flow : c.flows) flow.size *= 2;
  const std::vector<SimTime> twice = run_flows(c.links, c.flows);
  for (std::size_t i = 0; i < once.size(); ++i) RC_ASSERT(once[i] == twice[i]);
}

RC_GTEST_PROP(FlowLaw, NamesOfLinksDoNotMatter, ()) {
  slow_flows::Case c = any_flows();
  const std::vector<SimTime> before = run_flows(c.links, c.flows);
  std::ranges::reverse(c.links);
  for (std::vector<LinkId>& path : c.paths) {
    for (LinkId& link : path) link = static_cast<LinkId>(c.links.size()) - 1 - link;
  }
  const std::vector<SimTime> after = run_flows(c.links, c.flows);
  for (std::size_t i = 0; i < before.size(); ++i) RC_ASSERT(std::abs((before[i] - after[i]).ps) <= 100);
}

// --- rings

RingMessages any_ring() {
  RingMessages ring;
  ring.ranks = *rc::gen::inRange<std::int64_t>(1, 20);
  ring.size = Bytes(static_cast<double>(*rc::gen::inRange<std::int64_t>(0, 1 << 30)));
  ring.bandwidth = BytesPerSecond(1e9 * *rc::gen::inRange(1, 500));
  ring.latency = Seconds(1e-9 * *rc::gen::inRange(0, 5000));
  ring.reduce_bandwidth = BytesPerSecond(1e9 * *rc::gen::element(0, 1600, 3350));
  ring.endpoint_delay = Seconds(1e-9 * *rc::gen::inRange(0, 20));
  ring.chunks = *rc::gen::inRange<std::int64_t>(1, 5);
  ring.operation =
      *rc::gen::element(RingOperation::all_reduce, RingOperation::reduce_scatter, RingOperation::all_gather);
  ring.grain = *rc::gen::element(SimTime{1}, SimTime{1000});
  return ring;
}

RC_GTEST_PROP(RingLaw, ExecutorsFoldedAndFullAreTheClosedForm, ()) {
  const RingMessages ring = any_ring();
  for (RingExecutor executor : {RingExecutor::events, RingExecutor::dataflow}) {
    for (bool fold : {true, false}) RC_ASSERT(simulate(ring, executor, fold).time == ring_time(ring));
  }
}

RingMessages any_uneven_ring() {
  RingMessages ring = any_ring();
  for (std::int64_t rank = 0; rank < ring.ranks; ++rank) {
    ring.slowdown.push_back(*rc::gen::element(1.0, 1.0, 1.5, 4.0));
    ring.arrival.push_back({*rc::gen::inRange<std::int64_t>(0, 1'000'000'000)});
  }
  return ring;
}

RC_GTEST_PROP(RingLaw, ExecutorsAgreeOnUnevenRings, ()) {
  const RingMessages ring = any_uneven_ring();
  RC_ASSERT(simulate(ring, RingExecutor::events).time == simulate(ring, RingExecutor::dataflow).time);
}

RC_GTEST_PROP(RingLaw, TurningTheRingChangesNothing, ()) {
  RingMessages ring = any_uneven_ring();
  const SimTime before = simulate(ring).time;
  const auto by = *rc::gen::inRange<std::int64_t>(0, ring.ranks);
  std::rotate(ring.slowdown.begin(), ring.slowdown.begin() + by, ring.slowdown.end());
  std::rotate(ring.arrival.begin(), ring.arrival.begin() + by, ring.arrival.end());
  RC_ASSERT(simulate(ring).time == before);
}

RC_GTEST_PROP(RingLaw, AllReduceIsReduceScatterThenAllGather, ()) {
  RingMessages ring = any_ring();
  ring.operation = RingOperation::all_reduce;
  RingMessages scatter = ring, gather = ring;
  scatter.operation = RingOperation::reduce_scatter;
  gather.operation = RingOperation::all_gather;
  // Each of the two waits once for its end points before it begins, an all_reduce once in all.
  const SimTime waits{ring.ranks == 1 ? 0 : ring.chunks * to_ticks(ring.endpoint_delay).ps};
  RC_ASSERT(ring_time(ring) + waits == ring_time(scatter) + ring_time(gather));
}

RC_GTEST_PROP(RingLaw, MoreBandwidthIsNeverSlower, ()) {
  const RingMessages ring = any_uneven_ring();
  RingMessages faster = ring;
  faster.bandwidth *= 1 + *rc::gen::inRange(0, 100) / 50.0;
  RC_ASSERT(simulate(faster).time <= simulate(ring).time);
}

// --- rings as flows over links that others use as well

/// Rings on one host each rank, all on the same hosts: every message is a flow up from its sender and down to its receiver.
SimTime rings_over_flows(int rings, std::int64_t ranks, Bytes part, BytesPerSecond bandwidth, Seconds latency) {
  FlowNetwork network;
  for (std::int64_t link = 0; link < 2 * ranks; ++link) network.add_link(bandwidth);
  const auto size = static_cast<std::size_t>(rings * ranks);
  std::vector<std::int64_t> step(size, 0), halves(size, 0);
  std::map<FlowId, std::size_t> sender;
  const auto next = [&](std::size_t at) {
    return (at + 1) % static_cast<std::size_t>(ranks) == 0 ? at + 1 - static_cast<std::size_t>(ranks) : at + 1;
  };
  const auto send = [&](SimTime now, std::size_t at) {
    const auto host = [&](std::size_t of) { return static_cast<LinkId>(of % static_cast<std::size_t>(ranks)); };
    const LinkId path[] = {2 * host(at), 2 * host(next(at)) + 1};
    sender[network.add_flow(now, path, part, latency)] = at;
  };
  for (std::size_t at = 0; at < size; ++at) send({}, at);
  SimTime now;
  while (network.next() < forever) {
    now = network.next();
    const auto span = network.advance(now);
    for (const FlowNetwork::Finished& flow : std::vector(span.begin(), span.end())) {
      const std::size_t from = sender[flow.flow];
      for (std::size_t at : {from, next(from)}) {
        if (++halves[at] % 2 == 0 && ++step[at] < 2 * (ranks - 1)) send(now, at);  // equal rings: all enter together
      }
    }
  }
  return now;
}

RC_GTEST_PROP(ContendedRings, AloneAClosedFormAndTogetherTheyShare, ()) {
  const auto ranks = *rc::gen::inRange<std::int64_t>(2, 9);
  const int rings = *rc::gen::inRange(1, 5);
  const Bytes part(static_cast<double>(*rc::gen::inRange(1, 1 << 24)));
  const BytesPerSecond bandwidth(1e9 * *rc::gen::inRange(1, 100));
  const Seconds latency(1e-9 * *rc::gen::inRange(0, 3000));
  const std::int64_t steps = 2 * (ranks - 1);
  const RingMessages ring{
      .ranks = ranks, .size = static_cast<double>(ranks) * part, .bandwidth = bandwidth / rings, .latency = latency};
  const SimTime time = rings_over_flows(rings, ranks, part, bandwidth, latency);
  RC_ASSERT(std::abs((time - ring_time(ring)).ps) <= steps);  // a tick a step
}

}  // namespace
}  // namespace stepcast
