#pragma once
/// A communicator as NCCL's topology search leaves it: channels, their bandwidth, and the latencies of their hops.

#include "simulator/cluster/placement.hpp"
#include "simulator/collectives/collective.hpp"
#include "simulator/collectives/nccl_constants.hpp"

namespace stepcast {

/// `n` ranks on `M` nodes (NVLink domains), `p` of them on each. Bandwidths are those of one channel, as NCCL counts
/// them, until as_on_the_wire() puts what the fabric's profile has in their place.
struct Communicator {
  double ranks = 1, nodes = 1, per_node = 1;
  const NcclGeneration* generation = nullptr;
  bool nvlink = true;       ///< no PCIe hop inside a node
  bool nvls = false;        ///< the node's switches add up
  bool registered = false;  ///< buffers in symmetric windows
  bool sharp = false;       ///< the network's switches add up
  bool plain_tree = false;  ///< NCCL found no balanced tree: 85% of its bandwidth
  double channels = 1;      ///< of rings and trees
  BytesPerSecond intra, inter;
  double nvls_channels = 0;
  BytesPerSecond nvls_intra, nvls_inter;
  Seconds network_overhead;  ///< posting one message
  Seconds network_latency;   ///< what the network plugin adds to a hop
  BytesPerSecond links;      ///< a rank's NVLinks (or PCIe) together
  BytesPerSecond nic;        ///< a rank's share of the node's NICs
  double inter_share = 1;    ///< what the network carries of what NCCL counts
  bool on_the_wire = false;  ///< bandwidths are the profile's, and size corrections do not jump

  /// Column of NCCL's tables: one node, two, more.
  std::size_t column() const { return nodes <= 1 ? 0 : nodes <= 2 ? 1 : 2; }
  /// LL128's lines of 128 bytes must arrive whole, which NVLink promises and PCIe does not (NCCL src/graph/tuning.cc).
  bool offers(Protocol protocol) const { return protocol != Protocol::ll128 || nvlink; }
  bool one_node() const { return nodes <= 1; }
  /// The rank's channels together, as a ring or tree uses them: across nodes at most what the network takes.
  BytesPerSecond bus() const { return channels * (nodes <= 2 ? intra : inter); }

  /// The same with what the network really carries.
  Communicator as_on_the_wire() const;
};

/// What NCCL finds for a group on a cluster of NVIDIA GPUs. `generation` is null when its tables do not know the GPU.
Communicator communicator(const GroupShape& group, const Cluster& cluster, const CollectiveOptions& options = {});

}  // namespace stepcast
