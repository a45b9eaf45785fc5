#include "simulator/memory/memory_use.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "simulator/workload/gradients.hpp"

namespace stepcast {

double moment_bytes(const ParallelPlan& plan, const Framework& framework) {
  if (!plan.moment_dtype) return *framework.moment_bytes;
  return *plan.moment_dtype == "fp32" ? 4 : *plan.moment_dtype == "bf16" ? 2 : 1;
}

StateBytes adam_state_bytes(Precision precision, double gradient_bytes, int zero, double data_ranks, double moment) {
  const bool wide = precision == Precision::fp32 || precision == Precision::tf32;
  StateBytes bytes;
  bytes.parameters = wide ? 4 : 2;
  bytes.gradients = wide ? 4 : gradient_bytes;
  bytes.optimizer = (wide ? 0 : 4) + 2 * moment;
  bytes.step = wide || gradient_bytes >= 4 ? 0 : 4;
  if (zero >= 1) bytes.optimizer /= data_ranks, bytes.step /= data_ranks;
  if (zero >= 2) bytes.gradients /= data_ranks;
  if (zero >= 3) bytes.parameters /= data_ranks;
  return bytes;
}

StateBytes fully_sharded_state_bytes(double shard_ranks, double moment) {
  return {4 / shard_ranks, 4 / shard_ranks, 2 * moment / shard_ranks, 0};
}

Bytes MemoryUse::reserved() const {
  const Bytes room = std::max(capacity - outside(), allocated());
  return std::min((allocated() + other_moment) * fragmentation, room);
}

namespace {

/// Groups of more than one rank that a GPU belongs to: each has a communicator with its own buffers. A pipeline has one
/// for each neighbour (ProcessGroupNCCL makes one a pair); the norm of all gradients crosses the model-parallel group;
/// tied embeddings join first and last stage; barriers and agreements cross all ranks, a group of their own where there
/// is more than one kind.
int communicators(const ParallelPlan& plan, bool tied, int stage) {
  const bool tensor = plan.tensor_parallel > 1, pipeline = plan.pipeline_parallel > 1;
  const bool outer = stage == 0 || stage == plan.pipeline_parallel - 1;
  const int groups = tensor + (plan.dense_copies() > 1) + (plan.context_parallel > 1) + (plan.expert_parallel > 1) +
                     (tensor && pipeline) + (pipeline ? (outer ? 1 : 2) : 0) + (pipeline && tied && outer);
  return groups + (groups > 1);
}

/// PyTorch FSDP shards fp32 masters in stages 2 (SHARD_GRAD_OP) and 3; others keep them beside what is computed with.
bool shards_master(const ParallelPlan& plan, const Framework& framework) {
  return plan.zero >= 2 && *framework.sharded_master;
}

/// A moment at which a stage may be at its fullest.
struct Candidate {
  Bytes activations, gathered;
  Fullest what;
};

/// What a stage holds besides its states, moment by moment.
class StageMoments {
 public:
  StageMoments(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework,
               std::int64_t in_flight)
      : model_(model),
        chunks_(model.stages[static_cast<std::size_t>(stage)]),
        plan_(plan),
        framework_(framework),
        in_flight_(static_cast<double>(in_flight)) {
    for (const ChunkContents& chunk : chunks_) {
      for_each_block(model, chunk, [&](const LocalBlock& block, int count) {
        all_ += block.parameters * count;
        trained_ += block.trained.total() * count;
      });
    }
  }

  /// Activations between two passes, when as many chunks are in flight as the schedule holds.
  Bytes held() const {
    Bytes layers, embedding;
    for (const ChunkContents& chunk : chunks_) {
      layers += layers_of(chunk);
      if (chunk.embedding) embedding = model_.embedding.saved;
    }
    return (layers + embedding) / static_cast<double>(chunks_.size()) * in_flight_;
  }

  /// The fullest moment of the passes.
  Candidate fullest() const {
    Candidate most;
    const auto consider = [&](const Candidate& candidate) {
      if (candidate.activations + candidate.gathered > most.activations + most.gathered) most = candidate;
    };
    for (const ChunkContents& chunk : chunks_) {
      // The loss runs backward right after forward; when the layers do, what it held is gone.
      if (chunk.head) {
        const Bytes head = model_.head.saved + model_.head.working;
        consider({held() + head, gathered(model_.head, last_layer(chunk), nullptr), {"head", model_.head.fullest_op}});
      }
      for (const auto& [kind, count] : chunk.layers) {
        const LocalBlock& layer = model_.kinds[static_cast<std::size_t>(kind)];
        const LocalBlock* before = chunk.head ? &model_.head : &layer;
        consider({held() + layer.working, gathered(layer, &layer, before), {"layer", layer.fullest_op}});
      }
      if (chunk.embedding) {
        const LocalBlock& embedding = model_.embedding;
        consider({held() - layers_of(chunk) + embedding.working,
                  gathered(embedding, nullptr, last_layer(chunk)),
                  {"embedding", embedding.fullest_op}});
      }
    }
    return most;
  }

