#pragma once
/// A cluster's graph for people, programs and Graphviz.

#include <optional>
#include <string>

#include "simulator/cluster/group_routes.hpp"

namespace stepcast {

struct TopologySummary {
  std::string cluster;  ///< "dgx-h100-superpod: 128 nodes of dgx-h100, 1,024 GPUs"
  BytesPerSecond bisection;
  Topology::Diameter diameter;

  struct Group {
    std::string name;  ///< "tensor_parallel of 8, ranks 1 apart"
    std::int64_t ranks = 0;
    GroupRoutes alone;                    ///< one group on an idle network
    std::optional<GroupRoutes> together;  ///< all groups of the kind at once
  };
  std::optional<Group> group;
};

std::string topology_text(const Topology& topology, const TopologySummary& summary);
std::string topology_json(const Topology& topology, const TopologySummary& summary);
/// @throws UserError for a graph that nobody could look at
std::string topology_dot(const Topology& topology, const TopologySummary& summary);

}  // namespace stepcast
