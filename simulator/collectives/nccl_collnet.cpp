#include <algorithm>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

bool offered(CollectiveKind kind, Protocol protocol, const Communicator& c) {
  return kind == CollectiveKind::all_reduce && protocol == Protocol::simple && c.sharp && !c.one_node();
}

}  // namespace

NcclEstimate nccl_collnet_direct(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  const bool gathers = kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
  if (!c.nvlink || c.per_node > 8) return {};
  const NcclLatencies& table = nccl_latencies();
  const Seconds latency =
      2 * (std::min(1.0, c.per_node - 1) * hops_inside(c).collnet_direct + (c.per_node - 1) * 0.4_us) +
      table.network.collnet_direct;
  if (gathers && protocol == Protocol::simple && c.sharp) {
    return {latency, c.per_node * std::min(c.intra, 0.9 * c.inter)};
  }
  if (!offered(kind, protocol, c)) return {};
  // Each GPU sends to every other of its node: it takes part in f channels and loses what it sends to itself.
  const double f = c.per_node / c.channels;
  double lost = std::max(1.0, f - (f - 1) / 2);
  if (c.generation->nvls_efficiency > 0) lost /= 0.85;
  return {latency, c.channels * c.intra / lost};
}

NcclEstimate nccl_collnet_chain(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  if (!offered(kind, protocol, c)) return {};
  const Seconds latency = 2 * (c.per_node - 1) * hops_inside(c).collnet_chain + nccl_latencies().network.collnet_chain;
  return {latency, 0.5 * c.channels * c.intra};
}

}  // namespace stepcast
