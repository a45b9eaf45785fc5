#pragma once
/// The shapes, one file each: inside a node (or NVLink domain), and between NICs. A shape is how its devices are joined,
/// and how a message finds its way between two of them (PathFinder in topology.hpp).

#include <vector>

#include "simulator/cluster/topology.hpp"

namespace stepcast {

/// A node under construction.
struct NodeVertices {
  std::vector<VertexIndex> gpus;
  std::vector<VertexIndex> nics;
  std::vector<VertexIndex> bridges;  ///< PCIe switches that join the GPUs; empty where NVLink does
  VertexIndex root = -1;             ///< above the bridges
};
using Nodes = std::vector<NodeVertices>;
using Path = std::vector<VertexIndex>;

/// One of the eight hops from GPU to GPU over a leaf, a spine and a leaf: their latencies sum to the profile's.
Seconds hop_latency(const Cluster& cluster);

// --- inside: join the GPUs of a node, and the way from one to another
/// Every GPU to one plane of NVSwitches. An NVL72 rack is the same with 72 GPUs of 18 trays.
void nvswitch_node(Topology& topology, NodeVertices& node, const Cluster& cluster);
void nvswitch_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t turn, Path& path);
/// Eight GPUs as the DGX-1's hybrid cube mesh, two of six links to each of two neighbours and one to two more; other
/// numbers all to all. Where there is no link, a GPU between the two passes the message on.
void nvlink_mesh(Topology& topology, NodeVertices& node, const Cluster& cluster);
void mesh_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t turn, Path& path);
/// Pairs of GPUs behind PCIe switches, the switches behind the host.
void pcie_tree(Topology& topology, NodeVertices& node, const Cluster& cluster);
void pcie_path(const Topology& topology, VertexIndex from, VertexIndex to, std::uint64_t turn, Path& path);

// --- outside: join the NICs of all nodes; returns the way between two of them
/// A leaf for each rail of 32 nodes; spines join the leaves of a pod, cores the pods (Fabric::pod_nodes and
/// oversubscriptions).
PathFinder rail_optimised_fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster);
/// All NICs of a node on one leaf.
PathFinder fat_tree(Topology& topology, const Nodes& nodes, const Cluster& cluster);
/// The same with routes by hash: several flows may meet on one link while others are idle.
PathFinder cloud_ethernet(Topology& topology, const Nodes& nodes, const Cluster& cluster);
/// Groups of 16 routers with 16 NICs each, all to all inside; router i of every two groups share a link. Minimal routes.
PathFinder dragonfly(Topology& topology, const Nodes& nodes, const Cluster& cluster);
/// Chips in a torus of two or three dimensions, as near to a cube as their number allows. Routes go along one dimension
/// after the other.
PathFinder torus(Topology& topology, const Nodes& nodes, const Cluster& cluster);

}  // namespace stepcast
