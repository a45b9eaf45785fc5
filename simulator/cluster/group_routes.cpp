#include "simulator/cluster/group_routes.hpp"

#include <algorithm>
#include <map>

namespace stepcast {
namespace {

/// One message of a ring on its way.
struct Flow {
  std::size_t first, last;  ///< places in the list of links
  std::size_t group;
  bool network;
};

/// Members of a group by domain, both in the order in which the group names them.
std::vector<std::vector<std::int64_t>> by_domain(const Topology& topology, const std::vector<std::int64_t>& group) {
  std::map<std::int64_t, std::size_t> places;
  std::vector<std::vector<std::int64_t>> members;
  for (const std::int64_t rank : group) {
    const std::int64_t domain = topology.domain_gpus > 0 ? rank / topology.domain_gpus : rank;
    const auto [place, added] = places.try_emplace(domain, members.size());
    if (added) members.emplace_back();
    members[place->second].push_back(rank);
  }
  return members;
}

class Rings {
 public:
  explicit Rings(const Topology& topology) : topology_(topology), flows_of_(topology.links().size(), 0) {}

  void add(std::size_t number, const std::vector<std::int64_t>& group) {
    const auto domains = by_domain(topology_, group);
    std::size_t rings = group.size();
    for (std::size_t d = 0; d < domains.size(); ++d) {
      const auto& members = domains[d];
      for (std::size_t i = 0; members.size() > 1 && i < members.size(); ++i)
        send(number, members[i], members[(i + 1) % members.size()], false);
      rings = std::min(rings, members.size());
    }
    for (std::size_t d = 0; domains.size() > 1 && d < domains.size(); ++d)
      for (std::size_t ring = 0; ring < rings; ++ring)
        send(number, domains[d][ring], domains[(d + 1) % domains.size()][ring], true);
    rings_.push_back(static_cast<double>(rings));
  }

  GroupRoutes result() const {
    GroupRoutes result;
    result.groups = static_cast<std::int64_t>(rings_.size());
    result.flows = static_cast<std::int64_t>(flows_.size());
    for (const std::int64_t count : flows_of_) {
      result.shared_links += count > 1;
      result.most_shared = std::max(result.most_shared, count);
    }
    std::vector<BytesPerSecond> slowest[2];
    for (auto& of_groups : slowest) of_groups.assign(rings_.size(), BytesPerSecond(0));
    BytesPerSecond held_back(0), network(0);
    for (const Flow& flow : flows_) {
      const auto [rate, link] = rate_of(flow);
      result.most_hops = std::max(result.most_hops, static_cast<std::int64_t>(flow.last - flow.first));
      BytesPerSecond& least = flow.network ? result.slowest_network : result.slowest_inside;
      least = least == BytesPerSecond(0) ? rate : std::min(least, rate);
      BytesPerSecond& of_group = slowest[flow.network][flow.group];
      of_group = of_group == BytesPerSecond(0) ? rate : std::min(of_group, rate);
      if (flow.network) {
        ++result.network_flows;
        network += rate;
      }
      if (!result.busiest.empty() && rate >= held_back) continue;
      held_back = rate;
      result.busiest = std::string(name_of(topology_.vertex(link->from).device)) + "-" +
                       std::string(name_of(topology_.vertex(link->to).device));
    }
    if (result.network_flows > 0) result.mean_network = network / static_cast<double>(result.network_flows);
    for (std::size_t group = 0; group < rings_.size(); ++group) {
      const BytesPerSecond inside = slowest[0][group], outside = slowest[1][group] * rings_[group];
      BytesPerSecond ring = outside == BytesPerSecond(0) ? inside : outside;
      if (inside > BytesPerSecond(0)) ring = std::min(ring, inside);
      result.ring = group == 0 ? ring : std::min(result.ring, ring);
    }
    return result;
  }

 private:
  void send(std::size_t group, std::int64_t from, std::int64_t to, bool network) {
    const std::size_t first = path_.size();
    topology_.route(from, to, path_);
    flows_.push_back({first, path_.size(), group, network});
    for (std::size_t i = first; i < path_.size(); ++i) ++flows_of_[path_[i]];
  }

  std::pair<BytesPerSecond, const Link*> rate_of(const Flow& flow) const {
    std::pair<BytesPerSecond, const Link*> least{BytesPerSecond(0), nullptr};
    for (std::size_t i = flow.first; i < flow.last; ++i) {
      const Link& link = topology_.links()[path_[i]];
      const BytesPerSecond share = link.bandwidth / static_cast<double>(flows_of_[path_[i]]);
      if (least.second == nullptr || share < least.first) least = {share, &link};
    }
    return least;
  }

  const Topology& topology_;
  std::vector<std::int64_t> flows_of_;  ///< of each link
  std::vector<LinkIndex> path_;         ///< of all flows, one after the other
  std::vector<Flow> flows_;
  std::vector<double> rings_;  ///< of each group
};

}  // namespace

GroupRoutes ring_routes(const Topology& topology, std::span<const std::vector<std::int64_t>> groups) {
  Rings rings(topology);
  for (std::size_t i = 0; i < groups.size(); ++i) rings.add(i, groups[i]);
  GroupRoutes result = rings.result();
  if (groups.empty()) return result;
  for (const auto& members : by_domain(topology, groups.front())) {
    ++result.domains;
    result.most_in_a_domain = std::max(result.most_in_a_domain, static_cast<std::int64_t>(members.size()));
  }
  std::map<VertexIndex, std::int64_t> on;
  for (const std::int64_t rank : groups.front()) ++on[topology.switch_of(rank)];
  on.erase(-1);
  result.switches = static_cast<std::int64_t>(on.size());
  for (const auto& [leaf, count] : on) result.most_on_a_switch = std::max(result.most_on_a_switch, count);
  return result;
}

}  // namespace stepcast
