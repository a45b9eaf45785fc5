#pragma once
/// Memory of one GPU at its peak: what holds it, and whether it fits.
///
/// Sources: ZeRO (arXiv 1910.02054) section 3 and Megatron-LM docs/dist_optimizer.md for model states; Korthikanti et
/// al. 2022 sections 4.1-4.3 for activations.

#include <cstdint>

#include "simulator/profiles/framework.hpp"
#include "simulator/profiles/gpu.hpp"
#include "simulator/workload/plan.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

struct MemoryUse {
  Bytes parameters, gradients, optimizer, activations, buffers, other;
  Bytes capacity;

  Bytes peak() const { return parameters + gradients + optimizer + activations + buffers + other; }
  bool fits() const { return peak() <= capacity; }
};

/// Bytes of model states per parameter of one rank; sharded parts are divided by the data-parallel ranks already.
struct StateBytes {
  double parameters = 0, gradients = 0, optimizer = 0;
  double total() const { return parameters + gradients + optimizer; }
};

/// Adam with mixed precision: 16-bit parameters and gradients, fp32 master copy and two moments (K = 12).
/// fp32: parameters, gradients and two moments.
/// @param gradients_fp32  the accumulated gradient is fp32 (4 bytes); else 16-bit, with an fp32 copy at the step
/// @param zero            0: everything on every rank; 1: the optimizer is sharded over `data_ranks`; 2: the gradients
///                        too; 3: the parameters too
StateBytes adam_state_bytes(Precision precision, bool gradients_fp32, int zero, double data_ranks);

/// @param chunks_in_flight     chunk activations that the schedule holds at the stage's peak
/// @param boundary             activation tensor exchanged with neighbouring stages
MemoryUse stage_memory(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework,
                       const Gpu& gpu, std::int64_t chunks_in_flight, Bytes boundary);

}  // namespace stepcast
