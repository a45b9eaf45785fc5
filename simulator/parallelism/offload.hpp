#pragma once
/// The optimizer on the CPU (ZeRO-Offload, arXiv 2101.06840; Megatron-Core's optimizer offload): gradients go down over
/// PCIe, the processors of the node run Adam on them, updated parameters come back.

#include "simulator/profiles/framework.hpp"
#include "simulator/profiles/node.hpp"

namespace stepcast {

/// One way over PCIe.
Seconds host_copy_time(Bytes bytes, const Node& node);

/// Adam over one rank's parameters while the other GPUs' ranks of the node do the same: bound by the memory of the
/// host. Reads gradient, parameter and two moments in fp32, writes three of them and the 16-bit parameter: 30 bytes.
Seconds cpu_adam_time(double parameters, const Node& node, int ranks_per_node, const Framework& framework);

}  // namespace stepcast
