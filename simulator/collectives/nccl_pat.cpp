#include <cmath>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {

NcclEstimate nccl_pat(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  const bool gathers = kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
  if (!gathers || protocol != Protocol::simple || c.per_node > 1 || c.one_node()) return {};
  const NcclLatencies& table = nccl_latencies();
  const double levels = std::floor(std::log2(c.nodes));
  return {table.pat_base + levels * (table.network.pat + c.network_latency) / 3.5 + c.ranks * 2.8_us, 0.75 * c.bus()};
}

}  // namespace stepcast
