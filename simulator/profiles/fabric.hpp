#pragma once
/// The network between nodes.

#include <string>

#include "simulator/profiles/node.hpp"

namespace stepcast {

struct Fabric {
  std::string name;
  std::string description;
  std::string kind;  ///< infiniband | roce | efa | omni-path | ethernet | none
  int nics_per_node = 0;
  LinkTier nic;          ///< bandwidth of ONE NIC; `efficiency` and `latency` through the fabric
  std::string topology;  ///< rail-optimised | fat-tree | cloud | dragonfly | torus | none
};

}  // namespace stepcast
