#pragma once
/// The constants of NCCL's own performance model, and what measured logs add to them.

#include <array>
#include <span>
#include <string_view>

#include "simulator/collectives/collective.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// A value for one node, for two, and for more.
template <class T>
using ByNodes = std::array<T, 3>;
template <class T>
using ByProtocol = std::array<T, protocol_count>;

/// The tuning table of one generation of GPUs (NCCL 2.30.7, src/graph/tuning.cc, topo.h, search.cc).
struct NcclGeneration {
  std::string_view name;                       ///< Gpu::generation
  BytesPerSecond nvlink;                       ///< data-sheet rate of one NVLink
  BytesPerSecond nvlink_searched;              ///< the same as the topology search counts it
  std::span<const double> intra_speeds;        ///< GB/s of a channel that the search tries inside a node ...
  std::span<const double> inter_speeds;        ///< ... and between nodes, fast to slow
  double duplicate_from = 0;                   ///< GB/s of a channel from which it is split in two
  ByNodes<BytesPerSecond> ll_total;            ///< most that LL moves in all
  ByNodes<BytesPerSecond> ring_ll128_channel;  ///< most that one channel moves
  ByNodes<BytesPerSecond> tree_ll128_channel;
  ByNodes<BytesPerSecond> tree_channel;
  ByNodes<BytesPerSecond> nvls_tree_channel;
  double nvls_efficiency = 0;      ///< 0: its switches cannot add up
  double ring_latency_factor = 0;  ///< Ring, Simple, all_reduce over nodes, beyond 64 B a channel and rank
  Seconds network_overhead;        ///< posting one network message, by the usual host of that generation
  bool network_logs = false;       ///< corrections were fitted to logs of several nodes, too
};

/// nullptr: not an NVIDIA generation that NCCL's tables know.
const NcclGeneration* nccl_generation(std::string_view name);

/// Latencies that all generations share.
struct NcclLatencies {
  ByProtocol<Seconds> tree_base, ring_base;
  Seconds pat_base;
  struct Hop {
    ByProtocol<Seconds> tree, ring;
    Seconds nvls, nvls_tree, collnet_direct, collnet_chain, pat;
  };
  Hop nvlink, pci, network;
};
const NcclLatencies& nccl_latencies();

/// NCCL's correction of a tree's bandwidth at a size: its table by power of two from 64 B.
double tree_correction(Protocol protocol, Bytes size);
/// The same without jumps: exact at powers of two, straight lines in between.
double smooth_tree_correction(Protocol protocol, Bytes size);

/// What measured logs add to NCCL's estimate of an algorithm and protocol on one generation:
///   time = latency * (latency_factor + chunk_factor * size / (size + half_size))
///          + size / (share * bandwidth) * (1 + own_factor * own_part)
/// A hop costs more once whole chunks cross it: that is the ramp of middle sizes, where NCCL's own estimate is 15-35%
/// too short. Inside a node the thread blocks also copy a rank's own part, 1/(n-1) of what it sends: two GPUs reach
/// 70-75% of the bus bandwidth of eight.
struct Correction {
  Algorithm algorithm = Algorithm::ring;
  Protocol protocol = Protocol::simple;
  double latency_factor = 1;
  double chunk_factor = 0;
  Bytes half_size = Bytes(1);
  double share = 1;
  double own_factor = 0;
};
/// The row of a generation; the identity where no log has it.
const Correction& correction(const NcclGeneration& generation, Algorithm algorithm, Protocol protocol);

}  // namespace stepcast
