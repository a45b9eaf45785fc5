#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {

void nvswitch_node(Topology& topology, const NodeVertices& node, const Cluster& cluster) {
  if (node.gpus.size() < 2) return;
  const std::int32_t plane = topology.add(Device::nvswitch, topology.vertices()[node.gpus.front()].place);
  for (const std::int32_t gpu : node.gpus) {
    topology.connect(gpu, plane, cluster.node.intra.bandwidth, cluster.node.intra.latency.value / 2.0);
  }
}

}  // namespace stepcast
