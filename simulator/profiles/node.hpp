#pragma once
/// One server: how its GPUs reach one another.

#include <string>

#include "simulator/profiles/sourced.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// One tier of links as a collective sees it: NVLink inside a node, the NICs between nodes.
struct LinkTier {
  Sourced<BytesPerSecond> bandwidth;  ///< per GPU, one direction, data sheet
  Sourced<double> efficiency;         ///< share of it that a large collective reaches (its busbw plateau)
  Sourced<Seconds> latency;           ///< one step of a ring, zero bytes
  Sourced<Seconds> launch;            ///< start of one collective: kernel launch, protocol set-up, first chunk
  Sourced<Bytes> half_size;           ///< message at which half of the plateau is reached, beyond launch and latency
};

struct Node {
  std::string name;
  std::string description;
  std::string gpu;  ///< preset name of its GPUs; empty: any
  int gpus = 0;
  std::string interconnect;  ///< nvswitch | nvlink-mesh | pcie | xgmi | none
  int domain_gpus = 0;       ///< GPUs in one NVLink domain; more than `gpus` for NVL72
  LinkTier intra;
  Sourced<BytesPerSecond> pcie_bandwidth;         ///< host to device, one direction, per GPU
  Sourced<BytesPerSecond> host_memory_bandwidth;  ///< of the server's processors together, data sheet
  Sourced<BytesPerSecond> nvme_read_bandwidth;    ///< of the server's local drives together
  Sourced<BytesPerSecond> nvme_write_bandwidth;
};

}  // namespace stepcast
