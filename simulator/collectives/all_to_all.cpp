#include <algorithm>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

/// NCCL has no estimate for point-to-point kernels: the base and hops of Ring, Simple.
Seconds base_latency() { return nccl_latencies().ring_base[static_cast<std::size_t>(Protocol::simple)]; }
Seconds network_hop(const Communicator& c) {
  return nccl_latencies().network.ring[static_cast<std::size_t>(Protocol::simple)] + 2 * c.network_latency;
}
Seconds inside_hop(const Communicator& c) { return hops_inside(c).ring[static_cast<std::size_t>(Protocol::ll)]; }

/// Two paths that are busy at the same time: a share of the size over the links of the node, a share through the NIC.
BytesPerSecond slower_path(double inside, double outside, const Communicator& c) {
  const Seconds a_byte = std::max(inside * Bytes(1) / c.links, outside > 0 ? outside * Bytes(1) / c.nic : Seconds(0));
  return Bytes(1) / a_byte;
}

bool simple_only(Protocol protocol) { return protocol == Protocol::simple; }

}  // namespace

NcclEstimate pairwise_exchange(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  if (!simple_only(protocol)) return {};
  const double n = c.ranks;
  const double in_node = c.per_node - 1;
  const double remote = n - c.per_node;
  const Seconds hop = c.one_node() ? inside_hop(c) : network_hop(c);
  switch (kind) {
    case CollectiveKind::all_to_all: {
      // Messages to all peers are in flight together; each costs its post.
      const Seconds posts = in_node * inside_hop(c) + remote * c.network_overhead;
      return {base_latency() + hop + posts, slower_path(in_node / n, remote / n, c), c.one_node() ? 1 / in_node : 0};
    }
    case CollectiveKind::scatter:
    case CollectiveKind::gather: {
      const Seconds posts = in_node * inside_hop(c) + remote * c.network_overhead;
      return {base_latency() + hop + posts, slower_path(in_node / n, remote / n, c)};
    }
    case CollectiveKind::send_recv: return {base_latency() + hop, c.one_node() ? c.links : std::min(c.links, c.nic)};
    default: return {};
  }
}

NcclEstimate pxn_all_to_all(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  if (kind != CollectiveKind::all_to_all || !simple_only(protocol) || c.one_node() || c.per_node < 2) return {};
  const double n = c.ranks;
  const double remote = n - c.per_node;
  const double in_node = c.per_node - 1;
  // What is meant for another rail crosses NVLink first: (p-1)/p of the remote bytes, beside the node's own.
  const double forwarded = remote * in_node / c.per_node;
  const Seconds posts = 2 * in_node * inside_hop(c) + (c.nodes - 1) * c.network_overhead;
  return {base_latency() + inside_hop(c) + network_hop(c) + posts,
          slower_path((in_node + forwarded) / n, remote / n, c)};
}

}  // namespace stepcast
