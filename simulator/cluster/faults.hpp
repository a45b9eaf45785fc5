#pragma once
/// What is wrong with a cluster.

#include <cstdint>
#include <optional>
#include <vector>

namespace stepcast {

/// One GPU, one NIC of a node, or a whole node that is slow or has failed.
struct Fault {
  std::optional<std::int64_t> gpu;  ///< of the job, from zero; else the node is meant
  std::optional<std::int64_t> node;
  std::optional<int> nic;  ///< of that node
  double speed = 1;        ///< of the GPU's clock; of a NIC: of its bandwidth
  bool failed = false;

  bool of_nic() const { return nic.has_value(); }
};

}  // namespace stepcast
