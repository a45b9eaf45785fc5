#include <algorithm>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {

// The switches that every node has between GPUs and NICs are in topology.cpp; here the GPUs have no other way.
void pcie_tree(Topology& topology, const NodeVertices& node, const Cluster& cluster) {
  if (node.gpus.size() < 2) return;
  const std::int64_t first = topology.vertices()[node.gpus.front()].place;
  const std::int32_t host = topology.add(Device::pcie_switch, first);
  constexpr std::size_t pair = 2;
  for (std::size_t i = 0; i < node.gpus.size(); i += pair) {
    const std::int32_t bridge = topology.add(Device::pcie_switch, first + static_cast<std::int64_t>(i));
    for (std::size_t j = i; j < std::min(i + pair, node.gpus.size()); ++j)
      topology.connect(node.gpus[j], bridge, cluster.node.intra.bandwidth, cluster.node.intra.latency.value / 4.0);
    topology.connect(bridge, host, cluster.node.intra.bandwidth, cluster.node.intra.latency.value / 4.0);
  }
}

}  // namespace stepcast
