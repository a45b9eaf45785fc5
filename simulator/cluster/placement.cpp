#include "simulator/cluster/placement.hpp"

#include <algorithm>

namespace stepcast {

int Cluster::domain_gpus() const {
  return node.domain_gpus > node.gpus ? node.domain_gpus : std::max(1, gpus_per_node);
}

GroupShape group_shape(const Cluster& cluster, std::int64_t ranks, std::int64_t stride) {
  const std::int64_t domain = cluster.domain_gpus();
  if (cluster.gpus <= domain) return {ranks, ranks};
  const std::int64_t per_domain = stride >= domain ? 1 : std::max<std::int64_t>(1, domain / stride);
  return {ranks, std::min(ranks, per_domain)};
}

bool distance_crosses_network(const Cluster& cluster, std::int64_t stride) {
  return stride >= cluster.domain_gpus();
}

}  // namespace stepcast
