#pragma once
/// The shapes, one function each: inside a node (or NVLink domain), and between NICs.

#include <vector>

#include "simulator/cluster/topology.hpp"

namespace stepcast {

/// A node under construction.
struct NodeVertices {
  std::vector<std::int32_t> gpus;
  std::vector<std::int32_t> nics;
};

// --- inside: join the GPUs of `node`
/// Every GPU to one plane of NVSwitches. An NVL72 rack is the same with 72 GPUs of 18 trays.
void nvswitch_node(Topology& topology, const NodeVertices& node, const Cluster& cluster);
/// Eight GPUs as the DGX-1's hybrid cube mesh, two of six links to each of two neighbours and one to two more; other
/// numbers all to all.
void nvlink_mesh(Topology& topology, const NodeVertices& node, const Cluster& cluster);
/// Pairs of GPUs behind PCIe switches, the switches behind the host.
void pcie_tree(Topology& topology, const NodeVertices& node, const Cluster& cluster);

// --- outside: join the NICs of all nodes
using Nodes = std::vector<NodeVertices>;
/// A leaf for each rail of 32 nodes; spines join the leaves of a pod, cores the pods.
void rail_optimised_fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster,
                             const TopologyOptions& options);
/// All NICs of a node on one leaf.
void fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options);
/// The same with routes by hash: several flows may meet on one link while others are idle.
void cloud_ethernet(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options);
/// Groups of 16 routers with 16 NICs each, all to all inside; router i of every two groups share a link.
void dragonfly(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options);
/// Chips in a torus of two or three dimensions, as near to a cube as their number allows.
void torus(Topology& topology, const Nodes& nodes, const Cluster& cluster, const TopologyOptions& options);

}  // namespace stepcast
