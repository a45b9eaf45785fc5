#include <cmath>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

std::size_t simple() { return static_cast<std::size_t>(Protocol::simple); }

}  // namespace

NcclEstimate halving_doubling(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  const bool gathers = kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
  if ((kind != CollectiveKind::all_reduce && !gathers) || protocol != Protocol::simple) return {};
  const double rounds = gathers ? 1 : 2;
  // The largest power of two takes part; the others hand their data to a partner first and get the result at the end.
  const double inside_levels = std::floor(std::log2(c.per_node));
  const double levels = std::floor(std::log2(c.ranks));
  const double outside_levels = c.one_node() ? 0 : levels - inside_levels;
  const bool others = std::exp2(levels) < c.ranks;
  const NcclLatencies& table = nccl_latencies();
  const Seconds inside_hop = hops_inside(c).ring[simple()];
  const Seconds outside_hop = c.one_node() ? Seconds(0) : table.network.ring[simple()] + 2 * c.network_latency;
  const Seconds latency = table.ring_base[simple()] +
                          rounds * (inside_levels * inside_hop + outside_levels * outside_hop) +
                          (others ? rounds : 0.0) * (c.one_node() ? inside_hop : outside_hop);
  // Half, a quarter, ... of the size: the nearest partners exchange the largest part.
  const double inside = 1 - std::exp2(-inside_levels);
  const double outside = std::exp2(-inside_levels) - std::exp2(-levels);
  Seconds a_byte = rounds * (inside * Bytes(1) / c.links);
  if (!c.one_node()) a_byte += rounds * (outside * Bytes(1) / c.nic);
  if (others) a_byte += rounds * (Bytes(1) / (c.one_node() ? c.links : c.nic));
  return {latency, Bytes(1) / a_byte};
}

}  // namespace stepcast
