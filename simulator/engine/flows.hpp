#pragma once
/// Max-min fair sharing of directed links between concurrent flows.
///
/// A flow waits for its latency, then moves its bytes along every link of its path at once, at the rate that max-min
/// fairness gives it: no flow can have more without taking from one that has no more than it. (SimGrid's model CM02 with
/// equal latencies.) Rates change when a flow begins to move, ends or is removed, and only for the flows that the change
/// reaches: those that share a full link with it, and those that share a full link with them, as far as rates differ.
/// Flows of one path are one entry with one rate, however many they are.
///
///   FlowNetwork network;
///   const LinkId up = network.add_link(50.0_GBps), down = network.add_link(50.0_GBps);
///   network.add_flow(now, path, 4.0_MB, 1.0_us);
///   while (network.next() < forever) {
///     for (const FlowNetwork::Finished& flow : network.advance(network.next())) ...
///   }
///
/// Leaves out: congestion control, queues in switches, weights by round-trip time.

#include <cstdint>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include "simulator/engine/event_queue.hpp"
#include "simulator/engine/sim_time.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

using LinkId = std::uint32_t;
using FlowId = std::uint32_t;

/// Later than any event: what next() answers when nothing will happen by itself.
constexpr SimTime forever{std::numeric_limits<std::int64_t>::max()};

class FlowNetwork {
 public:
  struct Finished {
    FlowId flow;
    SimTime time;
  };

  /// A link, one direction. Links are numbered from zero.
  /// @throws UserError a capacity that is not above zero
  LinkId add_link(BytesPerSecond capacity);
  /// Gives a link that no flow crosses another capacity.
  void set_capacity(LinkId link, BytesPerSecond capacity);

  /// A flow that enters at `start`, not before the last time given to this network. It begins to move after its latency;
  /// without bytes or without links to cross it ends there and then. An id is used again after the advance() that
  /// follows the one that told its end.
  ///
  /// @param path  the links that it crosses; one that it crosses several times stands there as often, in a row, and gives
  ///              it that many times its rate
  FlowId add_flow(SimTime start, std::span<const LinkId> path, Bytes size, Seconds latency = {});

  /// Takes a flow away before its end. @pre advance(now) was called
  void remove_flow(SimTime now, FlowId flow);

  /// When something happens next by itself (a flow begins to move, or ends); `forever` when nothing does.
  SimTime next();

  /// Lets time pass up to and including `now`; answers with what ended, in order of time, then of entry. The answer is
  /// good until the next call.
  /// @throws UserError a flow that takes longer than the clock lasts
  std::span<const Finished> advance(SimTime now);

  /// What a flow gets at present; zero while it waits for its latency.
  BytesPerSecond rate(FlowId flow);
  /// What a link carries at present, and can.
  BytesPerSecond load(LinkId link);
  BytesPerSecond capacity(LinkId link) const;

  std::size_t flows() const { return active_; }                ///< entered and not ended
  std::int64_t rate_changes() const { return rate_changes_; }  ///< of bundles, for those who count work

 private:
  using BundleId = std::uint32_t;  ///< the moving flows of one path
  static constexpr std::uint32_t none = UINT32_MAX;

