#include <algorithm>
#include <cmath>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

/// What one of its channels moves inside the node. The switches send one channel's worth themselves.
BytesPerSecond inside_rate(CollectiveKind kind, const Communicator& c) {
  const double lost = (c.nvls_channels - 1) / c.nvls_channels;
  const double twice = kind == CollectiveKind::all_reduce ? 2 : (c.per_node - 1) / c.per_node;
  return c.nvls_intra * (c.generation->nvls_efficiency * lost * twice);
}

/// n / steps: from bus to algorithm bandwidth. NCCL leaves it out but for all_reduce.
double per_step(CollectiveKind kind, const Communicator& c) {
  return kind == CollectiveKind::all_reduce ? c.ranks / (2 * (c.ranks - 1)) : 1.0;
}

}  // namespace

NcclEstimate nccl_nvls(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  const bool offered = kind == CollectiveKind::all_reduce || kind == CollectiveKind::all_gather ||
                       kind == CollectiveKind::reduce_scatter;
  if (!offered || protocol != Protocol::simple || !c.nvls || c.nvls_channels < 2) return {};
  if (!c.one_node() && !c.sharp) return {};
  const NcclLatencies& table = nccl_latencies();
  BytesPerSecond channel = inside_rate(kind, c);
  if (!c.one_node()) {
    const double reached = kind == CollectiveKind::all_reduce ? 1.0 : 0.9;
    channel = std::min(channel, c.nvls_inter * reached);
  }
  const Seconds latency = table.nvlink.nvls + (c.one_node() ? Seconds(0) : table.network.nvls);
  return {latency, c.nvls_channels * channel * per_step(kind, c)};
}

NcclEstimate nccl_nvls_tree(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  if (kind != CollectiveKind::all_reduce || protocol != Protocol::simple) return {};
  if (c.one_node() || !c.nvls || c.nvls_channels < 2) return {};
  const NcclLatencies& table = nccl_latencies();
  const BytesPerSecond outside = c.nvls_inter * (c.nodes <= 2 ? 2.0 : 1.0);  // two nodes send each byte once
  const BytesPerSecond channel = std::min({inside_rate(kind, c), outside, c.generation->nvls_tree_channel[c.column()]});
  const Seconds latency = table.nvlink.nvls_tree + 2 * std::floor(std::log2(c.nodes)) * table.network.nvls_tree;
  return {latency, c.nvls_channels * channel * per_step(kind, c)};
}

}  // namespace stepcast
