#include <algorithm>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {

void dragonfly(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions&) {
  constexpr std::size_t nics_of_a_router = 16;
  constexpr std::size_t routers_of_a_group = 16;
  const BytesPerSecond nic = cluster.fabric.nic.bandwidth;
  const Seconds latency = cluster.fabric.nic.latency.value / 6.0;
  std::vector<std::vector<std::int32_t>> groups;
  std::size_t on_router = nics_of_a_router;
  for (const NodeVertices& node : nodes) {
    for (const std::int32_t vertex : node.nics) {
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
  if (groups.size() < 2) return;
  // All that a group's NICs send, shared out over the other groups and over its routers.
  const double share = static_cast<double>(nics_of_a_router) / static_cast<double>(groups.size() - 1);
  for (std::size_t a = 0; a < groups.size(); ++a) {
    for (std::size_t b = a + 1; b < groups.size(); ++b) {
      for (std::size_t i = 0; i < std::min(groups[a].size(), groups[b].size()); ++i)
        topology.connect(groups[a][i], groups[b][i], nic * share, latency);
    }
  }
}

}  // namespace stepcast
