#pragma once
/// A cluster as a graph: GPUs, switches of every tier, NICs, and the links between them.
///
///   const Topology topology = build_topology(cluster);
///   topology.bisection();   // what half of the GPUs can send to the other half
///
/// Costs about 60 bytes a vertex and 32 a link; refuses clusters beyond `largest_topology`.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/cluster/placement.hpp"

namespace stepcast {

enum class Device : std::uint8_t { gpu, nvswitch, pcie_switch, nic, router, leaf, spine, core };
inline constexpr int device_count = 8;
std::string_view name_of(Device device);

struct Vertex {
  Device device{};
  std::int32_t place = 0;  ///< of a GPU: its rank; of a NIC: its rail; else a number within its tier
};

/// One direction.
struct Link {
  std::int32_t from = 0, to = 0;
  BytesPerSecond bandwidth;
  Seconds latency;
};

/// How routes are spread over paths of equal length.
enum class Spread : std::uint8_t {
  by_destination,  ///< destinations take turns (d-mod-k, adaptive routing at its best)
  by_hash          ///< a hash of source and destination, as ECMP does: flows may collide
};

inline constexpr std::int64_t largest_topology = 262'144;  ///< GPUs

struct TopologyOptions {
  double leaf_oversubscription = 1;   ///< what enters a leaf from below over what leaves it upwards
  double spine_oversubscription = 1;  ///< the same of a spine, towards the core
};

/// What the members of a group get when each sends to the next of the ring.
struct GroupRoutes {
  std::int64_t flows = 0;
  std::int64_t most_hops = 0;
  std::int64_t most_shared = 0;   ///< flows on the busiest link
  std::int64_t shared_links = 0;  ///< links with more than one flow
  BytesPerSecond bandwidth;       ///< of the slowest flow, links shared equally
  std::string busiest;            ///< "leaf-spine"
};

class Topology {
 public:
  std::int32_t add(Device device, std::int64_t place);
  /// Both directions. @throws UserError when the bandwidth is not above zero
  void connect(std::int32_t a, std::int32_t b, BytesPerSecond bandwidth, Seconds latency);

  std::span<const Vertex> vertices() const { return vertices_; }
  std::span<const Link> links() const { return links_; }
  /// The vertex of each rank.
  std::span<const std::int32_t> gpus() const { return gpus_; }

  /// @throws UserError when some GPU cannot reach another
  void check_connected() const;
  /// Max-flow between the first and the second half of the ranks.
  BytesPerSecond bisection() const;

  struct Diameter {
    std::int64_t hops = 0;
    std::int64_t sources = 0;  ///< GPUs that were measured from: all, or a sample of large clusters
  };
  Diameter diameter() const;

  /// Each list of ranks is a ring; all run at once.
  GroupRoutes routes(std::span<const std::vector<std::int64_t>> groups) const;

  std::string name;  ///< what it is: "rail-optimised fat tree"
  Spread spread = Spread::by_destination;

 private:
  std::vector<Vertex> vertices_;
  std::vector<Link> links_;
  std::vector<std::int32_t> gpus_;
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