 private:
  /// Of those whose activations go to the CPU two are there at a time: one in use, one on its way.
  Bytes layers_of(const ChunkContents& chunk) const {
    Bytes sum;
    int away = plan_.offload_activations;
    for (const auto& [kind, count] : chunk.layers) {
      const int offloaded = std::min(count, std::max(0, away));
      away -= count;
      sum += model_.kinds[static_cast<std::size_t>(kind)].saved * (count - offloaded + std::min(offloaded, 2));
    }
    return sum;
  }
  const LocalBlock* last_layer(const ChunkContents& chunk) const {
    return chunk.layers.empty() ? nullptr : &model_.kinds[static_cast<std::size_t>(chunk.layers.back().first)];
  }

  bool shards() const { return plan_.dense_copies() > 1 && (plan_.zero >= 3 || shards_master(plan_, framework_)); }

  /// What fully sharded training holds on top of its shards while a block runs backward (PyTorch FSDP2
  /// `_fsdp_param_group.py`): the block gathered, and the next one; its gradients, as computed and as they go into the
  /// reduction, beside those of the block before it. Parameters that stay gathered are all there, and under a pipeline
  /// so are the gradients in the type of the reduction until the last microbatch (torch.distributed.pipelining: no
  /// synchronisation before it). DeepSpeed gathers modules as long as fewer than `live_parameters` are.
  /// @param before  ran backward before; null: nothing did, and this one is about to
  Bytes gathered(const LocalBlock& block, const LocalBlock* next, const LocalBlock* before) const {
    if (!shards()) return Bytes{};
    const double element = computed_bytes(plan_), reduced = reduced_bytes(plan_);
    const double own = block.parameters;
    const bool stay = plan_.zero == 2 || !plan_.reshard_after_forward.value_or(plan_.pipeline_parallel == 1);
    if (*framework_.live_parameters > 0) {
      double module = 0;
      for (const auto& [rows, columns] : block.weights) module = std::max(module, rows * columns);
      if (block.weights.empty()) module = own;
      const double live = std::min(all_, std::max(*framework_.live_parameters, module));
      return Bytes(element * ((stay ? all_ : live) + (before != nullptr ? module : 0)));
    }
    const double ahead = next != nullptr ? next->parameters : 0;
    double bytes = stay ? element * all_ : element * (own + ahead);
    const double trained = block.trained.total();
    if (before != nullptr) bytes += element * trained + reduced * (trained + before->trained.total());
    if (plan_.no_sync.value_or(plan_.pipeline_parallel > 1)) bytes += reduced * trained_;
    if (plan_.zero_hpz_partition_size) bytes += element * all_ / *plan_.zero_hpz_partition_size;  // ZeRO++ hpZ
    return Bytes(bytes);
  }

