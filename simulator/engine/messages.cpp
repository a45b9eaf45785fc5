#include "simulator/engine/messages.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/engine/event_queue.hpp"

namespace stepcast {
namespace {

/// At some ten million a second or more, a day.
constexpr double most_messages = 1e12;

/// What one step costs, in ticks, and how many there are.
struct Steps {
  std::int64_t chunks = 0;
  std::int64_t per_chunk = 0;
  std::int64_t reducing = 0;  ///< the first ones of a chunk
  SimTime latency, reduction, endpoint;
  double transfer = 0;  ///< seconds, before it is rounded: a slow link stretches it
  SimTime grain;

  SimTime cut(Seconds time) const {
    if (grain.ps <= 1) return to_ticks(time);
    CHECK(time.si() * 1e12 < 1e18, "the total was held against the clock");
    // A value a hair below a whole grain is that grain: 0.1 us is 100 ns, not 99.
    return {static_cast<std::int64_t>(std::floor(time.si() * 1e12 / static_cast<double>(grain.ps) + 1e-9)) * grain.ps};
  }
  SimTime message(double slowdown) const { return cut(latency.seconds() + Seconds(transfer * slowdown)); }
  /// From the end of a step's messages to the next step.
  SimTime after(std::int64_t step, bool last_chunk) const {
    SimTime pause = endpoint;
    if (step < reducing) pause += reduction;
    if (step == per_chunk - 1 && !last_chunk) pause += endpoint;
    return pause;
  }
};

void check(const RingMessages& ring) {
  const auto refuse = [](const std::string& problem) { throw UserError("ring collective: " + problem); };
  if (ring.ranks < 1) refuse("at least one rank is needed");
  if (ring.chunks < 1) refuse("at least one chunk is needed");
  if (!(ring.size.si() >= 0) || std::isinf(ring.size.si())) refuse("the size must not be negative");
  if (!(ring.bandwidth.si() > 0)) refuse("the bandwidth must be above zero");
  if (!(ring.latency.si() >= 0)) refuse("the latency must not be negative");
  if (!(ring.reduce_bandwidth.si() >= 0)) refuse("the bandwidth of the reduction must not be negative");
  if (!(ring.endpoint_delay.si() >= 0)) refuse("the delay of the end points must not be negative");
  if (ring.grain.ps < 1) refuse("the clock's grain must be a picosecond or more");
  const auto listed = [&](std::size_t length) { return length == 0 || length == static_cast<std::size_t>(ring.ranks); };
  if (!listed(ring.slowdown.size())) refuse("the slowdowns must be one a rank");
  if (!listed(ring.arrival.size())) refuse("the arrivals must be one a rank");
  double slowest = 1, latest = 0;
  for (double slowdown : ring.slowdown) {
    if (!(slowdown > 0)) refuse("a slowdown must be above zero");
    slowest = std::max(slowest, slowdown);
  }
  for (SimTime arrival : ring.arrival) {
    if (arrival.ps < 0) refuse("an arrival must not be before the start");
    latest = std::max(latest, arrival.seconds().si());
  }
  const double rounds = 2 * static_cast<double>(ring.ranks) * static_cast<double>(ring.chunks);
  const double part = ring.size.si() / static_cast<double>(ring.chunks) / static_cast<double>(ring.ranks);
  const double pass = ring.reduce_bandwidth.si() > 0 ? part / ring.reduce_bandwidth.si() : 0;
  const double step =
      ring.latency.si() + slowest * part / ring.bandwidth.si() + 3 * pass + 2 * ring.endpoint_delay.si();
  if (!(rounds < 1e18) || !(latest + rounds * step < 4e6)) {
    refuse("it takes longer than the clock lasts: check its sizes, rates and number of ranks");
  }
}

Steps steps_of(const RingMessages& ring) {
  check(ring);
  Steps steps;
  steps.grain = ring.grain;
  steps.chunks = ring.chunks;
  const std::int64_t half = ring.ranks - 1;
  steps.per_chunk = ring.operation == RingOperation::all_reduce ? 2 * half : half;
  steps.reducing = ring.operation == RingOperation::all_gather ? 0 : half;
  const Bytes part = ring.size / static_cast<double>(ring.chunks) / static_cast<double>(ring.ranks);
  steps.latency = to_ticks(ring.latency);
  steps.transfer = (part / ring.bandwidth).si();
  steps.endpoint = steps.cut(ring.endpoint_delay);
  if (ring.reduce_bandwidth.si() > 0) steps.reduction = {3 * steps.cut(part / ring.reduce_bandwidth).ps};
  return steps;
}

/// Time enough for every rank to see where its neighbours stand: a message moves when both ends are in its step.
class RingEvents {
 public:
  RingEvents(const RingMessages& ring, const Steps& steps, std::int64_t simulated)
      : steps_(steps), ranks_(static_cast<std::size_t>(simulated)) {
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
      ranks_[rank].message = steps.message(ring.slowdown.empty() ? 1 : ring.slowdown[rank]);
      ranks_[rank].ready = steps.endpoint;
      if (!ring.arrival.empty()) ranks_[rank].ready += ring.arrival[rank];
    }
  }

