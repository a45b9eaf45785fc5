#include <algorithm>
#include <cmath>

#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {
namespace {

// A leaf of 64 ports, half of them down (DGX SuperPOD: scalable units of 32 nodes, one leaf a rail).
constexpr std::size_t leaf_ports_down = 32;
constexpr std::size_t most_spines_of_a_pod = 16;
constexpr std::size_t most_cores = 16;

std::size_t divided_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// The leaves of a pod when the profile does not say its nodes: what the ports of its spines join.
constexpr std::size_t usual_leaves_of_a_pod = 128;

VertexIndex one_of(const Path& vertices, std::uint64_t turn) { return vertices[turn % vertices.size()]; }

/// Up to where both ends are below, and down again.
void tree_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t turn, Path& path) {
  const VertexIndex up = topology.neighbours(from, Device::leaf).front();
  const VertexIndex down = topology.neighbours(to, Device::leaf).front();
  path.push_back(up);
  if (up != down) {
    const VertexIndex spine = one_of(topology.neighbours(up, Device::spine), turn);
    path.push_back(spine);
    if (topology.between(spine, down) == nullptr) {  // another pod
      // The spines of a destination and its core are chosen apart: ports of one leaf spread over both.
      const VertexIndex other = one_of(topology.neighbours(down, Device::spine), turn);
      path.push_back(one_of(topology.neighbours(spine, Device::core), turn + static_cast<std::uint64_t>(down)));
      path.push_back(other);
    }
    path.push_back(down);
  }
  path.push_back(to);
}

/// Switches of the next tier that `ports` of one below are spread over: a link is at least a port wide.
std::size_t switches_above(double ports, std::size_t most) {
  return static_cast<std::size_t>(std::clamp(std::floor(ports), 1.0, static_cast<double>(most)));
}

/// Every leaf to every spine of its pod, every spine to every core; only as many tiers and switches as there is something
/// to join.
void join_leaves(Topology& topology, const Path& leaves, double ports_down, BytesPerSecond port,
                 std::size_t leaves_of_a_pod, const Cluster& cluster) {
  if (leaves.size() < 2) return;
  const Seconds latency = hop_latency(cluster);
  const std::size_t pods = divided_up(leaves.size(), leaves_of_a_pod);
  const double leaf_ports = ports_down / *cluster.fabric.leaf_oversubscription;
  const std::size_t spines = switches_above(leaf_ports, most_spines_of_a_pod);
  const double spine_ports = leaf_ports / static_cast<double>(spines) *
                             static_cast<double>(std::min(leaves_of_a_pod, leaves.size())) /
                             *cluster.fabric.spine_oversubscription;
  Path core;
  for (std::size_t i = 0; pods > 1 && i < switches_above(spine_ports, most_cores); ++i)
    core.push_back(topology.add(Device::core, static_cast<int>(i)));
  for (std::size_t pod = 0; pod < pods; ++pod) {
    const std::size_t first = pod * leaves_of_a_pod;
    const std::size_t count = std::min(leaves_of_a_pod, leaves.size() - first);
    const BytesPerSecond uplink = port * (leaf_ports / static_cast<double>(spines));
    const BytesPerSecond upward =
        uplink * (static_cast<double>(count) / static_cast<double>(core.size() + core.empty()) /
                  *cluster.fabric.spine_oversubscription);
    for (std::size_t s = 0; s < spines; ++s) {
      const VertexIndex spine = topology.add(Device::spine, static_cast<int>(pod * spines + s));
      for (std::size_t leaf = 0; leaf < count; ++leaf) topology.connect(leaves[first + leaf], spine, uplink, latency);
      for (const VertexIndex above : core) topology.connect(spine, above, upward, latency);
    }
  }
}

/// Leaves below the spines of one pod.
std::size_t leaves_of_pod(const Cluster& cluster, std::size_t nodes_of_a_leaf, std::size_t leaves_of_a_unit) {
  const auto nodes = static_cast<std::size_t>(*cluster.fabric.pod_nodes);
  return nodes == 0 ? usual_leaves_of_a_pod : divided_up(nodes, nodes_of_a_leaf) * leaves_of_a_unit;
}

/// Of the NICs that are one vertex.
BytesPerSecond port_rate(const Topology& topology, const Cluster& cluster) {
  return *cluster.fabric.nic.bandwidth * static_cast<double>(topology.nics_of_a_vertex);
}

PathFinder plain_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster) {
  if (nodes.empty() || nodes.front().nics.empty()) return tree_path;
  const std::size_t per_leaf = std::max<std::size_t>(1, leaf_ports_down / nodes.front().nics.size());
  Path leaves;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i % per_leaf == 0) leaves.push_back(topology.add(Device::leaf, static_cast<int>(leaves.size())));
    for (const VertexIndex nic : nodes[i].nics)
      topology.connect(nic, leaves.back(), port_rate(topology, cluster), hop_latency(cluster));
  }
  const double ports = static_cast<double>(std::min(per_leaf, nodes.size()) * nodes.front().nics.size());
  join_leaves(topology, leaves, ports, port_rate(topology, cluster), leaves_of_pod(cluster, per_leaf, 1), cluster);
  return tree_path;
}

}  // namespace

PathFinder rail_optimised_fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster) {
  if (nodes.empty() || nodes.front().nics.empty()) return tree_path;
  Path leaves;
  const std::size_t rails = nodes.front().nics.size();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (i % leaf_ports_down == 0) {
      for (std::size_t rail = 0; rail < rails; ++rail)
        leaves.push_back(topology.add(Device::leaf, static_cast<int>(leaves.size())));
    }
    for (std::size_t rail = 0; rail < nodes[i].nics.size(); ++rail)
      topology.connect(nodes[i].nics[rail], leaves[leaves.size() - rails + rail], port_rate(topology, cluster),
                       hop_latency(cluster));
  }
  const double ports = static_cast<double>(std::min(leaf_ports_down, nodes.size()));
  join_leaves(topology, leaves, ports, port_rate(topology, cluster), leaves_of_pod(cluster, leaf_ports_down, rails),
              cluster);
  return tree_path;
}

PathFinder fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster) {
  return plain_tree(topology, nodes, cluster);
}

PathFinder cloud_ethernet(Topology& topology, const Nodes& nodes, const Cluster& cluster) {
  topology.spread = Spread::by_hash;
  return plain_tree(topology, nodes, cluster);
}

}  // namespace stepcast
