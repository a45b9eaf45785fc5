#pragma once
/// What lies outside the GPU: optimizer and parameters in the host's memory or on its drives (ZeRO-Offload, arXiv
/// 2101.06840; ZeRO-Infinity, arXiv 2104.07857; Megatron-Core's optimizer offload), activations in the host's memory.

#include "simulator/profiles/framework.hpp"
#include "simulator/profiles/node.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// One way over PCIe.
Seconds host_copy_time(Bytes bytes, const Node& node);

/// Adam over one rank's parameters while the other GPUs' ranks of the node do the same: bound by the memory of the
/// host. Reads gradient, parameter and two moments in fp32, writes three of them and the 16-bit parameter: 30 bytes.
Seconds cpu_adam_time(double parameters, const Node& node, int ranks_per_node, const Framework& framework);

/// Reads from the node's drives, and writes to them, while its other ranks do the same.
Seconds nvme_time(Bytes read, Bytes written, const Node& node, int ranks_per_node);

/// The optimizer's step outside the GPU over one rank's parameters. From drives the states of one piece are read and
/// those of another written while a third is worked on (ZeRO-Infinity, section 5.2): whichever is longer.
/// @param state_bytes  of a parameter: master copy and moments
Seconds offloaded_adam_time(double parameters, double state_bytes, const ParallelPlan& plan, const Node& node,
                            int ranks_per_node, const Framework& framework);

/// One rank's share of a block's parameters comes to the GPU, from where the plan keeps it.
Seconds parameter_upload_time(Bytes share, const ParallelPlan& plan, const Node& node, int ranks_per_node);

}  // namespace stepcast
