#include <algorithm>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {
namespace {

// Shaped like HPE Slingshot's dragonfly (De Sensi et al. 2020, arXiv 2008.08886): 64-port switches, 16 ports of each
// down, switches of a group all to all.
constexpr std::size_t nics_of_a_router = 16;
constexpr std::size_t routers_of_a_group = 16;

/// At most one link between groups and one inside each: the router that has the link to the other group is found by its
/// number, which is that of the source's router or, where the last group is too small to have it, the destination's.
void dragonfly_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t, Path& path) {
  const VertexIndex first = topology.neighbours(from, Device::router).front();
  const VertexIndex last = topology.neighbours(to, Device::router).front();
  path.push_back(first);
  if (first != last && topology.between(first, last) == nullptr) {
    const auto routers = static_cast<VertexIndex>(routers_of_a_group);
    const VertexIndex number = topology.vertex(first).place, target = topology.vertex(last).place;
    const VertexIndex zero = first - number;  // routers follow one another
    VertexIndex between = zero + target / routers * routers + number % routers;
    const bool exists = static_cast<std::size_t>(between) < topology.vertices().size() &&
                        topology.between(first, between) != nullptr && topology.between(between, last) != nullptr;
    if (!exists) between = zero + number / routers * routers + target % routers;
    path.push_back(between);
  }
  if (first != last) path.push_back(last);
  path.push_back(to);
}

}  // namespace

PathFinder dragonfly(Topology& topology, const Nodes& nodes, const Cluster& cluster) {
  const BytesPerSecond nic = *cluster.fabric.nic.bandwidth * static_cast<double>(topology.nics_of_a_vertex);
  const Seconds latency = hop_latency(cluster);
  std::vector<Path> groups;
  std::size_t on_router = nics_of_a_router;
  for (const NodeVertices& node : nodes) {
    for (const VertexIndex vertex : node.nics) {
      if (on_router == nics_of_a_router) {
        if (groups.empty() || groups.back().size() == routers_of_a_group) groups.emplace_back();
        const std::size_t number = (groups.size() - 1) * routers_of_a_group + groups.back().size();
        groups.back().push_back(topology.add(Device::router, static_cast<int>(number)));
        on_router = 0;
      }
      topology.connect(vertex, groups.back().back(), nic, latency);
      ++on_router;
    }
  }
  for (const auto& group : groups) {
    for (std::size_t a = 0; a < group.size(); ++a)
      for (std::size_t b = a + 1; b < group.size(); ++b) topology.connect(group[a], group[b], 2 * nic, latency);
  }
  if (groups.size() < 2) return dragonfly_path;
  // All that a group's NICs send, shared out over the other groups and over its routers.
  const double share = static_cast<double>(nics_of_a_router) / static_cast<double>(groups.size() - 1);
  for (std::size_t a = 0; a < groups.size(); ++a) {
    for (std::size_t b = a + 1; b < groups.size(); ++b) {
      for (std::size_t i = 0; i < std::min(groups[a].size(), groups[b].size()); ++i)
        topology.connect(groups[a][i], groups[b][i], nic * share, latency);
    }
  }
  return dragonfly_path;
}

}  // namespace stepcast
