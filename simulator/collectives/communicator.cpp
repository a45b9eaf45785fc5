#include "simulator/collectives/communicator.hpp"

#include <algorithm>
#include <cmath>

namespace stepcast {
namespace {

struct Channels {
  double count = 1;
  BytesPerSecond speed;
};

BytesPerSecond GBps(double value) { return BytesPerSecond(value * 1e9); }

/// As many channels as fit at each speed of the ladder; the largest product wins, the faster speed on a tie.
Channels search(std::span<const double> ladder, BytesPerSecond total, double fewest, double most) {
  Channels best{fewest, total / fewest};
  double most_carried = 0;
  for (const double speed : ladder) {
    const double count = std::min(most, std::floor(total / GBps(speed) * (1 + 1e-9)));
    if (count < fewest || count * speed <= most_carried) continue;
    most_carried = count * speed;
    best = {count, GBps(speed)};
  }
  return best;
}

/// One ring a NIC (or a GPU, where they share NICs), at the fastest speed that NIC and NVLink both carry.
Channels search_network(std::span<const double> ladder, BytesPerSecond nic, BytesPerSecond nvlinks, double rings) {
  const BytesPerSecond limit = std::min(nic, nvlinks / rings);
  for (const double speed : ladder) {
    if (GBps(speed) <= limit * (1 + 1e-9)) return {rings, GBps(speed)};
  }
  return {rings, limit};
}

/// Few fast channels are split, so that more thread blocks drive them.
Channels duplicated(Channels channels, double from) {
  constexpr double most = 16;
  if (channels.count > most / 2 || channels.speed < GBps(from)) return channels;
  return {2 * channels.count, channels.speed / 2.0};
}

/// What a network adds to each hop beyond InfiniBand, for which NCCL's latencies were made.
struct HopLatency {
  std::string_view kind;  ///< Fabric::kind
  Seconds extra;          ///< small all_reduce and all_gather on two nodes: nccl-tests logs of each
};
constexpr HopLatency hop_latencies[] = {
    {"roce", 10.0_us},       // H200, OpenShift: 45 us at 1 KiB; A3 Ultra: 54 us
    {"efa", 24.0_us},        // AWS p5: 69 us at 8 B; p4de is slower still, 164 us
    {"ethernet", 50.0_us},   // GPUDirect-TCPXO, A3 Mega: 125 us at 64 B
    {"omni-path", 10.0_us},  // as RoCE, by judgement
};

Seconds extra_hop_latency(std::string_view kind) {
  for (const HopLatency& row : hop_latencies) {
    if (row.kind == kind) return row.extra;
  }
  return Seconds(0);
}

constexpr double nic_searched = 0.96;  // NCCL counts 12 GB/s for 100 Gb/s

}  // namespace

Communicator Communicator::as_on_the_wire() const {
  Communicator c = *this;
  c.on_the_wire = true;
  if (one_node()) return c;
  c.intra *= inter_share;
  c.inter *= inter_share;
  c.nvls_inter *= inter_share;
  c.nic = channels * inter * inter_share / per_node;
  return c;
}

Communicator communicator(const GroupShape& group, const Cluster& cluster, const CollectiveOptions& options) {
  Communicator c;
  c.ranks = static_cast<double>(group.ranks);
  c.nodes = static_cast<double>(group.domains());
  c.per_node = static_cast<double>(std::min(group.ranks, group.per_domain));
  c.generation = nccl_generation(cluster.gpu.generation);
  if (c.generation == nullptr) return c;
  const NcclGeneration& g = *c.generation;

  const Node& node = cluster.node;
  const bool alone = c.per_node == 1;
  c.nvlink = node.interconnect != "pcie";
  const double links = std::max(1.0, std::floor(*node.intra.bandwidth / g.nvlink + 0.5));
  const BytesPerSecond carried = *node.intra.bandwidth * *node.intra.efficiency;
  const BytesPerSecond nvlinks = c.nvlink ? links * g.nvlink_searched : carried;

  Channels rings =
      c.nvlink ? duplicated(search(g.intra_speeds, nvlinks, 1, 16), g.duplicate_from) : Channels{2, carried / 2.0};
  if (!c.one_node()) {
    const LinkTier& nic = cluster.fabric.nic;
    const double nics = std::max(1, cluster.fabric.nics_per_node);
    // An NVL72 domain holds many nodes, each with its own NICs.
    const double node_gpus = std::max(1, cluster.gpus_per_node);
    c.nic = *nic.bandwidth * (nics / node_gpus);
    const double rings_wanted = std::max(1.0, std::floor(c.per_node * std::min(1.0, nics / node_gpus)));
    const BytesPerSecond a_ring = c.nic * (c.per_node / rings_wanted);
    const BytesPerSecond inside = alone ? BytesPerSecond(1e15) : nvlinks;
    rings = duplicated(search_network(g.inter_speeds, a_ring * nic_searched, inside, std::min(rings_wanted, 16.0)),
                       g.duplicate_from);
    c.network_overhead = g.network_overhead;
    c.network_latency = extra_hop_latency(cluster.fabric.kind);
    c.inter_share = std::min(c.nic * *nic.efficiency * c.per_node, inside) / (rings.count * rings.speed);
  }
  c.links = nvlinks;
  c.channels = std::max(rings.count, static_cast<double>(options.channels));
  c.intra = c.inter = rings.speed * (rings.count / c.channels);

  c.nvls = options.nvls && g.nvls_efficiency > 0 && node.interconnect == "nvswitch" && !alone;
  c.sharp = options.sharp && !c.one_node();
  c.registered = options.registered && node.interconnect == "nvswitch";
  if (c.nvls) {
    // One channel a GPU: each is the root of its own share of the data. Eight are enough for a rack, too.
    const double wanted = std::min(c.per_node, 8.0);
    const Channels heads = search(g.intra_speeds, nvlinks, wanted, wanted);
    c.nvls_channels = heads.count;
    c.nvls_intra = heads.speed;
    c.nvls_inter = c.one_node() ? heads.speed : rings.speed * (rings.count / heads.count);
  }
  return c;
}

}  // namespace stepcast
