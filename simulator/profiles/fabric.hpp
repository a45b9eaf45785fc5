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
  // Of a fat tree: what enters a switch from below over what leaves it upwards, and where its pods end.
  Sourced<double> leaf_oversubscription{1, Basis::assumed, "full bisection"};
  Sourced<double> spine_oversubscription{1, Basis::assumed, "full bisection"};
  Sourced<int> pod_nodes{0, Basis::assumed, "as many as the spines' ports join"};  ///< zero: that
};

}  // namespace stepcast
