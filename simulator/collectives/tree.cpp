#include <cmath>

#include "simulator/collectives/collective_time.hpp"

namespace stepcast {

Seconds tree_all_reduce(Bytes size, const GroupShape& group, const Cluster& cluster) {
  const double inside = 2 * static_cast<double>(group.per_domain - 1);
  const double outside = 2 * std::floor(std::log2(static_cast<double>(group.domains())));
  const Seconds latency = inside * *cluster.node.intra.latency + outside * *cluster.fabric.nic.latency;
  constexpr double tree_bandwidth = 0.92;  // NCCL tuning.cc: a tree reaches 92% of the ring's bus bandwidth
  return latency + 2 * size / (tree_bandwidth * ring_hop(cluster, group).bandwidth);
}

}  // namespace stepcast
