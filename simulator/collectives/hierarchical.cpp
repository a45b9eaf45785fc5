#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

std::size_t simple() { return static_cast<std::size_t>(Protocol::simple); }

}  // namespace

NcclEstimate hierarchical(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  const bool gathers = kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
  if ((kind != CollectiveKind::all_reduce && !gathers) || protocol != Protocol::simple) return {};
  if (c.one_node() || c.per_node < 2) return {};
  const double rounds = gathers ? 1 : 2;
  const NcclLatencies& table = nccl_latencies();
  const Seconds hop = table.network.ring[simple()] + 2 * c.network_latency;
  const Seconds latency = table.ring_base[simple()] + rounds * (c.per_node - 1) * hops_inside(c).ring[simple()] +
                          rounds * (c.nodes - 1) * hop;
  // Inside: (p-1)/p of the size over the node's links. Outside: (M-1)/M of the rank's p-th part through its NIC.
  const Seconds inside = (c.per_node - 1) / c.per_node * Bytes(1) / c.links;
  const Seconds outside = (c.nodes - 1) / c.nodes / c.per_node * Bytes(1) / c.nic;
  return {latency, Bytes(1) / (rounds * (inside + outside))};
}

}  // namespace stepcast