  MessageRun run() {
    for (std::uint32_t rank = 0; rank < ranks_.size(); ++rank) enter(rank);
    while (!queue_.empty()) {
      const auto event = queue_.pop();
      ++result_.events;
      half_done(event.what, event.time);
      half_done(successor(event.what), event.time);
    }
    result_.messages = result_.events;
    return result_;
  }

 private:
  struct Rank {
    SimTime ready;    ///< when it enters, or entered, its step
    SimTime message;  ///< what its messages take
    std::int64_t chunk = 0;
    std::int64_t step = -1;
    std::int32_t ended = 0;  ///< of its send and its receive in this step
  };

  std::uint32_t successor(std::uint32_t rank) const { return rank + 1 == ranks_.size() ? 0 : rank + 1; }
  std::uint32_t predecessor(std::uint32_t rank) const {
    return rank == 0 ? static_cast<std::uint32_t>(ranks_.size() - 1) : rank - 1;
  }

  void half_done(std::uint32_t index, SimTime now) {
    Rank& rank = ranks_[index];
    if (++rank.ended < 2) return;
    rank.ended = 0;
    rank.ready = now + steps_.after(rank.step, rank.chunk + 1 == steps_.chunks);
    enter(index);
  }

  void enter(std::uint32_t index) {
    Rank& rank = ranks_[index];
    if (++rank.step == steps_.per_chunk) {
      if (++rank.chunk == steps_.chunks) {
        result_.time = std::max(result_.time, rank.ready);
        return;
      }
      rank.step = 0;
    }
    // A neighbour in this step cannot leave it before both of its messages have moved, nor be ahead.
    const std::uint32_t next = successor(index), previous = predecessor(index);
    if (in_same_step(rank, ranks_[next])) send(index, next);
    if (previous != index && in_same_step(rank, ranks_[previous])) send(previous, index);
  }

  static bool in_same_step(const Rank& a, const Rank& b) { return a.step == b.step && a.chunk == b.chunk; }

  void send(std::uint32_t from, std::uint32_t to) {
    queue_.push(std::max(ranks_[from].ready, ranks_[to].ready) + ranks_[from].message, from);
  }

  const Steps steps_;
  std::vector<Rank> ranks_;
  EventQueue<std::uint32_t> queue_;
  MessageRun result_;
};

/// The same, step by step over all ranks.
MessageRun ring_in_order(const RingMessages& ring, const Steps& steps, std::int64_t simulated) {
  const auto ranks = static_cast<std::size_t>(simulated);
  std::vector<SimTime> message(ranks), ready(ranks, steps.endpoint), ends(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    message[rank] = steps.message(ring.slowdown.empty() ? 1 : ring.slowdown[rank]);
    if (!ring.arrival.empty()) ready[rank] += ring.arrival[rank];
  }
  MessageRun result;
  for (std::int64_t chunk = 0; chunk < steps.chunks; ++chunk) {
    for (std::int64_t step = 0; step < steps.per_chunk; ++step) {
      const SimTime pause = steps.after(step, chunk + 1 == steps.chunks);
      for (std::size_t rank = 0; rank + 1 < ranks; ++rank) {
        ends[rank] = std::max(ready[rank], ready[rank + 1]) + message[rank];
      }
      ends[ranks - 1] = std::max(ready[ranks - 1], ready[0]) + message[ranks - 1];
      ready[0] = std::max(ends[0], ends[ranks - 1]) + pause;
      for (std::size_t rank = 1; rank < ranks; ++rank) ready[rank] = std::max(ends[rank], ends[rank - 1]) + pause;
      result.messages += simulated;
    }
  }
  result.time = *std::max_element(ready.begin(), ready.end());
  return result;
}

}  // namespace

MessageRun simulate(const RingMessages& ring, RingExecutor executor, bool fold) {
  const Steps steps = steps_of(ring);
  if (ring.ranks == 1) return {ring.arrival.empty() ? SimTime{} : ring.arrival[0]};
  const std::int64_t simulated = fold && ring.symmetric() ? 1 : ring.ranks;
  const double messages =
      static_cast<double>(simulated) * static_cast<double>(steps.per_chunk) * static_cast<double>(steps.chunks);
  if (messages > most_messages) {
    throw UserError(
        fmt::format("ring collective: {:.2g} messages would take hours; fold equal ranks, or ask for fewer", messages));
  }
  if (executor == RingExecutor::dataflow) return ring_in_order(ring, steps, simulated);
  return RingEvents(ring, steps, simulated).run();
}

SimTime ring_time(const RingMessages& ring) {
  const Steps steps = steps_of(ring);
  CHECK(ring.symmetric(), "the closed form is that of equal ranks");
  if (ring.ranks == 1) return {};
  const std::int64_t chunk = steps.per_chunk * steps.message(1).ps + steps.reducing * steps.reduction.ps +
                             (steps.per_chunk + 1) * steps.endpoint.ps;
  return {steps.chunks * chunk};
}

}  // namespace stepcast
