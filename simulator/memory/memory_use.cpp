#include "simulator/memory/memory_use.hpp"

#include <algorithm>
#include <tuple>

#include "simulator/workload/gradients.hpp"

namespace stepcast {

StateBytes adam_state_bytes(Precision precision, double gradient_bytes, int zero, double data_ranks) {
  const bool wide = precision == Precision::fp32 || precision == Precision::tf32;
  StateBytes bytes;
  bytes.parameters = wide ? 4 : 2;
  bytes.gradients = wide ? 4 : gradient_bytes;
  bytes.optimizer = wide ? 8 : 12;
  bytes.step = wide || gradient_bytes >= 4 ? 0 : 4;
  if (zero >= 1) bytes.optimizer /= data_ranks, bytes.step /= data_ranks;
  if (zero >= 2) bytes.gradients /= data_ranks;
  if (zero >= 3) bytes.parameters /= data_ranks;
  return bytes;
}

StateBytes fully_sharded_state_bytes(double shard_ranks) {
  return {4 / shard_ranks, 4 / shard_ranks, 8 / shard_ranks, 0};
}

Bytes MemoryUse::reserved() const {
  const Bytes room = std::max(capacity - outside(), allocated());
  return std::min(allocated() * fragmentation, room);
}

namespace {

/// Groups of more than one rank that a GPU belongs to: each has a communicator with its own buffers. A pipeline has one
/// for each neighbour (ProcessGroupNCCL makes one a pair); the norm of all gradients crosses the model-parallel group.
int communicators(const ParallelPlan& plan) {
  const bool tensor = plan.tensor_parallel > 1, pipeline = plan.pipeline_parallel > 1;
  return tensor + (plan.data_parallel * plan.context_parallel > 1) + std::min(plan.pipeline_parallel - 1, 2) +
         (plan.context_parallel > 1) + (plan.expert_parallel > 1) + (tensor && pipeline);
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

/// Parameters of a stage: all, of its largest block, and of these the trained ones.
struct StageParameters {
  double all = 0, largest = 0, trained = 0, largest_trained = 0;
};

StageParameters parameters_of(const ShardedModel& model, const std::vector<ChunkContents>& chunks) {
  StageParameters sum;
  for (const ChunkContents& chunk : chunks) {
    for_each_block(model, chunk, [&](const LocalBlock& block, int count) {
      sum.largest = std::max(sum.largest, block.parameters);
      sum.largest_trained = std::max(sum.largest_trained, block.trained.total());
      sum.all += block.parameters * count;
      sum.trained += block.trained.total() * count;
    });
  }
  return sum;
}

/// What fully sharded training holds on top of its shards: two gathered units in flight, or all parameters when they
/// stay gathered; the gradients of one unit, and its reduce_scatter input beside the next (PyTorch FSDP2
/// `_fsdp_param_group.py`). Under a pipeline the gradients stay whole, in the type of the reduction, until the last
/// microbatch (torch.distributed.pipelining: no synchronisation before it).
Bytes gathered_bytes(const ShardedModel& model, const std::vector<ChunkContents>& chunks, const ParallelPlan& plan) {
  const double element = computed_bytes(plan), reduced = reduced_bytes(plan);
  const StageParameters of = parameters_of(model, chunks);
  const bool stay = plan.zero == 2 || !plan.reshard_after_forward.value_or(plan.pipeline_parallel == 1);
  const double gathered = stay ? element * of.all : 2 * element * of.largest;
  const double accumulated = plan.no_sync.value_or(plan.pipeline_parallel > 1) ? reduced * of.trained : 0;
  const double second_copy =
      plan.zero_hpz_partition_size ? element * of.all / *plan.zero_hpz_partition_size : 0;  // ZeRO++ hpZ
  return Bytes(gathered + accumulated + second_copy + (element + 2 * reduced) * of.largest_trained);
}

/// PyTorch FSDP shards fp32 masters in stages 2 (SHARD_GRAD_OP) and 3; others keep them beside what is computed with.
bool shards_master(const ParallelPlan& plan, const Framework& framework) {
  return plan.zero >= 2 && *framework.sharded_master;
}

}  // namespace

MemoryUse stage_memory(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework,
                       const Gpu& gpu, std::int64_t chunks_in_flight, Bytes boundary) {
  const double data_ranks = static_cast<double>(plan.dense_copies());
  const bool sharded_master = shards_master(plan, framework);
  const ParameterCount count = model.count(stage), trained = model.trained(stage);
  MemoryUse use;
  Bytes step;
  for (const auto& [all, parameters, copies] : {std::tuple(count.dense, trained.dense, plan.shard_ranks()),
                                                {count.expert, trained.expert, plan.expert_copies()}}) {
    const auto shards = static_cast<double>(copies);
    // What is not trained is there in the type that it is computed with, and nothing more.
    use.parameters += Bytes((all - parameters) * computed_bytes(plan) / (plan.zero >= 3 ? shards : 1));
    const StateBytes states = sharded_master
                                  ? fully_sharded_state_bytes(shards)
                                  : adam_state_bytes(plan.precision, held_bytes(plan, framework), plan.zero, shards);
    use.parameters += Bytes(states.parameters * parameters);
    use.gradients += Bytes(states.gradients * parameters);
    use.optimizer += Bytes(states.optimizer * parameters);
    step += Bytes(states.step * parameters);
  }
  if (plan.local_steps > 1) use.optimizer += Bytes(8 * count.total());  // DiLoCo: old parameters and outer momentum
  if (plan.optimizer_on_cpu()) {
    // States lie in the host's memory; gradients that are sharded go there as soon as they are reduced.
    use.optimizer = step = Bytes{};
    if (plan.zero >= 2) use.gradients = Bytes{};
  }
  // The step begins when the last activation is gone: whichever is more.
  use.activations =
      std::max(activation_bytes(model, model.stages[static_cast<std::size_t>(stage)], chunks_in_flight), step);
  const double exchanged = plan.pipeline_parallel > 1 ? 4 : 0;  // sent and received, forward and backward
  use.buffers = boundary * exchanged;
  if (data_ranks > 1) {
    use.buffers += *framework.reduce_buffer;
    if (sharded_master || plan.zero >= 3) {
      use.buffers += gathered_bytes(model, model.stages[static_cast<std::size_t>(stage)], plan);
    }
  }
  use.communicators = *framework.communicator_memory * communicators(plan);
  use.context = *gpu.context_memory;
  use.fragmentation = *framework.fragmentation;
  use.capacity = *gpu.memory;
  return use;
}

}  // namespace stepcast
