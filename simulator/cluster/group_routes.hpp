#pragma once
/// What the rings of communication groups get of a topology: their flows routed, links shared.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "simulator/cluster/topology.hpp"

namespace stepcast {

/// Rings of all given groups at once, as NCCL lays them: inside a domain each member sends to the next; between domains as
/// many rings as a domain has members, each through the NIC of another one, so that all NICs are in use.
struct GroupRoutes {
  std::int64_t groups = 0;
  std::int64_t flows = 0, network_flows = 0;
  std::int64_t most_hops = 0;
  std::int64_t most_shared = 0;   ///< flows on the busiest link
  std::int64_t shared_links = 0;  ///< links with more than one flow
  BytesPerSecond slowest_inside;  ///< flow in a domain, links shared equally; zero: there is none
  BytesPerSecond slowest_network, mean_network;
  BytesPerSecond ring;  ///< bus bandwidth of the slowest group: its rings together
  std::string busiest;  ///< "leaf-spine": where the slowest flow is held back
  // Of the first group.
  std::int64_t domains = 0;  ///< NVLink domains that it spans
  std::int64_t most_in_a_domain = 0;
  std::int64_t switches = 0;  ///< leaf switches that its members enter the network by; zero: they do not
  std::int64_t most_on_a_switch = 0;
};

/// @param groups  ranks of each, in order
GroupRoutes ring_routes(const Topology& topology, std::span<const std::vector<std::int64_t>> groups);

}  // namespace stepcast
