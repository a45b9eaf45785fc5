#pragma once
/// A collective as it is asked for, and what NCCL makes of it.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "simulator/cluster/placement.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

enum class Algorithm : std::uint8_t {
  ring,
  tree,
  nvls,
  nvls_tree,
  collnet_direct,
  collnet_chain,
  pat,
  pairwise,
  pxn,
  hierarchical,
  halving_doubling,
  symmetric
};

/// How NCCL moves data: 8-byte stores with a flag each, 128-byte lines with a flag each, or chunks behind a flag.
enum class Protocol : std::uint8_t { ll, ll128, simple };
inline constexpr int protocol_count = 3;
std::string_view name_of(Protocol protocol);

/// What a program may tell NCCL through its environment. The defaults are NCCL's.
struct CollectiveOptions {
  std::optional<Algorithm> algorithm;  ///< NCCL_ALGO; also those that NCCL does not have
  std::optional<Protocol> protocol;    ///< NCCL_PROTO
  bool nvls = true;                    ///< NCCL_NVLS_ENABLE: NVSwitches that add up
  bool sharp = false;                  ///< NCCL_COLLNET_ENABLE: network switches that add up
  bool pxn = true;                     ///< NCCL_P2P_PXN_LEVEL: all_to_all forwards through the GPU beside the NIC
  bool registered = false;             ///< buffers in symmetric windows (ncclCommWindowRegister): NCCL 2.27 and later
  int channels = 0;                    ///< NCCL_MIN_CTAS; 0: what the topology search finds
};

/// `size` follows nccl-tests: the buffer of an all_reduce, broadcast or reduce; the whole tensor of an all_gather,
/// reduce_scatter, scatter, gather; all that one rank sends (its own part included) in an all_to_all.
struct CollectiveCall {
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes size;
  GroupShape group;
  const Cluster& cluster;
  CollectiveOptions options = {};
};

struct CollectiveChoice {
  Algorithm algorithm = Algorithm::ring;
  Protocol protocol = Protocol::simple;
  Seconds time;
  Seconds nccl_estimate;  ///< what NCCL itself would expect; zero where it has no model
  bool offered = true;    ///< false: the options ask for what the cluster cannot do
};

/// Bus bandwidth over size / time: 2(n-1)/n for all_reduce, (n-1)/n for all_gather, reduce_scatter and all_to_all,
/// else 1 (nccl-tests doc/PERFORMANCE.md).
double bus_factor(CollectiveKind kind, std::int64_t ranks);
BytesPerSecond bus_bandwidth(CollectiveKind kind, std::int64_t ranks, Bytes size, Seconds time);

}  // namespace stepcast
