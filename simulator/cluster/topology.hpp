#pragma once
/// A cluster as a graph: GPUs, switches of every tier, NICs, and the links between them.
///
///   const Topology topology = build_topology(cluster);
///   topology.bisection();                     // what half of the GPUs can send to the other half
///   std::vector<LinkIndex> path;
///   topology.route(from_rank, to_rank, path);  // indices into links()
///
/// Routes are worked out from the shape of the fabric when they are asked for: a route costs what it is long, and nothing
/// is kept for pairs. The graph costs about 40 bytes a vertex and 36 a link (131,072 GPUs on a fat tree: 70 MB);
/// build_topology() refuses clusters beyond `largest_topology`.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/cluster/placement.hpp"

namespace stepcast {

enum class Device : std::uint8_t { gpu, nvswitch, pcie_switch, nic, router, leaf, spine, core };
inline constexpr int device_count = 8;
std::string_view name_of(Device device);

using VertexIndex = std::int32_t;
using LinkIndex = std::uint32_t;

struct Vertex {
  Device device{};
  std::int32_t place = 0;  ///< of a GPU: its rank; of a NIC: its rail; else a number within its tier
};

/// One direction.
struct Link {
  VertexIndex from = 0, to = 0;
  BytesPerSecond bandwidth;
  Seconds latency;  ///< its share of the latency that the profile has for one step from GPU to GPU
};

/// How routes are spread over paths of equal length.
enum class Spread : std::uint8_t {
  by_destination,  ///< destinations take turns (d-mod-k, adaptive routing at its best)
  by_hash          ///< a hash of source and destination, as ECMP does: flows may collide
};

inline constexpr std::int64_t largest_topology = 262'144;  ///< GPUs

struct TopologyOptions {
  bool achieved =
      false;  ///< links carry what a large transfer reaches (LinkTier::efficiency), not the data sheet's rate
};

class Topology;

/// Appends the vertices after `from` up to and including `to`. Both are ends of the part of the graph that it knows: GPUs
/// of one NVLink domain, or NICs (chips of a torus). Of paths of equal length the `turn`-th, modulo their number.
using PathFinder = std::function<void(const Topology&, VertexIndex from, VertexIndex to, std::uint64_t turn,
                                      std::vector<VertexIndex>& path)>;

class Topology {
 public:
  // --- building
  VertexIndex add(Device device, std::int64_t place);
  /// Both directions. @throws UserError when the bandwidth is not above zero
  void connect(VertexIndex a, VertexIndex b, BytesPerSecond bandwidth, Seconds latency);
  /// What lies between a GPU and its NICs.
  void set_bridge(VertexIndex gpu, VertexIndex bridge);
  /// Sorts the links by the vertex that they leave. Nothing may be added afterwards, and all below needs it.
  /// @throws UserError when some GPU cannot reach another
  void finish();

  std::string name;  ///< what it is: "nvswitch, rail-optimised"
  Spread spread = Spread::by_destination;
  std::int64_t domain_gpus = 0;  ///< GPUs that find each other inside; zero: there is no inside
  int nics_of_a_vertex = 1;      ///< NICs that serve one GPU side by side count as one vertex
  PathFinder inside, outside;

  // --- the graph
  std::span<const Vertex> vertices() const { return vertices_; }
  const Vertex& vertex(VertexIndex index) const { return vertices_[static_cast<std::size_t>(index)]; }
  std::span<const Link> links() const { return links_; }
  /// The vertex of each rank.
  std::span<const VertexIndex> gpus() const { return gpus_; }
  /// The links that leave a vertex, by the vertex that they lead to.
  std::span<const Link> leaving(VertexIndex vertex) const;
  /// nullptr: there is none.
  const Link* between(VertexIndex from, VertexIndex to) const;
  LinkIndex index_of(const Link& link) const { return static_cast<LinkIndex>(&link - links_.data()); }
  /// Neighbours of a kind, in ascending order.
  std::vector<VertexIndex> neighbours(VertexIndex vertex, Device device) const;

  // --- what it can do
  /// The links from one rank to another, appended to `path`: inside a domain by NVLink (or its like), else through the
  /// NICs of both. None from a rank to itself.
  void route(std::int64_t from, std::int64_t to, std::vector<LinkIndex>& path) const;
  /// The leaf switch (router) that a rank's traffic enters the network by; -1 where there is none.
  VertexIndex switch_of(std::int64_t rank) const;
  /// The links up to there, appended.
  void route_to_switch(std::int64_t rank, std::vector<LinkIndex>& path) const;
  /// Max-flow between the first and the second half of the ranks.
  BytesPerSecond bisection() const;

  struct Diameter {
    std::int64_t hops = 0;
    std::int64_t sources = 0;  ///< GPUs that were measured from: all, or a sample of large clusters
  };
  /// Links between the GPUs that are farthest apart, by the shortest way.
  Diameter diameter() const;
  /// Links to every vertex by the shortest way; -1: there is none.
  std::vector<std::int32_t> hops_from(VertexIndex source) const;

 private:
  /// From a GPU to the NIC that its traffic for `to` leaves by, that NIC last.
  void to_network(VertexIndex gpu, std::uint64_t turn, std::vector<VertexIndex>& path) const;

  void append_links(std::span<const VertexIndex> way, std::vector<LinkIndex>& path) const;

  std::vector<Vertex> vertices_;
  std::vector<Link> links_;
  std::vector<std::int32_t> first_link_;  ///< of each vertex, and one more
  std::vector<VertexIndex> gpus_;
  std::vector<VertexIndex> bridge_;  ///< of each rank
};

/// The graph of a cluster, by its node's interconnect and its fabric's topology.
/// @throws UserError for more GPUs than largest_topology, zero bandwidth, a shape that is not known
Topology build_topology(const Cluster& cluster, const TopologyOptions& options = {});

/// The shapes that profiles may name.
struct FabricShape {
  std::string_view name;  ///< Node::interconnect or Fabric::topology
  std::string_view description;
};
std::vector<FabricShape> list_fabric_shapes();

}  // namespace stepcast
