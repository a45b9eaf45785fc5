#include "simulator/memory/memory_use.hpp"

#include <algorithm>

namespace stepcast {

StateBytes adam_state_bytes(Precision precision, bool gradients_fp32, int zero, double data_ranks) {
  const bool wide = precision == Precision::fp32 || precision == Precision::tf32;
  StateBytes bytes;
  bytes.parameters = wide ? 4 : 2;
  bytes.gradients = wide || gradients_fp32 ? 4 : 2;
  bytes.optimizer = wide ? 8 : gradients_fp32 ? 12 : 16;
  if (zero >= 1) bytes.optimizer /= data_ranks;
  if (zero >= 2) bytes.gradients /= data_ranks;
  if (zero >= 3) bytes.parameters /= data_ranks;
  return bytes;
}

namespace {

/// Groups of more than one rank that a GPU belongs to: each has a communicator with its own buffers.
int communicators(const ParallelPlan& plan) {
  return (plan.tensor_parallel > 1) + (plan.data_parallel * plan.context_parallel > 1) + (plan.pipeline_parallel > 1) +
         (plan.context_parallel > 1) + (plan.expert_parallel > 1);
}

Bytes activation_bytes(const ShardedModel& model, const std::vector<ChunkContents>& chunks, std::int64_t in_flight) {
  const double v = static_cast<double>(chunks.size());
  Bytes layers, ends, working;
  for (const ChunkContents& chunk : chunks) {
    for (const auto& [kind, count] : chunk.layers) {
      const LocalBlock& layer = model.kinds[static_cast<std::size_t>(kind)];
      layers += layer.saved * count;
      working = std::max(working, layer.working);
    }
    // The first chunk is in flight as often as its share; the loss runs backward right after forward.
    if (chunk.embedding) ends += model.embedding.saved * (static_cast<double>(in_flight) / v);
    if (chunk.head) ends += model.head.saved;
  }
  return layers / v * static_cast<double>(in_flight) + ends + working;
}

/// What fully sharded training holds on top of its shards: two gathered units in flight, the gradients of one whole, and
/// its reduce_scatter input in flight beside the next (PyTorch FSDP2 `_fsdp_param_group.py`); or all parameters, when
/// they stay gathered.
Bytes gathered_bytes(const ShardedModel& model, const std::vector<ChunkContents>& chunks, const ParallelPlan& plan,
                     double reduce_bytes) {
  const double element = plan.precision == Precision::fp8 ? 2 : element_bytes(plan.precision);
  double largest = 0, all = 0;
  for (const ChunkContents& chunk : chunks) {
    for_each_block(model, chunk, [&](const LocalBlock& block, int count) {
      largest = std::max(largest, block.parameters);
      all += block.parameters * count;
    });
  }
  const bool stay = plan.zero == 2 || !plan.reshard_after_forward.value_or(plan.pipeline_parallel == 1);
  const double gathered = stay ? element * all : 2 * element * largest;
  return Bytes(gathered + (element + 2 * reduce_bytes) * largest);
}

}  // namespace

MemoryUse stage_memory(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework,
                       const Gpu& gpu, std::int64_t chunks_in_flight, Bytes boundary) {
  const double data_ranks = static_cast<double>(plan.dense_copies());
  const ParameterCount count = model.count(stage);
  MemoryUse use;
  for (const auto& [parameters, copies] :
       {std::pair(count.dense, plan.dense_copies()), {count.expert, plan.expert_copies()}}) {
    const StateBytes states =
        adam_state_bytes(plan.precision, *framework.gradient_dtype == "fp32", plan.zero, static_cast<double>(copies));
    use.parameters += Bytes(states.parameters * parameters);
    use.gradients += Bytes(states.gradients * parameters);
    use.optimizer += Bytes(states.optimizer * parameters);
  }
  use.activations = activation_bytes(model, model.stages[static_cast<std::size_t>(stage)], chunks_in_flight);
  const double exchanged = plan.pipeline_parallel > 1 ? 4 : 0;  // sent and received, forward and backward
  use.buffers = *framework.communicator_memory * communicators(plan) + boundary * exchanged;
  if (plan.zero >= 2 && data_ranks > 1) {
    const double reduce_bytes = plan.grad_reduce_dtype.value_or("fp32") == "fp32" ? 4 : 2;
    use.buffers += gathered_bytes(model, model.stages[static_cast<std::size_t>(stage)], plan, reduce_bytes);
  }
  use.other = *gpu.context_memory;
  use.capacity = *gpu.memory;
  return use;
}

}  // namespace stepcast
