#pragma once
/// Memory of one GPU at its peak: what holds it, and whether it fits.
///
/// Sources: ZeRO (arXiv 1910.02054) section 3 and Megatron-LM docs/dist_optimizer.md for model states; Korthikanti et
/// al. 2022 sections 4.1-4.3 for activations.

#include <cstdint>
#include <string_view>

#include "simulator/profiles/framework.hpp"
#include "simulator/profiles/gpu.hpp"
#include "simulator/workload/plan.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// When a stage holds most: while an operator runs backward in a block, or the optimizer.
struct Fullest {
  std::string_view block;  ///< layer | head | embedding | optimizer
  std::string_view op;
};

/// What a measurement says depends on whom it asks: PyTorch's tensors (`allocated`), its caching allocator
/// (`reserved`), or the device (`peak`, what nvidia-smi shows).
struct MemoryUse {
  Bytes parameters, gradients, optimizer;
  Bytes activations;    ///< at the fullest moment, with the gradients of activations
  Bytes held;           ///< of these, what waits for its backward pass when most does
  Bytes working;        ///< beside it while a pass runs backward
  Bytes buffers;        ///< tensors of the software: gathered parameters, reduction buckets, exchanged activations
  Bytes communicators;  ///< NCCL's, outside the allocator
  Bytes context;        ///< CUDA context and loaded kernels
  Fullest fullest;
  double fragmentation = 1;  ///< reserved / allocated, where there is room
  Bytes capacity;

  Bytes allocated() const { return parameters + gradients + optimizer + activations + buffers; }
  /// The allocator's cache grows with fragmentation as far as the device has room, and is given back when it has none.
  Bytes reserved() const;
  Bytes outside() const { return communicators + context; }
  Bytes peak() const { return reserved() + outside(); }
  Bytes other() const { return peak() - allocated(); }
  bool fits() const { return allocated() + outside() <= capacity; }
};

/// Bytes of model states per parameter of one rank; sharded parts are divided by the ranks that share them.
struct StateBytes {
  double parameters = 0, gradients = 0, optimizer = 0;
  double step = 0;  ///< fp32 copy of the gradients that lives in the optimizer's step only

  double total() const { return parameters + gradients + optimizer + step; }
};

/// PyTorch FSDP: fp32 shards of parameters, which are the master copy, of gradients and of two moments (16 bytes).
StateBytes fully_sharded_state_bytes(double shard_ranks, double moment = 4);

/// Bytes of one of Adam's moments per parameter: the plan's type, else the framework's.
double moment_bytes(const ParallelPlan& plan, const Framework& framework);

/// Adam with mixed precision: 16-bit parameters and gradients, fp32 master copy and two moments (K = 12).
/// fp32: parameters, gradients and two moments.
/// @param gradient_bytes  held per parameter (see held_bytes()); below 4 the step makes an fp32 copy
/// @param zero            0: everything on every rank; 1: the optimizer is sharded over `data_ranks`; 2: the gradients
///                        too; 3: the parameters too
/// @param moment          bytes of each moment per parameter
StateBytes adam_state_bytes(Precision precision, double gradient_bytes, int zero, double data_ranks, double moment = 4);

/// @param chunks_in_flight     chunk activations that the schedule holds at the stage's peak
/// @param boundary             activation tensor exchanged with neighbouring stages
MemoryUse stage_memory(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework,
                       const Gpu& gpu, std::int64_t chunks_in_flight, Bytes boundary);

}  // namespace stepcast
