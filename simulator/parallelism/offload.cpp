#include "simulator/parallelism/offload.hpp"

#include <algorithm>

namespace stepcast {

Seconds host_copy_time(Bytes bytes, const Node& node) { return bytes / *node.pcie_bandwidth; }

Seconds cpu_adam_time(double parameters, const Node& node, int ranks_per_node, const Framework& framework) {
  constexpr double bytes_per_parameter = 4 * 4 + 3 * 4 + 2;
  const BytesPerSecond share = *node.host_memory_bandwidth * *framework.cpu_adam_fraction / ranks_per_node;
  return Bytes(bytes_per_parameter * parameters) / share;
}

Seconds nvme_time(Bytes read, Bytes written, const Node& node, int ranks_per_node) {
  return (read / *node.nvme_read_bandwidth + written / *node.nvme_write_bandwidth) * ranks_per_node;
}

Seconds offloaded_adam_time(double parameters, double state_bytes, const ParallelPlan& plan, const Node& node,
                            int ranks_per_node, const Framework& framework) {
  const Seconds adam = cpu_adam_time(parameters, node, ranks_per_node, framework);
  if (!plan.offload_to_nvme) return adam;
  const Bytes states(state_bytes * parameters);
  return std::max(adam, nvme_time(states, states, node, ranks_per_node));
}

Seconds parameter_upload_time(Bytes share, const ParallelPlan& plan, const Node& node, int ranks_per_node) {
  const Seconds copy = host_copy_time(share, node);
  return plan.offload_to_nvme ? std::max(copy, nvme_time(share, Bytes{}, node, ranks_per_node)) : copy;
}

}  // namespace stepcast
