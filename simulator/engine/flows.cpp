#include "simulator/engine/flows.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

// Two rates this close are one, and a link this close to full is full. Far above rounding, far below what shows.
constexpr double same = 1e-10;
constexpr std::uint32_t children = 4;

std::uint64_t hash_of(std::span<const LinkId> path) {
  std::uint64_t hash = path.size();
  for (LinkId link : path) {
    hash = (hash ^ link) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

LinkId FlowNetwork::add_link(BytesPerSecond capacity) {
  if (!(capacity.si() > 0) || std::isinf(capacity.si())) throw UserError("a link needs a bandwidth above zero");
  links_.push_back({.capacity = capacity.si() * 1e-12, .uses = {}});
  return static_cast<LinkId>(links_.size() - 1);
}

void FlowNetwork::set_capacity(LinkId id, BytesPerSecond capacity) {
  CHECK(links_[id].uses.empty(), "only a link without flows changes its capacity");
  if (!(capacity.si() > 0) || std::isinf(capacity.si())) throw UserError("a link needs a bandwidth above zero");
  links_[id].capacity = capacity.si() * 1e-12;
}

FlowId FlowNetwork::add_flow(SimTime start, std::span<const LinkId> path, Bytes size, Seconds latency) {
  CHECK(start.ps >= now_, "a flow enters no earlier than the network has come");
  CHECK(size.si() >= 0 && latency.si() >= 0, "sizes and latencies are not negative");
  FlowId id = static_cast<FlowId>(flows_.size());
  if (free_flows_.empty()) {
    flows_.emplace_back();
  } else {
    id = free_flows_.back();
    free_flows_.pop_back();
  }
  Flow& flow = flows_[id];
  flow.path.assign(path.begin(), path.end());
  for (LinkId link : path) CHECK(link < links_.size(), "a path is of links that were added");
  flow.bytes = size.si();
  flow.order = order_++;
  flow.bundle = none;
  flow.removed = false;
  ++active_;
  starts_.push(start + to_ticks(latency), id);
  return id;
}

void FlowNetwork::remove_flow(SimTime now, FlowId id) {
  CHECK(now.ps >= now_ && next() > now, "time has come to where a flow is removed");
  now_ = now.ps;
  --active_;
  const BundleId bundle = flows_[id].bundle;
  if (bundle == none) {
    flows_[id].removed = true;  // its id is free when its latency has passed
    return;
  }
  std::vector<Member>& members = progress_[bundle].members;
  std::erase_if(members, [&](const Member& member) { return member.flow == id; });
  std::make_heap(members.begin(), members.end(), ends_later);
  resize(bundle);
  free_flows_.push_back(id);
}

SimTime FlowNetwork::next() {
  settle();
  SimTime next = ends_.empty() ? forever : SimTime{progress_[ends_.front()].ends};
  if (!starts_.empty()) next = std::min(next, starts_.next_time());
  return next;
}

std::span<const FlowNetwork::Finished> FlowNetwork::advance(SimTime now) {
  CHECK(now.ps >= now_, "time does not go back");
  for (const Finished& flow : finished_) free_flows_.push_back(flow.flow);
  finished_.clear();
  for (SimTime time = next(); time <= now && time < forever; time = next()) {
    now_ = time.ps;
    const std::size_t first = finished_.size();
    while (!ends_.empty() && progress_[ends_.front()].ends <= now_) end_first_of(ends_.front());
    while (!starts_.empty() && starts_.next_time() <= time) begin(starts_.pop().what);
    const auto earlier = [&](const Finished& a, const Finished& b) {
      return flows_[a.flow].order < flows_[b.flow].order;
    };
    std::sort(finished_.begin() + static_cast<std::ptrdiff_t>(first), finished_.end(), earlier);
  }
  now_ = now.ps;
  return finished_;
}

BytesPerSecond FlowNetwork::rate(FlowId id) {
  settle();
  const Flow& flow = flows_[id];
  return BytesPerSecond(flow.bundle == none ? 0 : bundles_[flow.bundle].rate * 1e12);
}

BytesPerSecond FlowNetwork::load(LinkId id) {
  settle();
  double sum = 0;
  for (const Use& use : links_[id].uses) sum += bundles_[use.bundle].rate * bundles_[use.bundle].flows * use.times;
  return BytesPerSecond(sum * 1e12);
}

BytesPerSecond FlowNetwork::capacity(LinkId id) const { return BytesPerSecond(links_[id].capacity * 1e12); }

/// The latency is over.
void FlowNetwork::begin(FlowId id) {
  Flow& flow = flows_[id];
  if (flow.removed) {
    free_flows_.push_back(id);
    return;
  }
  if (flow.path.empty() || flow.bytes == 0) {
    --active_;
    finished_.push_back({id, {now_}});
    return;
  }
  flow.bundle = bundle_of(flow.path);
  Progress& progress = progress_[flow.bundle];
  progress.moved += bundles_[flow.bundle].rate * static_cast<double>(now_ - progress.since);
  progress.since = now_;
  progress.members.push_back({progress.moved + flow.bytes, flow.order, id});
  std::push_heap(progress.members.begin(), progress.members.end(), ends_later);
  resize(flow.bundle);
}

void FlowNetwork::end_first_of(BundleId id) {
  Progress& progress = progress_[id];
  const Member first = progress.members.front();
  std::pop_heap(progress.members.begin(), progress.members.end(), ends_later);
  progress.members.pop_back();
  progress.moved = first.done;  // to the byte: rounding to the clock leaves no error behind
  progress.since = now_;
  finished_.push_back({first.flow, {now_}});
  --active_;
  resize(id);
}

std::size_t FlowNetwork::crossings(const Bundle& bundle) const {
  std::size_t sum = 0;
  for (const Hop& hop : path_of(bundle)) sum += hop.times;
  return sum;
}

FlowNetwork::BundleId FlowNetwork::bundle_of(const std::vector<LinkId>& path) {
  const std::uint64_t hash = hash_of(path);
  const auto [found, is_new] = by_path_.try_emplace(hash, none);
  for (BundleId at = found->second; at != none; at = progress_[at].next_of_hash) {
    std::size_t place = 0;
    for (const Hop& hop : path_of(bundles_[at])) {
      for (std::uint32_t i = 0; i < hop.times && place < path.size() && path[place] == hop.link; ++i) ++place;
    }
    if (place == path.size() && crossings(bundles_[at]) == path.size()) return at;
  }
  BundleId id = static_cast<BundleId>(bundles_.size());
  if (free_bundles_.empty()) {
    bundles_.emplace_back();
    progress_.emplace_back();
  } else {
    id = free_bundles_.back();
    free_bundles_.pop_back();
  }
  Progress& progress = progress_[id];
  progress.moved = 0;
  progress.since = now_;
  progress.hash = hash;
  progress.next_of_hash = found->second;
  found->second = id;

  std::uint32_t hops = 0;
  for (std::size_t i = 0; i < path.size(); ++i) hops += i == 0 || path[i] != path[i - 1] ? 1 : 0;
  if (free_hops_.size() <= hops) free_hops_.resize(hops + 1);
  Bundle& bundle = bundles_[id];
  bundle = {.first_hop = static_cast<std::uint32_t>(hops_.size()), .hops = hops};
  if (std::vector<std::uint32_t>& free = free_hops_[hops]; free.empty()) {
    hops_.resize(hops_.size() + hops);
  } else {
    bundle.first_hop = free.back();
    free.pop_back();
  }
  std::size_t place = 0;
  for (std::uint32_t hop = bundle.first_hop; hop < bundle.first_hop + hops; ++hop) {
    const LinkId link = path[place];
    std::uint32_t times = 0;
    for (; place < path.size() && path[place] == link; ++place) ++times;
    std::vector<Use>& uses = links_[link].uses;
    CHECK(uses.empty() || uses.back().bundle != id, "the crossings of one link stand in a row");
    hops_[hop] = {link, static_cast<std::uint32_t>(uses.size()), times};
    uses.push_back({id, hop, times});
  }
  return id;
}

/// A bundle has gained or lost a flow.
void FlowNetwork::resize(BundleId id) {
  Bundle& bundle = bundles_[id];
  bundle.flows = static_cast<std::uint32_t>(progress_[id].members.size());
  for (const Hop& hop : path_of(bundle)) dirty_.push_back(hop.link);
  if (bundle.flows == 0) {
    drop(id);
  } else if (bundle.rate > 0) {
    reschedule(id);
  }
}

void FlowNetwork::drop(BundleId id) {
  unschedule(id);
  const Bundle& bundle = bundles_[id];
  for (const Hop& hop : path_of(bundle)) {
    std::vector<Use>& uses = links_[hop.link].uses;
    uses[hop.use] = uses.back();
    hops_[uses[hop.use].hop].use = hop.use;
    uses.pop_back();
  }
  free_hops_[bundle.hops].push_back(bundle.first_hop);
  const auto found = by_path_.find(progress_[id].hash);
  BundleId* link = &found->second;
  while (*link != id) link = &progress_[*link].next_of_hash;
  *link = progress_[id].next_of_hash;
  if (found->second == none) by_path_.erase(found);
  free_bundles_.push_back(id);
}

// Rates. What may change are the flows that a changed link held back, and new ones. They are filled evenly into what the
// others leave, the tightest link first. If that contradicts what another flow has (a full link gives less than it takes,
// or the link that held it back has room for more), it may change too, and the filling is done again from the level of
// the contradiction upwards. Without contradictions every flow is held back by a full link on which none is faster: that
// is max-min fairness, and only one set of rates is so.

void FlowNetwork::settle() {
  if (dirty_.empty()) return;
  ++round_;
  touched_.clear();
  included_.clear();
  filled_.clear();
  contradicting_.clear();
  for (LinkId id : dirty_) {
    for (const Use& use : links_[id].uses) {
      const LinkId held_by = bundles_[use.bundle].held_by;
      if (held_by == id || held_by == none) contradicting_.push_back(use.bundle);
    }
  }
  dirty_.clear();
  for (;;) {
    for (BundleId id : contradicting_) include(id);
    fill();
    const double level = find_contradictions();
    if (contradicting_.empty()) break;
    unfill(level);
  }
  for (BundleId id : included_) {
    Bundle& bundle = bundles_[id];
    bundle.held_by = bundle.new_held_by;
    if (std::abs(bundle.new_rate - bundle.rate) <= 1e-13 * bundle.rate) continue;
    ++rate_changes_;
    Progress& progress = progress_[id];
    progress.moved += bundle.rate * static_cast<double>(now_ - progress.since);
    progress.since = now_;
    bundle.rate = bundle.new_rate;
    reschedule(id);
  }
}

void FlowNetwork::touch(LinkId id) {
  Link& link = links_[id];
  if (link.round == round_) return;
  link.round = round_;
  touched_.push_back(id);
  link.left = link.capacity;
  link.open = 0;
  link.included = 0;
  link.level = -1;
  link.fastest_kept = 0;
  link.held_kept = 0;
  for (const Use& use : link.uses) {
    const Bundle& bundle = bundles_[use.bundle];
    link.left -= bundle.rate * bundle.flows * use.times;
    link.fastest_kept = std::max(link.fastest_kept, bundle.rate);
    if (bundle.held_by == id) ++link.held_kept;
  }
}

void FlowNetwork::include(BundleId id) {
  Bundle& bundle = bundles_[id];
  if (bundle.round == round_) return;
  bundle.round = round_;
  bundle.new_rate = -1;
  included_.push_back(id);
  for (Hop& hop : std::span(hops_).subspan(bundle.first_hop, bundle.hops)) {
    touch(hop.link);
    Link& link = links_[hop.link];
    Use& other = link.uses[link.included];
    std::swap(other, link.uses[hop.use]);
    hops_[link.uses[hop.use].hop].use = hop.use;
    hop.use = link.included++;
    link.left += bundle.rate * bundle.flows * hop.times;
    link.open += std::int64_t{bundle.flows} * hop.times;
    if (bundle.held_by == hop.link) --link.held_kept;
  }
}

void FlowNetwork::fill() {
  offers_.clear();
  for (LinkId id : touched_) {
    const Link& link = links_[id];
    if (link.open > 0) offers_.push_back({std::max(0.0, link.left) / static_cast<double>(link.open), id});
  }
  for (std::size_t at = offers_.size() / 2; at-- > 0;) sink_offer(at, offers_[at]);
  while (!offers_.empty()) {
    const Offer offer = offers_.front();
    Link& link = links_[offer.link];
    if (link.open > 0) {
      const double share = std::max(0.0, link.left) / static_cast<double>(link.open);
      if (share > offer.share * (1 + 1e-14)) {  // flows were held back elsewhere: there is more for the others
        sink_offer(0, {share, offer.link});
        continue;
      }
      hold_back(offer.link, share);
    }
    const Offer last = offers_.back();
    offers_.pop_back();
    if (!offers_.empty()) sink_offer(0, last);
  }
}

/// Puts an offer into the heap, whose top is the lowest, at this place or below.
void FlowNetwork::sink_offer(std::size_t at, Offer offer) {
  const std::size_t size = offers_.size();
  for (std::size_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
    child += child + 1 < size && offers_[child + 1].share < offers_[child].share ? 1 : 0;
    if (!(offers_[child].share < offer.share)) break;
    offers_[at] = offers_[child];
    at = child;
  }
  offers_[at] = offer;
}

/// The link is full: its flows that have no rate yet get this one.
void FlowNetwork::hold_back(LinkId id, double share) {
  Link& link = links_[id];
  link.level = share;
  for (std::uint32_t i = 0; i < link.included; ++i) {
    Bundle& bundle = bundles_[link.uses[i].bundle];
    if (bundle.new_rate >= 0) continue;
    bundle.new_rate = share;
    bundle.new_held_by = id;
    filled_.push_back(link.uses[i].bundle);
    for (const Hop& hop : path_of(bundle)) {
      links_[hop.link].left -= share * bundle.flows * hop.times;
      links_[hop.link].open -= std::int64_t{bundle.flows} * hop.times;
    }
  }
}

/// The flows whose kept rate does not go with the filling; below the level returned it stands.
double FlowNetwork::find_contradictions() {
  contradicting_.clear();
  double lowest = std::numeric_limits<double>::infinity();
  for (LinkId id : touched_) {
    Link& link = links_[id];
    const bool slows = link.level >= 0 && link.fastest_kept > link.level * (1 + same);
    if (!slows && link.held_kept == 0) continue;
    double fastest = 0;
    for (std::uint32_t i = 0; i < link.included; ++i)
      fastest = std::max(fastest, bundles_[link.uses[i].bundle].new_rate);
    const bool full = link.level >= 0 || link.left <= same * link.capacity;
    link.fastest_kept = 0;
    for (std::size_t i = link.included; i < link.uses.size(); ++i) {
      const Bundle& bundle = bundles_[link.uses[i].bundle];
      link.fastest_kept = std::max(link.fastest_kept, bundle.rate);
      const bool too_fast = link.level >= 0 && bundle.rate > link.level * (1 + same);
      const bool can_rise = bundle.held_by == id && !(full && bundle.rate >= fastest * (1 - same));
      if (!too_fast && !can_rise) continue;
      contradicting_.push_back(link.uses[i].bundle);
      lowest = std::min(lowest, too_fast ? link.level : bundle.rate);
    }
  }
  return lowest;
}

/// Takes back what was filled at this level and above.
void FlowNetwork::unfill(double level) {
  while (!filled_.empty() && bundles_[filled_.back()].new_rate >= level * (1 - 10 * same)) {
    Bundle& bundle = bundles_[filled_.back()];
    filled_.pop_back();
    links_[bundle.new_held_by].level = -1;
    for (const Hop& hop : path_of(bundle)) {
      links_[hop.link].left += bundle.new_rate * bundle.flows * hop.times;
      links_[hop.link].open += std::int64_t{bundle.flows} * hop.times;
    }
    bundle.new_rate = -1;
  }
}

// The heap of ends.

void FlowNetwork::reschedule(BundleId id) {
  Progress& progress = progress_[id];
  const double left = std::max(0.0, progress.members.front().done - progress.moved) / bundles_[id].rate;
  if (!(left < 9e18 - static_cast<double>(progress.since)))
    throw UserError("a flow takes longer than the clock lasts: check its size and the links");
  progress.ends = std::max(now_, progress.since + static_cast<std::int64_t>(std::llround(left)));
  if (progress.place == none) {
    progress.place = static_cast<std::uint32_t>(ends_.size());
    ends_.push_back(id);
  }
  sift(progress.place);
}

/// Puts the bundle at this place where it belongs.
void FlowNetwork::sift(std::uint32_t place) {
  const BundleId id = ends_[place];
  const auto size = static_cast<std::uint32_t>(ends_.size());
  const auto before = [&](BundleId a, BundleId b) {
    return progress_[a].ends != progress_[b].ends ? progress_[a].ends < progress_[b].ends : a < b;
  };
  const auto put = [&](std::uint32_t at, BundleId bundle) {
    ends_[at] = bundle;
    progress_[bundle].place = at;
  };
  while (place > 0 && before(id, ends_[(place - 1) / children])) {
    put(place, ends_[(place - 1) / children]);
    place = (place - 1) / children;
  }
  for (;;) {
    const std::uint32_t first = place * children + 1;
    if (first >= size) break;
    std::uint32_t least = first;
    for (std::uint32_t child = first + 1; child < std::min(first + children, size); ++child) {
      if (before(ends_[child], ends_[least])) least = child;
    }
    if (!before(ends_[least], id)) break;
    put(place, ends_[least]);
    place = least;
  }
  put(place, id);
}

void FlowNetwork::unschedule(BundleId id) {
  const std::uint32_t place = progress_[id].place;
  if (place == none) return;
  progress_[id].place = none;
  const BundleId last = ends_.back();
  ends_.pop_back();
  if (last == id) return;
  ends_[place] = last;
  progress_[last].place = place;
  sift(place);
}

std::vector<SimTime> run_flows(std::span<const BytesPerSecond> links, std::span<const FlowSpec> flows) {
  FlowNetwork network;
  for (BytesPerSecond capacity : links) network.add_link(capacity);
  for (const FlowSpec& flow : flows) network.add_flow(flow.start, flow.path, flow.size, flow.latency);
  std::vector<SimTime> ends(flows.size());
  while (network.next() < forever) {
    for (const FlowNetwork::Finished& flow : network.advance(network.next())) ends[flow.flow] = flow.time;
  }
  return ends;
}

}  // namespace stepcast
