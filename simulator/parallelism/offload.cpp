#include "simulator/parallelism/offload.hpp"

namespace stepcast {

Seconds host_copy_time(Bytes bytes, const Node& node) { return bytes / *node.pcie_bandwidth; }

Seconds cpu_adam_time(double parameters, const Node& node, int ranks_per_node, const Framework& framework) {
  constexpr double bytes_per_parameter = 4 * 4 + 3 * 4 + 2;
  const BytesPerSecond share = *node.host_memory_bandwidth * *framework.cpu_adam_fraction / ranks_per_node;
  return Bytes(bytes_per_parameter * parameters) / share;
}

}  // namespace stepcast
