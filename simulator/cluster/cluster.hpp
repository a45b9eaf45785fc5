#pragma once
/// The machines of a run: a GPU type, nodes of it, and the network between them.

#include <cstdint>
#include <string>

#include "simulator/profiles/fabric.hpp"
#include "simulator/profiles/gpu.hpp"
#include "simulator/profiles/node.hpp"

namespace stepcast {

struct Cluster {
  Gpu gpu;
  Node node;
  Fabric fabric;
  std::int64_t gpus = 0;
  int gpus_per_node = 0;  ///< that the run uses; at most node.gpus

  /// GPUs that NVLink (or its like) joins: the node, or a whole NVL72 rack.
  int domain_gpus() const;
};

}  // namespace stepcast
