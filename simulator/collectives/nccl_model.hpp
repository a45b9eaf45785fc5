#pragma once
/// NCCL's estimate of each algorithm: a latency, and the rate at which the size counts. One function an algorithm, each
/// in a file of its own; `n`, `M`, `p` as in Communicator.

#include "simulator/collectives/communicator.hpp"

namespace stepcast {

struct NcclEstimate {
  Seconds latency;
  BytesPerSecond bandwidth;  ///< size / bandwidth is the rest of the time; zero: not offered
  double own_part = 0;       ///< what a rank copies of its own beside the bytes on the wire, one node; Correction

  explicit operator bool() const { return bandwidth > BytesPerSecond(0); }
  Seconds time(Bytes size) const { return latency + size / bandwidth; }
};

/// Ring. all_reduce: 2(n-1) steps, all_gather and reduce_scatter n-1; the steps between nodes cost a network hop, the
/// others a hop inside the node or, if that is longer, posting a message. broadcast, reduce: the ring as a pipeline.
NcclEstimate nccl_ring(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// Double binary tree, all_reduce: 2 ((p-1) hops inside + floor(log2 M) network hops).
NcclEstimate nccl_tree(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// NVSwitches add up. On several nodes only with SHARP.
NcclEstimate nccl_nvls(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// NVSwitches add up inside each node, a tree of nodes joins them. all_reduce.
NcclEstimate nccl_nvls_tree(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// The network's switches add up (SHARP); every GPU talks to all others of its node, or a chain of them does.
NcclEstimate nccl_collnet_direct(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);
NcclEstimate nccl_collnet_chain(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// Parallel aggregated trees: all_gather and reduce_scatter with one GPU a node.
NcclEstimate nccl_pat(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// All peers at once over the links and the NIC: all_to_all, and what NCCL builds of sends: scatter, gather, send_recv.
NcclEstimate pairwise_exchange(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// PXN: data for other rails goes to the GPU of that rail in the sender's node first, so that a NIC sends one message
/// a node and not one a rank. all_to_all.
NcclEstimate pxn_all_to_all(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// Two levels, not of NCCL: reduce_scatter inside the node, the same between nodes on each rail, and back again.
NcclEstimate hierarchical(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// Recursive halving, then doubling, not of NCCL: log2(n) exchanges, each half as large as the one before (Thakur,
/// Rabenseifner, Gropp 2005).
NcclEstimate halving_doubling(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// Kernels on buffers that are registered as symmetric windows, one NVLink domain of Hopper or Blackwell. LL for small
/// sizes; Simple by NVSwitches that add up.
NcclEstimate nccl_symmetric(CollectiveKind kind, Protocol protocol, Bytes size, const Communicator& c);

/// The latencies of the hops inside a node: NVLink, or PCIe where a path has such a hop.
const NcclLatencies::Hop& hops_inside(const Communicator& c);

}  // namespace stepcast
