#include <algorithm>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

std::size_t at(Protocol protocol) { return static_cast<std::size_t>(protocol); }

BytesPerSecond ring_bus(Protocol protocol, const Communicator& c) {
  const NcclGeneration& g = *c.generation;
  const std::size_t column = c.column();
  switch (protocol) {
    case Protocol::ll: return std::min(g.ll_total[column], 0.5 * c.bus());
    case Protocol::ll128: return std::min(0.92 * c.bus(), c.channels * g.ring_ll128_channel[column]);
    case Protocol::simple: return c.bus();
  }
  return {};
}

}  // namespace

NcclEstimate nccl_ring(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c) {
  if (!c.offers(protocol)) return {};
  const NcclLatencies& table = nccl_latencies();
  const Seconds inside = hops_inside(c).ring[at(protocol)];
  // With one GPU a node the network hop is that of a tree. Simple flushes what the NIC wrote: the plugin's latency twice.
  const NcclLatencies::Hop& network = table.network;
  const Seconds outside = (c.per_node > 1 ? network.ring : network.tree)[at(protocol)] +
                          (protocol == Protocol::simple ? 2.0 : 1.0) * c.network_latency;
  const Seconds overhead = c.one_node() ? Seconds(0) : c.network_overhead * (protocol == Protocol::simple ? 3.0 : 1.0);
  const Seconds base = table.ring_base[at(protocol)];
  const BytesPerSecond bus = ring_bus(protocol, c);

  if (kind == CollectiveKind::broadcast || kind == CollectiveKind::reduce) {
    // One hop by NCCL's estimate; the last rank really waits for all before it.
    const double hops = c.on_the_wire ? c.per_node - 1 : 1;
    if (c.one_node()) return {base + hops * inside, bus};
    return {base + (c.on_the_wire ? c.nodes - 1 : 1.0) * (outside + (hops - 1) * inside), bus};
  }
  if (kind != CollectiveKind::all_reduce && kind != CollectiveKind::all_gather &&
      kind != CollectiveKind::reduce_scatter) {
    return {};
  }
  const double rounds = kind == CollectiveKind::all_reduce ? 2 : 1;
  const double steps = rounds * (c.ranks - 1);
  const double outside_steps = c.one_node() ? 0 : rounds * (c.nodes - 1);
  Seconds latency = base + (steps - outside_steps) * std::max(inside, overhead) + outside_steps * outside;
  const bool plateau = size >= Bytes(64 * c.channels * c.ranks);
  if (kind == CollectiveKind::all_reduce && protocol == Protocol::simple && !c.one_node() && plateau) {
    latency *= c.generation->ring_latency_factor;
  }
  return {latency, bus * (c.ranks / steps), c.one_node() ? 1 / steps : 0};
}

}  // namespace stepcast