  const ShardedModel& model_;
  const std::vector<ChunkContents>& chunks_;
  const ParallelPlan& plan_;
  const Framework& framework_;
  const double in_flight_;
  double all_ = 0, trained_ = 0;  ///< parameters of the stage
};

/// Transformer Engine returns a tensor like the weight for each gradient that was summed in place, one a shape.
Bytes dummy_gradients(const ShardedModel& model, const std::vector<ChunkContents>& chunks, const ParallelPlan& plan,
                      const Framework& framework) {
  if (!*framework.dummy_weight_gradients || !*framework.gradient_accumulation_fusion) return Bytes{};
  std::set<std::pair<double, double>> shapes;
  for (const ChunkContents& chunk : chunks) {
    for (const auto& [kind, count] : chunk.layers) {
      const LocalBlock& layer = model.kinds[static_cast<std::size_t>(kind)];
      shapes.insert(layer.weights.begin(), layer.weights.end());
    }
  }
  double elements = 0;
  for (const auto& [rows, columns] : shapes) elements += rows * columns;
  return Bytes(computed_bytes(plan) * elements);
}

/// A flat copy of gradients on their way into the reduction: so many of them, at least the largest tensor, in the type
/// that they are summed in (deepspeedai/DeepSpeed runtime/engine.py, buffered_allreduce_fallback and flatten).
Bytes reduction_bucket(const ShardedModel& model, const std::vector<ChunkContents>& chunks, const ParallelPlan& plan,
                       const Framework& framework) {
  if (*framework.reduce_buffer == Bytes{}) return Bytes{};
  double elements = framework.reduce_buffer->si() / 2;
  for (const ChunkContents& chunk : chunks) {
    for (const auto& [kind, count] : chunk.layers) {
      for (const auto& [rows, columns] : model.kinds[static_cast<std::size_t>(kind)].weights) {
        elements = std::max(elements, rows * columns);
      }
    }
    if (chunk.embedding || chunk.head) elements = std::max(elements, model.embedding_table_parameters);
  }
  // ZeRO-3 reduces what autograd makes.
  return Bytes(elements * (plan.zero >= 3 ? computed_bytes(plan) : accumulated_bytes(plan, framework)));
}

}  // namespace

MemoryUse stage_memory(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework,
                       const Gpu& gpu, std::int64_t chunks_in_flight, Bytes boundary) {
  const std::vector<ChunkContents>& chunks = model.stages[static_cast<std::size_t>(stage)];
  const bool sharded_master = shards_master(plan, framework);
  const double moment = moment_bytes(plan, framework);
  const ParameterCount count = model.count(stage), trained = model.trained(stage);
  MemoryUse use;
  Bytes step;
  for (const auto& [all, parameters, copies] : {std::tuple(count.dense, trained.dense, plan.shard_ranks()),
                                                {count.expert, trained.expert, plan.expert_copies()}}) {
    const auto shards = static_cast<double>(copies);
    // What is not trained is there in the type that it is computed with, and nothing more.
    use.parameters +=
        Bytes((all - parameters) * computed_bytes(plan) / (plan.zero >= 3 || sharded_master ? shards : 1));
    const StateBytes states =
        sharded_master ? fully_sharded_state_bytes(shards, moment)
                       : adam_state_bytes(plan.precision, held_bytes(plan, framework), plan.zero, shards, moment);
    use.parameters += Bytes(states.parameters * parameters);
    use.gradients += Bytes(states.gradients * parameters);
    use.optimizer += Bytes(states.optimizer * parameters);
    // XLA: one fused update. DeepSpeed flattens the 16-bit gradients of a shard, then widens them (stage_1_and_2.py, step).
    if (*framework.launch_mode == LaunchMode::compiled) continue;
    const double flat = *framework.reduce_buffer > Bytes{} ? states.step / 2 : 0;
    step += Bytes((states.step + flat) * parameters);
  }
  if (plan.local_steps > 1) use.optimizer += Bytes(8 * count.total());  // DiLoCo: old parameters and outer momentum
  if (plan.optimizer_on_cpu()) {
    // States lie in the host's memory; gradients that are sharded go there as soon as they are reduced.
    const double stays = 1 - plan.on_cpu();
    use.optimizer = use.optimizer * stays;
    step = step * stays;
    if (plan.zero >= 2) use.gradients = use.gradients * stays;
  }
  if (plan.parameters_on_cpu()) use.parameters = Bytes{};
  const StageMoments moments(model, stage, plan, framework, chunks_in_flight);
  const Candidate pass = moments.fullest();
  use.held = moments.held();
  use.working = pass.activations - use.held;
  // The step begins when the last activation is gone.
  const bool at_step = step > pass.activations + pass.gathered;
  // A planned arena puts one where the other was.
  if (*framework.fragmentation > 1) use.other_moment = std::min(step, pass.activations + pass.gathered);
  const Candidate most = at_step ? Candidate{step, Bytes{}, {"optimizer", "optimizer"}} : pass;
  use.activations = most.activations;
  use.fullest = most.what;

  const bool pipeline = plan.pipeline_parallel > 1;
  const double exchanged = pipeline ? 4 : 0;  // sent and received, forward and backward
  const bool sends = pipeline && stage + 1 < plan.pipeline_parallel;
  const double sent = sends && *framework.keeps_stage_outputs ? static_cast<double>(chunks_in_flight) : 0;
  use.buffers = boundary * (exchanged + sent) + dummy_gradients(model, chunks, plan, framework) + most.gathered;
  if (plan.dense_copies() > 1) {
    // Overlapped, buckets fill while others are reduced.
    use.buffers += reduction_bucket(model, chunks, plan, framework) *
                   (plan.overlap_grad_reduce.value() ? *framework.overlapped_buffers : 1);
  }
  use.communicators = *framework.communicator_memory * communicators(plan, model.tied_embeddings, stage);
  use.context = *gpu.context_memory + *framework.kernel_memory;
  use.fragmentation = *framework.fragmentation;
  use.capacity = *gpu.memory;
  return use;
}

}  // namespace stepcast
