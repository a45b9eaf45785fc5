#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {

void nvswitch_node(Topology& topology, NodeVertices& node, const Cluster& cluster) {
  if (node.gpus.size() < 2) return;
  const VertexIndex plane = topology.add(Device::nvswitch, topology.vertex(node.gpus.front()).place);
  for (const VertexIndex gpu : node.gpus)
    topology.connect(gpu, plane, cluster.node.intra.bandwidth, *cluster.node.intra.latency / 2.0);
}

void nvswitch_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t, Path& path) {
  for (const Link& link : topology.leaving(from)) {
    if (topology.vertex(link.to).device == Device::nvswitch) path.push_back(link.to);
  }
  path.push_back(to);
}

}  // namespace stepcast
