#include <algorithm>

#include "simulator/base/error.hpp"
#include "simulator/cluster/fabrics/fabrics.hpp"
#include "simulator/cluster/topology.hpp"

namespace stepcast {
namespace {

struct InsideRow {
  std::string_view name;
  std::string_view description;
  void (*join)(Topology&, NodeVertices&, const Cluster&);
  void (*path)(const Topology&, VertexIndex from, VertexIndex to, std::uint64_t turn, std::vector<VertexIndex>& path);
};
constexpr InsideRow insides[] = {
    {"nvswitch", "every GPU to one plane of NVSwitches; NVL72: a rack of trays", nvswitch_node, nvswitch_path},
    {"nvlink-mesh", "NVLink without switches: DGX-1's hybrid cube mesh of 8, else all to all", nvlink_mesh, mesh_path},
    {"xgmi", "Infinity Fabric, all to all", nvlink_mesh, mesh_path},
    {"pcie", "pairs of GPUs behind PCIe switches", pcie_tree, pcie_path},
};

struct OutsideRow {
  std::string_view name;
  std::string_view description;
  PathFinder (*join)(Topology&, const Nodes&, const Cluster&);
};
constexpr OutsideRow outsides[] = {
    {"rail-optimised", "fat tree with a leaf for each rail of 32 nodes", rail_optimised_fat_tree},
    {"fat-tree", "fat tree with all NICs of a node on one leaf", fat_tree},
    {"cloud", "the same with routes by hash (ECMP)", cloud_ethernet},
    {"dragonfly", "groups of routers, all to all inside, every two groups joined router by router", dragonfly},
    {"torus", "chips in a torus of two or three dimensions (TPU)", torus},
};

template <class Rows>
const auto& shape(std::string_view kind, std::string_view name, const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) {
    if (row.name == name) return row;
    names.emplace_back(row.name);
  }
  throw UserError(unknown_name(kind, name, names));
}

/// NICs of a node behind PCIe switches with the GPUs nearest to them.
void attach_nics(Topology& topology, NodeVertices& node, const Cluster& cluster) {
  const auto gpus = node.gpus.size();
  const auto all = static_cast<std::size_t>(cluster.fabric.nics_per_node);
  if (all == 0) return;
  // NICs side by side serve one GPU together, as one vertex.
  const std::size_t together = all % gpus == 0 ? all / gpus : 1;
  const std::size_t nics = all / together;
  topology.nics_of_a_vertex = static_cast<int>(together);
  const BytesPerSecond nic = *cluster.fabric.nic.bandwidth * static_cast<double>(together);
  const Seconds latency = hop_latency(cluster);
  const auto add_nic = [&](VertexIndex above) {
    node.nics.push_back(topology.add(Device::nic, static_cast<int>(node.nics.size())));
    topology.connect(above, node.nics.back(), nic, latency);
  };
  if (!node.bridges.empty()) {  // a PCIe tree
    for (std::size_t i = 0; i < gpus; ++i)
      topology.set_bridge(node.gpus[i], node.bridges[i * node.bridges.size() / gpus]);
    const bool on_bridges = nics >= node.bridges.size();
    for (std::size_t i = 0; i < nics; ++i)
      add_nic(on_bridges ? node.bridges[i * node.bridges.size() / nics] : node.root);
    return;
  }
  const std::size_t bridges = std::min(gpus, nics);
  const std::int64_t first = topology.vertex(node.gpus.front()).place;
  // Wide enough for its NICs: more than one behind a bridge have lanes of their own.
  const double lanes = static_cast<double>((nics + bridges - 1) / bridges);
  const BytesPerSecond pcie = std::max(*cluster.node.pcie_bandwidth, nic * lanes);
  std::vector<VertexIndex> bridge;
  for (std::size_t i = 0; i < bridges; ++i)
    bridge.push_back(topology.add(Device::pcie_switch, first + static_cast<std::int64_t>(i)));
  for (std::size_t i = 0; i < gpus; ++i) {
    topology.connect(node.gpus[i], bridge[i * bridges / gpus], pcie, latency);
    topology.set_bridge(node.gpus[i], bridge[i * bridges / gpus]);
  }
  for (std::size_t i = 0; i < nics; ++i) add_nic(bridge[i * bridges / nics]);
}

Cluster with_achieved_rates(Cluster cluster) {
  cluster.node.intra.bandwidth.value *= *cluster.node.intra.efficiency;
  cluster.fabric.nic.bandwidth.value *= *cluster.fabric.nic.efficiency;
  return cluster;
}

/// NVLink domains: one node each, or the nodes of a rack.
void join_inside(Topology& topology, Nodes& nodes, const Cluster& cluster) {
  const InsideRow& inside = shape("interconnect of a node", cluster.node.interconnect, insides);
  const auto per_node = std::max(1, cluster.gpus_per_node);
  const auto together = static_cast<std::size_t>(std::max<std::int64_t>(1, cluster.domain_gpus() / per_node));
  for (std::size_t i = 0; i < nodes.size(); i += together) {
    if (together == 1) {
      inside.join(topology, nodes[i], cluster);
      continue;
    }
    NodeVertices domain;
    for (std::size_t j = i; j < std::min(i + together, nodes.size()); ++j)
      domain.gpus.insert(domain.gpus.end(), nodes[j].gpus.begin(), nodes[j].gpus.end());
    inside.join(topology, domain, cluster);
  }
  topology.domain_gpus = static_cast<std::int64_t>(together) * per_node;
  topology.inside = inside.path;
  topology.name = std::string(inside.name);
}

}  // namespace

