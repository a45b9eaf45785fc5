#include <algorithm>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {
namespace {

// A leaf of 64 ports, half of them down; a pod of 16 groups of leaves, 512 nodes (DGX SuperPOD: scalable units of 32
// nodes, one leaf a rail).
constexpr std::size_t leaf_ports_down = 32;
constexpr std::size_t spines_of_a_pod = 16;
constexpr std::size_t leaves_of_a_pod = 128;
constexpr std::size_t cores = 16;

std::size_t divided_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Hops between switches, a part of the latency that the fabric's profile has from GPU to GPU.
Seconds hop_latency(const Cluster& cluster) { return cluster.fabric.nic.latency.value / 8.0; }

/// Every leaf to every spine of its pod, every spine to every core; only as many tiers as there is something to join.
void join_leaves(Topology& topology, const std::vector<std::int32_t>& leaves, BytesPerSecond into_leaf,
                 const Cluster& cluster, const TopologyOptions& options) {
  if (leaves.size() < 2) return;
  const Seconds latency = hop_latency(cluster);
  const std::size_t pods = divided_up(leaves.size(), leaves_of_a_pod);
  std::vector<std::int32_t> core;
  for (std::size_t i = 0; pods > 1 && i < cores; ++i) core.push_back(topology.add(Device::core, static_cast<int>(i)));
  for (std::size_t pod = 0; pod < pods; ++pod) {
    const std::size_t first = pod * leaves_of_a_pod;
    const std::size_t count = std::min(leaves_of_a_pod, leaves.size() - first);
    const BytesPerSecond uplink = into_leaf / (static_cast<double>(spines_of_a_pod) * options.leaf_oversubscription);
    for (std::size_t s = 0; s < spines_of_a_pod; ++s) {
      const std::int32_t spine = topology.add(Device::spine, static_cast<int>(pod * spines_of_a_pod + s));
      for (std::size_t leaf = 0; leaf < count; ++leaf) topology.connect(leaves[first + leaf], spine, uplink, latency);
      const BytesPerSecond upward =
          uplink * (static_cast<double>(count) / (static_cast<double>(cores) * options.spine_oversubscription));
      for (const std::int32_t above : core) topology.connect(spine, above, upward, latency);
    }
  }
}

void plain_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options) {
  if (nodes.empty() || nodes.front().nics.empty()) return;
  const std::size_t per_leaf = std::max<std::size_t>(1, leaf_ports_down / nodes.front().nics.size());
  std::vector<std::int32_t> leaves;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i % per_leaf == 0) leaves.push_back(topology.add(Device::leaf, static_cast<int>(leaves.size())));
    for (const std::int32_t nic : nodes[i].nics)
      topology.connect(nic, leaves.back(), cluster.fabric.nic.bandwidth, hop_latency(cluster));
  }
  const double ports = static_cast<double>(std::min(per_leaf, nodes.size()) * nodes.front().nics.size());
  join_leaves(topology, leaves, *cluster.fabric.nic.bandwidth * ports, cluster, options);
}

}  // namespace

void rail_optimised_fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster,
                             const TopologyOptions& options) {
  if (nodes.empty() || nodes.front().nics.empty()) return;
  std::vector<std::int32_t> leaves;
  const std::size_t rails = nodes.front().nics.size();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i % leaf_ports_down == 0) {
      for (std::size_t rail = 0; rail < rails; ++rail)
        leaves.push_back(topology.add(Device::leaf, static_cast<int>(leaves.size())));
    }
    for (std::size_t rail = 0; rail < nodes[i].nics.size(); ++rail)
      topology.connect(nodes[i].nics[rail], leaves[leaves.size() - rails + rail], cluster.fabric.nic.bandwidth,
                       hop_latency(cluster));
  }
  const double ports = static_cast<double>(std::min(leaf_ports_down, nodes.size()));
  join_leaves(topology, leaves, *cluster.fabric.nic.bandwidth * ports, cluster, options);
}

void fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options) {
  plain_tree(topology, nodes, cluster, options);
}

void cloud_ethernet(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options) {
  plain_tree(topology, nodes, cluster, options);
  topology.spread = Spread::by_hash;
}

}  // namespace stepcast
