#include <algorithm>

#include "simulator/collectives/collective_time.hpp"

namespace stepcast {

Seconds ring_all_reduce(Bytes size, std::int64_t ranks, Hop hop) {
  const double n = static_cast<double>(ranks);
  return 2 * (n - 1) * hop.latency + 2 * (n - 1) / n * size / hop.bandwidth;
}

Seconds ring_all_gather(Bytes size, std::int64_t ranks, Hop hop) {
  const double n = static_cast<double>(ranks);
  return (n - 1) * hop.latency + (n - 1) / n * size / hop.bandwidth;
}

namespace {

BytesPerSecond achieved(const LinkTier& tier) { return *tier.bandwidth * *tier.efficiency; }

/// One GPU's share of the node's NICs.
BytesPerSecond nic_share(const Cluster& cluster) {
  const double nics = cluster.fabric.nics_per_node;
  return achieved(cluster.fabric.nic) * (nics / std::max(1, cluster.gpus_per_node));
}

}  // namespace

Hop ring_hop(const Cluster& cluster, const GroupShape& group) {
  const BytesPerSecond inside = achieved(cluster.node.intra);
  if (!group.crosses_network()) return {*cluster.node.intra.latency, inside};
  // The ring enters and leaves each domain through every member's NIC, channel by channel.
  const BytesPerSecond outside = nic_share(cluster) * static_cast<double>(group.per_domain);
  return {*cluster.fabric.nic.latency, group.per_domain > 1 ? std::min(inside, outside) : outside};
}

namespace {

/// GPUs that NCCL's tables do not know: all messages in flight at once, the node's own over its links, the others through
/// the NIC; the slower of the two paths paces it. Each message costs a post, of the smallest latency that a link has.
Seconds pairwise_all_to_all(Bytes size, const GroupShape& group, const Cluster& cluster) {
  const double n = static_cast<double>(group.ranks);
  const double in_node = static_cast<double>(std::min(group.ranks, group.per_domain));
  const LinkTier& tier = group.crosses_network() ? cluster.fabric.nic : cluster.node.intra;
  const Seconds inside = (in_node - 1) / n * size / achieved(cluster.node.intra);
  const Seconds outside = group.crosses_network() ? (n - in_node) / n * size / nic_share(cluster) : Seconds(0);
  const Seconds posts = (n - 1) * *cluster.node.intra.latency;
  const Seconds ramp = (n - 1) / n * std::min(*tier.half_size, size) /
                       (group.crosses_network() ? nic_share(cluster) : achieved(cluster.node.intra));
  return *tier.launch + *tier.latency + posts + std::max(inside, outside) + ramp;
}

/// Between nodes NCCL's model is twice as accurate on held-out logs, where there are logs: of these networks, and of GPUs
/// from Ampere on.
bool follows_nccl(const GroupShape& group, const Cluster& cluster) {
  if (!group.crosses_network()) return false;
  const std::string& network = cluster.fabric.kind;
  const NcclGeneration* generation = nccl_generation(cluster.gpu.generation);
  return generation != nullptr && generation->network_logs && (network == "infiniband" || network == "roce");
}

}  // namespace

Seconds all_to_all_time(Bytes size, const GroupShape& group, const Cluster& cluster) {
  if (group.ranks <= 1) return Seconds(0);
  if (nccl_generation(cluster.gpu.generation) == nullptr) return pairwise_all_to_all(size, group, cluster);
  return nccl_time({CollectiveKind::all_to_all, size, group, cluster});
}

Seconds collective_time(CollectiveKind kind, Bytes size, const GroupShape& group, const Cluster& cluster) {
  if (group.ranks <= 1) return Seconds(0);
  if (kind == CollectiveKind::all_to_all) return all_to_all_time(size, group, cluster);
  if (kind == CollectiveKind::send_recv) return point_to_point_time(size, group.crosses_network(), cluster);
  if (follows_nccl(group, cluster)) return nccl_time({kind, size, group, cluster});
  const Hop hop = ring_hop(cluster, group);
  const LinkTier& tier = group.crosses_network() ? cluster.fabric.nic : cluster.node.intra;
  const double n = static_cast<double>(group.ranks);
  const double rounds = kind == CollectiveKind::all_reduce ? 2 : 1;
  // Of the size, what each link carries: all of it where one rank has what all get, or gets what all have.
  const bool whole = kind == CollectiveKind::broadcast || kind == CollectiveKind::reduce;
  const double moved = whole ? 1 : rounds * (n - 1) / n;
  const double outside_steps = group.crosses_network() ? rounds * static_cast<double>(group.domains() - 1) : 0;
  const double inside_steps = rounds * (n - 1) - outside_steps;
  const Seconds ring = inside_steps * *cluster.node.intra.latency + outside_steps * *cluster.fabric.nic.latency +
                       moved * size / hop.bandwidth;
  const Seconds best =
      kind == CollectiveKind::all_reduce ? std::min(ring, tree_all_reduce(size, group, cluster)) : ring;
  // The ramp: moving half_size more bytes than asked for is what the pipeline of chunks costs to fill and drain.
  const Seconds ramp = moved * std::min(*tier.half_size, size) / hop.bandwidth;
  return *tier.launch + best + ramp;
}

Seconds point_to_point_time(Bytes size, bool crosses_network, const Cluster& cluster) {
  const LinkTier& tier = crosses_network ? cluster.fabric.nic : cluster.node.intra;
  const BytesPerSecond rate = crosses_network ? nic_share(cluster) : achieved(cluster.node.intra);
  return *tier.launch + *tier.latency + size / rate;
}

}  // namespace stepcast
