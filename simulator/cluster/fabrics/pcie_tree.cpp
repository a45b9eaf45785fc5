#include <algorithm>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {

void pcie_tree(Topology& topology, NodeVertices& node, const Cluster& cluster) {
  if (node.gpus.size() < 2) return;
  const std::int64_t first = topology.vertex(node.gpus.front()).place;
  const LinkTier& tier = cluster.node.intra;
  const Seconds latency = *tier.latency / 4.0;  // gpu, bridge, root, bridge, gpu
  node.root = topology.add(Device::pcie_switch, first);
  constexpr std::size_t pair = 2;
  for (std::size_t i = 0; i < node.gpus.size(); i += pair) {
    node.bridges.push_back(topology.add(Device::pcie_switch, first + static_cast<std::int64_t>(i)));
    for (std::size_t j = i; j < std::min(i + pair, node.gpus.size()); ++j)
      topology.connect(node.gpus[j], node.bridges.back(), tier.bandwidth, latency);
    topology.connect(node.bridges.back(), node.root, tier.bandwidth, latency);
  }
}

void pcie_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t, Path& path) {
  const VertexIndex up = topology.neighbours(from, Device::pcie_switch).front();
  const VertexIndex down = topology.neighbours(to, Device::pcie_switch).front();
  path.push_back(up);
  if (up != down) {
    for (const VertexIndex root : topology.neighbours(up, Device::pcie_switch))
      if (topology.between(root, down) != nullptr) path.push_back(root);
    path.push_back(down);
  }
  path.push_back(to);
}

}  // namespace stepcast
