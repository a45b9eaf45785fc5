#include "simulator/execution/network.hpp"

#include <algorithm>
#include <bit>

namespace stepcast {
namespace {

/// What is smaller is latency, and fills no link.
constexpr Bytes smallest_shared(64 * 1024.0);

}  // namespace

Network::Network(const Interconnect& interconnect, const RankGrid& grid, bool fold, const std::vector<Code>& stages)
    : interconnect_(interconnect),
      gpus_(grid, false),
      ranks_of_one_(fold ? static_cast<std::int32_t>(grid.ranks_per_stage()) : 1) {
  for (std::size_t link = 0; link < interconnect.links.size(); ++link) {
    flows_.add_link(interconnect.links[link] * interconnect.health(static_cast<LinkId>(link)));
  }
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const auto rank = static_cast<std::int32_t>(static_cast<std::int64_t>(stage) * grid.ranks_per_stage());
    std::uint32_t inside = 0;
    for (const Operation& operation : stages[stage].operations) {
      if (operation.wire < smallest_shared) continue;
      std::int32_t other = rank;
      if (operation.kind == InstructionKind::collective) {
        const RankGroup group = gpus_.group(rank, operation.group);
        other = group.member(group.count - 1);
      } else if (operation.peer_stage >= 0) {
        other = gpus_.peer(rank, operation.peer_stage);
      }
      if (domain(rank) == domain(other)) inside |= 1U << static_cast<unsigned>(operation.stream);
    }
    shares_inside_ = shares_inside_ || std::popcount(inside) > 1;
  }
}

bool Network::worth_sharing(const Operation& operation, std::int32_t from, std::int32_t to) const {
  if (operation.wire < smallest_shared || operation.duration.ps == 0 || from == to) return false;
  return shares_inside_ || domain(from) != domain(to);
}

bool Network::start_collective(SimTime now, std::int32_t rank, const Operation& operation, FlowId& flow) {
  const RankGroup group = gpus_.group(rank * ranks_of_one_, operation.group);
  if (!worth_sharing(operation, group.member(0), group.member(group.count - 1))) return false;
  auto [known, is_new] = path_of_group_.try_emplace(group.id);
  if (is_new) {
    std::vector<std::int64_t> members;
    for (std::int32_t i = 0; i < group.count; ++i) members.push_back(gpu(group.member(i)));
    known->second = ring_path(interconnect_, members);
  }
  flow = start(now, known->second, operation);
  return true;
}

bool Network::start_message(SimTime now, std::int32_t from, std::int32_t to, const Operation& operation, FlowId& flow) {
  from *= ranks_of_one_;
  to *= ranks_of_one_;
  if (!worth_sharing(operation, from, to)) return false;
  path_.clear();
  interconnect_.route(gpu(from), gpu(to), path_);
  flow = start(now, std::vector(path_), operation);
  return true;
}

FlowId Network::start(SimTime now, std::span<const LinkId> path, const Operation& operation) {
  BytesPerSecond rate = operation.wire / operation.duration.seconds();
  for (std::size_t i = 0; i < path.size();) {
    std::size_t end = i;
    while (end < path.size() && path[end] == path[i]) ++end;
    rate = std::min(rate, interconnect_.links[path[i]] / static_cast<double>(end - i));
    i = end;
  }
  LinkId own;
  if (free_links_.empty()) {
    own = flows_.add_link(rate);
  } else {
    own = free_links_.back();
    free_links_.pop_back();
    flows_.set_capacity(own, rate);
  }
  path_.assign(path.begin(), path.end());
  path_.push_back(own);
  const FlowId flow = flows_.add_flow(now, path_, rate * operation.duration.seconds());
  if (flow >= own_link_.size()) own_link_.resize(flow + 1);
  own_link_[flow] = own;
  return flow;
}

void Network::watch(std::int32_t rank, std::int32_t neighbour) {
  path_.clear();
  interconnect_.route(gpu(rank * ranks_of_one_), gpu(neighbour * ranks_of_one_), path_);
  interconnect_.route(gpu(neighbour * ranks_of_one_), gpu(rank * ranks_of_one_), path_);
  if (path_.empty()) return;
  for (LinkId link : {path_.front(), path_.back()}) {
    if (std::find(watched_links_.begin(), watched_links_.end(), link) != watched_links_.end()) continue;
    watched_links_.push_back(link);
    watched_.push_back({interconnect_.name(link), rank, {{SimTime{}, 0.0}}});
  }
}

void Network::sample() {
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    const double share = flows_.load(watched_links_[i]) / interconnect_.links[watched_links_[i]];
    auto& samples = watched_[i].samples;
    if (samples.back().second == share) continue;
    if (samples.back().first == changed_) samples.pop_back();
    samples.emplace_back(changed_, share);
  }
}

std::span<const FlowNetwork::Finished> Network::advance(SimTime now) {
  if (now > changed_) sample();
  changed_ = now;
  const auto finished = flows_.advance(now);
  for (const auto& [flow, time] : finished) free_links_.push_back(own_link_[flow]);
  return finished;
}

}  // namespace stepcast
