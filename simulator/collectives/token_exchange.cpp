#include <algorithm>

#include "simulator/collectives/collective_time.hpp"

namespace stepcast {

Seconds token_exchange_time(const ExchangeBytes& bytes, const GroupShape& group, const Cluster& cluster) {
  if (group.ranks <= 1) return Seconds(0);
  const LinkTier& links = cluster.node.intra;
  const LinkTier& nic = cluster.fabric.nic;
  const auto path = [](Bytes sent, const LinkTier& tier, double share) {
    // The ramp: moving half_size more bytes than asked for is what messages cost to fill and drain.
    return (sent + std::min(sent, *tier.half_size)) / (*tier.bandwidth * *tier.efficiency * share);
  };
  const Seconds inside = path(bytes.inside, links, 1);
  if (!group.crosses_network()) return *links.launch + *links.latency + inside;
  const double nic_share = static_cast<double>(cluster.fabric.nics_per_node) / std::max(1, cluster.gpus_per_node);
  return *nic.launch + *nic.latency + std::max(inside, path(bytes.outside, nic, nic_share));
}

}  // namespace stepcast