Seconds hop_latency(const Cluster& cluster) {
  constexpr double hops = 8;  // gpu, pcie, nic, leaf, spine, leaf, nic, pcie, gpu
  return *cluster.fabric.nic.latency / hops;
}

Topology build_topology(const Cluster& given, const TopologyOptions& options) {
  if (given.gpus > largest_topology) {
    throw UserError("a topology of " + std::to_string(given.gpus) + " GPUs is beyond the " +
                    std::to_string(largest_topology) + " that fit in memory: ask for fewer nodes (--nodes)");
  }
  const Cluster cluster = options.achieved ? with_achieved_rates(given) : given;
  if (!(*cluster.fabric.leaf_oversubscription > 0) || !(*cluster.fabric.spine_oversubscription > 0))
    throw UserError("an oversubscription is a number above zero: 7 for 7:1");
  const bool chips = cluster.fabric.topology == "torus";  // they have no NICs
  const bool network = cluster.gpus > cluster.domain_gpus();
  Topology topology;
  Nodes nodes;
  const std::int64_t per_node = std::max(1, cluster.gpus_per_node);
  for (std::int64_t rank = 0; rank < cluster.gpus; ++rank) {
    if (rank % per_node == 0) nodes.emplace_back();
    nodes.back().gpus.push_back(topology.add(Device::gpu, rank));
  }
  if (!chips) join_inside(topology, nodes, cluster);
  if (network && !chips) {
    for (NodeVertices& node : nodes) attach_nics(topology, node, cluster);
  }
  if (network || chips) {
    const OutsideRow& outside = shape("topology of a fabric", cluster.fabric.topology, outsides);
    topology.outside = outside.join(topology, nodes, cluster);
    topology.name += (topology.name.empty() ? "" : ", ") + std::string(outside.name);
  }
  topology.finish();
  return topology;
}

std::vector<FabricShape> list_fabric_shapes() {
  std::vector<FabricShape> shapes;
  for (const InsideRow& row : insides) shapes.push_back({row.name, row.description});
  for (const OutsideRow& row : outsides) shapes.push_back({row.name, row.description});
  return shapes;
}

}  // namespace stepcast
