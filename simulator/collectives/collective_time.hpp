#pragma once
/// Closed-form times of collectives on a group placed on a cluster.

#include "simulator/cluster/placement.hpp"
#include "simulator/collectives/choose.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

/// The slowest hop of a communicator, as one rank sees it.
struct Hop {
  Seconds latency;           ///< one step, zero bytes
  BytesPerSecond bandwidth;  ///< one direction
};

/// Time of a ring all_reduce:  2(n-1) * latency + 2(n-1)/n * size / bandwidth.
///
/// @param size   bytes in ONE rank's buffer (NCCL's `count * sizeof(type)`), not the sum over ranks
/// @param ranks  n >= 1; one rank has nothing to exchange and costs zero
///
/// Bandwidth term: nccl-tests doc/PERFORMANCE.md, "AllReduce". Latency term: n-1 reduce_scatter steps, then n-1
/// all_gather steps (Patarasuk & Yuan 2009). Leaves out: launch and protocol ramp; collective_time adds those.
Seconds ring_all_reduce(Bytes size, std::int64_t ranks, Hop hop);

/// Ring all_gather, and reduce_scatter alike: (n-1) * latency + (n-1)/n * size / bandwidth; `size` is the whole tensor.
Seconds ring_all_gather(Bytes size, std::int64_t ranks, Hop hop);

/// The hop that paces a ring of this shape, before latency: NVLink inside a domain; across domains the NICs of the
/// members that share one, all used at once, or NVLink if that is slower.
Hop ring_hop(const Cluster& cluster, const GroupShape& group);

/// Time of a double binary tree all_reduce: up and down inside the domain, then between domains, pipelined:
/// 2 (g-1) latency + 2 floor(log2 domains) network latency + 2 size / (0.92 bandwidth). What NCCL picks for small
/// messages over many nodes (NCCL src/graph/tuning.cc).
Seconds tree_all_reduce(Bytes size, const GroupShape& group, const Cluster& cluster);

/// Time of a collective as a framework sees it: launch, steps at each tier's latency, bytes at the plateau bandwidth
/// of the slowest tier, and the ramp of middle sizes (half the plateau at the tier's half_size). An all_reduce takes the
/// faster of ring and tree.
///
/// Between nodes of Ampere, Hopper or Blackwell GPUs joined by InfiniBand or RoCE it is nccl_time() (choose.hpp), whose
/// mean error on held-out logs there is half as large; README.md beside this file has the figures. Inside an NVLink
/// domain that one is the better as well (7% for 13% from 1 MB), but makes the published runs worse by 0.02% (those that
/// are predicted too fast already: BigScience's A100 sweep 7.6 to 8.1), because the software's constants were estimated
/// beside this form (2026-11).
Seconds collective_time(CollectiveKind kind, Bytes size, const GroupShape& group, const Cluster& cluster);

/// Time of an exchange of tokens with their experts: links of the node and NICs work at the same time, each at its
/// plateau, with one launch, one hop, and the ramp of middle sizes. Messages to all peers are in flight together.
///
/// In a node NCCL's all_to_all on 8 H100 reaches 293 to 315 of 450 GB/s, DeepEP's combine with 24 SMs 283 (aiconfigurator
/// @ 095f58a); between nodes DeepEP moves 44 of 50 GB/s a NIC over 4 and 8 nodes (DeepEP README, EP32 and EP64, less the
/// node's own share).
Seconds token_exchange_time(const ExchangeBytes& bytes, const GroupShape& group, const Cluster& cluster);

/// Time of an all_to_all in which a rank sends `size` bytes in all, its own part included, an equal part to each: as
/// NCCL's sends, pairwise or by PXN (nccl_time), held to nccl-tests logs. GPUs that NCCL's tables do not know: all
/// messages at once, (p-1)/n of the size over the node's links and (n-p)/n through the NIC, the slower of the two.
Seconds all_to_all_time(Bytes size, const GroupShape& group, const Cluster& cluster);

/// Time of one point-to-point transfer of `size` bytes between GPUs; every GPU of the node sends at the same time.
Seconds point_to_point_time(Bytes size, bool crosses_network, const Cluster& cluster);

}  // namespace stepcast