  struct Use {
    BundleId bundle;
    std::uint32_t hop;    ///< index into hops_
    std::uint32_t times;  ///< that each flow crosses the link
  };
  struct Hop {
    LinkId link;
    std::uint32_t use;  ///< index into the link's uses
    std::uint32_t times;
  };
  /// What working out rates reads of a bundle.
  struct Bundle {
    double rate = 0;        ///< of each flow, bytes a picosecond; zero: not yet known
    LinkId held_by = none;  ///< the full link on which no flow is faster
    std::uint32_t flows = 0;
    std::uint32_t first_hop = 0, hops = 0;
    // While rates are worked out:
    std::uint64_t round = 0;  ///< may change in this one
    double new_rate = 0;      ///< negative: not found yet
    LinkId new_held_by = none;
  };
  struct Link {
    double capacity;  ///< bytes a picosecond
    std::vector<Use> uses;
    // While rates are worked out:
    std::uint64_t round = 0;     ///< touched in this one
    double left = 0;             ///< of the capacity, by flows whose rate is settled
    std::int64_t open = 0;       ///< crossings of flows whose rate is not
    std::uint32_t included = 0;  ///< the first of uses: those that may change
    double level = 0;            ///< rate of the flows that this link holds back; negative: of none so far
    double fastest_kept = 0;     ///< at least the fastest of the flows that keep their rate
    std::int64_t held_kept = 0;  ///< how many of those were held back by this link
  };
  struct Member {
    double done;  ///< ends when each flow of the bundle has moved so many bytes since the bundle was made
    std::uint64_t order;
    FlowId flow;
  };
  static bool ends_later(const Member& a, const Member& b) {
    return a.done != b.done ? a.done > b.done : a.order > b.order;
  }
  struct Progress {
    std::vector<Member> members;  ///< a heap, the next to end on top
    double moved = 0;             ///< by each since the bundle was made, at `since`
    std::int64_t since = 0;
    std::int64_t ends = 0;       ///< when the first member ends, at this rate
    std::uint32_t place = none;  ///< in the heap of ends
    BundleId next_of_hash = none;
    std::uint64_t hash = 0;
  };
  struct Flow {
    std::vector<LinkId> path;  ///< until it moves
    double bytes = 0;
    std::uint64_t order = 0;
    BundleId bundle = none;  ///< none: waits for its latency
    bool removed = false;
  };
  struct Offer {
    double share;
    LinkId link;
  };

  std::span<const Hop> path_of(const Bundle& bundle) const { return {hops_.data() + bundle.first_hop, bundle.hops}; }
  std::size_t crossings(const Bundle& bundle) const;
  void begin(FlowId id);
  void end_first_of(BundleId id);
  BundleId bundle_of(const std::vector<LinkId>& path);
  void resize(BundleId id);
  void drop(BundleId id);

  void settle();
  void touch(LinkId id);
  void include(BundleId id);
  void fill();
  void sink_offer(std::size_t at, Offer offer);
  void hold_back(LinkId id, double share);
  double find_contradictions();
  void unfill(double level);

  void reschedule(BundleId id);
  void unschedule(BundleId id);
  void sift(std::uint32_t place);

  std::int64_t now_ = 0;
  std::uint64_t order_ = 0;
  std::size_t active_ = 0;
  std::int64_t rate_changes_ = 0;
  EventQueue<FlowId> starts_;
  std::vector<Finished> finished_;

  std::vector<Link> links_;
  std::vector<Flow> flows_;
  std::vector<Bundle> bundles_;
  std::vector<Progress> progress_;  ///< of each bundle
  std::vector<Hop> hops_;
  std::vector<FlowId> free_flows_;
  std::vector<BundleId> free_bundles_;
  std::vector<std::vector<std::uint32_t>> free_hops_;    ///< by length of path: first hops
  std::unordered_map<std::uint64_t, BundleId> by_path_;  ///< hash of a path: the first bundle of that hash
  std::vector<BundleId> ends_;                           ///< a heap by Progress::ends, four children each

  std::uint64_t round_ = 0;
  std::vector<LinkId> dirty_;  ///< their flows have changed since rates were worked out
  std::vector<LinkId> touched_;
  std::vector<BundleId> included_, filled_, contradicting_;
  std::vector<Offer> offers_;
};

/// One flow of a list that is known beforehand.
struct FlowSpec {
  SimTime start;
  std::span<const LinkId> path;
  Bytes size{};
  Seconds latency{};
};

/// When each flow ends, on links of these capacities.
std::vector<SimTime> run_flows(std::span<const BytesPerSecond> links, std::span<const FlowSpec> flows);

}  // namespace stepcast
