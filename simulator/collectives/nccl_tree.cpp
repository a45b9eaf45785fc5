#include <algorithm>
#include <cmath>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {

const NcclLatencies::Hop& hops_inside(const Communicator& c) {
  return c.nvlink ? nccl_latencies().nvlink : nccl_latencies().pci;
}

NcclEstimate nccl_tree(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c) {
  if (kind != CollectiveKind::all_reduce || !c.offers(protocol)) return {};
  const auto at = static_cast<std::size_t>(protocol);
  const NcclGeneration& g = *c.generation;
  const NcclLatencies& table = nccl_latencies();
  const Seconds outside = table.network.tree[at] + (protocol == Protocol::simple ? 2.0 : 1.0) * c.network_latency;
  const double levels = std::floor(std::log2(c.nodes));
  const Seconds latency = table.tree_base[at] + 2 * ((c.per_node - 1) * hops_inside(c).tree[at] + levels * outside);

  const std::size_t column = c.column();
  BytesPerSecond bus = std::min(0.92 * c.bus(), c.channels * g.tree_channel[column]);
  if (protocol == Protocol::ll) bus = std::min(bus / 3.8, g.ll_total[column]);
  if (protocol == Protocol::ll128) {
    const double lines = c.one_node() ? 7.0 / 9.0 : 120.0 / 128.0;
    bus = std::min(bus * lines, c.channels * g.tree_ll128_channel[column]);
  }
  if (c.plain_tree) bus *= 0.85;
  return {latency,
          0.5 * bus * (c.on_the_wire ? smooth_tree_correction(protocol, size) : tree_correction(protocol, size))};
}

}  // namespace stepcast
