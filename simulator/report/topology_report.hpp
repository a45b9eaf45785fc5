#pragma once
/// A cluster's graph for people, programs and Graphviz.

#include <optional>
#include <string>

#include "simulator/cluster/topology.hpp"

namespace stepcast {

struct TopologySummary {
  std::string cluster;  ///< "dgx-h100-superpod: 128 nodes of dgx-h100, 1,024 GPUs"
  BytesPerSecond bisection;
  Topology::Diameter diameter;

  struct Group {
    std::string name;  ///< "tensor_parallel of 8, ranks 1 apart"
    GroupShape shape;
    GroupRoutes alone;                    ///< one group on an idle network
    std::optional<GroupRoutes> together;  ///< all groups of the kind at once; not for large clusters
    std::int64_t groups = 0;              ///< of that kind
  };
  std::optional<Group> group;
};

std::string topology_text(const Topology& topology, const TopologySummary& summary);
std::string topology_json(const Topology& topology, const TopologySummary& summary);
/// @throws UserError for a graph that nobody could look at
std::string topology_dot(const Topology& topology, const TopologySummary& summary);

}  // namespace stepcast
