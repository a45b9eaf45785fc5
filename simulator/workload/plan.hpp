#pragma once
/// How a run is spread over its GPUs and its batch: every knob that a person sets.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simulator/profiles/precision.hpp"
#include "simulator/workload/pipeline_order.hpp"

namespace stepcast {

/// selective: the attention core alone; selective_op: every second matrix product and all that is pointwise; modules: a
/// list of parts of a layer
enum class Recompute { none, selective, selective_op, modules, full };

enum class LayerSplit { automatic, even, embedding_and_loss_as_layers, given };

/// Low-rank adapters that are trained in place of the weights (LoRA, arXiv 2106.09685).
struct LowRankAdaptation {
  std::int64_t rank = 0;
  std::vector<std::string> targets;  ///< names of adapter_targets()
  double dropout = 0;                ///< of what an adapter multiplies

  bool operator==(const LowRankAdaptation&) const = default;
};

/// An optional has its framework's default; resolve() in predict.hpp fills it in and says so.
struct ParallelPlan {
  int tensor_parallel = 1;
  bool sequence_parallel = false;
  int pipeline_parallel = 1;
  int virtual_stages = 1;             ///< model chunks per pipeline rank
  std::string schedule = "none";      ///< name in the schedules' table; none at one pipeline stage
  std::optional<OwnOrder> own_order;  ///< of the passes, for schedule custom
  int data_parallel = 1;
  std::string tensor_grid = "1d";  ///< 1d | 2d | 2.5d | 3d: how tensor-parallel ranks cut a matrix
  int tensor_depth = 1;            ///< of 2.5d: layers of q x q ranks
  int context_parallel = 1;
  int context_parallel_a2a = 1;  ///< of these, neighbours that exchange heads under a2a+p2p
  int expert_parallel = 1;
  std::string placement = "megatron";  ///< order of the dimensions over the ranks: parse_rank_order()
  std::optional<int> expert_tensor_parallel;
  std::string expert_load = "balanced";  ///< balanced | zipf-<exponent>: how often tokens choose each expert
  std::vector<double> expert_histogram;  ///< tokens of each expert, measured; in place of expert_load when not empty
  std::int64_t microbatch = 1;           ///< sequences per microbatch per replica
  std::int64_t global_batch = 1;         ///< sequences per step
  std::int64_t sequence_length = 0;
  int zero = 0;
  std::optional<int> shard_group;              ///< ranks that share one copy (HSDP; Megatron: one optimizer instance)
  std::optional<bool> no_sync;                 ///< gradients are reduced once a step, not after each microbatch
  bool zero_quantized_weights = false;         ///< ZeRO++ qwZ: parameters gathered in int8
  std::optional<int> zero_hpz_partition_size;  ///< ZeRO++ hpZ: ranks that share a second copy for the backward pass
  bool zero_quantized_gradients = false;       ///< ZeRO++ qgZ: gradients sent in int4, inside a node first
  std::string gradient_compression = "none";   ///< a name in the compressions' table
  std::int64_t local_steps = 1;                ///< steps between two exchanges (local SGD, DiLoCo)
  int gossip_neighbours = 0;                   ///< each step averages with so many; 0: with all
  bool asynchronous_data = false;              ///< nobody waits for anybody's gradients
  std::optional<bool> reshard_after_forward;
  std::string recompute = "none";  ///< as written; recompute_policy() knows which of them are modelled
  Precision precision = Precision::bf16;
  std::optional<std::string> grad_reduce_dtype;  ///< fp32 | bf16 | fp16
  std::string optimizer = "adam";
  std::optional<std::string> moment_dtype;  ///< of Adam's moments: fp32 | bf16 | fp8
  std::string cpu_offload = "none";         ///< none | optimizer | all: parameters too
  double offload_fraction = 1;              ///< of the optimizer that is offloaded, what is
  bool offload_to_nvme = false;             ///< what is offloaded lies on the node's drives, not in its memory
  int offload_activations = 0;              ///< layers of a rank whose activations are on the CPU between their passes
  std::optional<LowRankAdaptation> lora;
  std::int64_t frozen_layers = 0;  ///< the embedding and the first n layers are not trained; 0: all is
  /// Of documents packed into one sequence: sum of squared lengths over sum of lengths, which attention works on.
  std::optional<double> attention_length;
  std::optional<std::int64_t> decoder_length;  ///< tokens of a sequence in an encoder-decoder's decoder
  LayerSplit layer_split = LayerSplit::automatic;
  std::vector<int> stage_layers;  ///< layers of each virtual stage in model order, when `given`

  // What a run may say of its software; absent: the framework's default.
  std::optional<bool> flash_attention;
  std::optional<bool> torch_compile;
  std::optional<std::string> fp8_recipe;
  std::optional<bool> overlap_grad_reduce;
  std::optional<bool> overlap_param_gather;
  std::optional<bool> overlap_tp;
  std::optional<std::string> tp_overlap;        ///< how: a name in the table of tensor overlaps
  std::optional<std::string> gradient_buckets;  ///< a name in the buckets' table
  std::optional<std::string> cp_comm_type;      ///< p2p | all_gather | torch_ring | a2a | a2a+p2p
  std::optional<bool> overlap_p2p;
  std::optional<bool> overlap_ep;
  std::optional<bool> overlap_shared_experts;  ///< absent: no (Megatron-LM --moe-shared-expert-overlap)
  std::optional<bool> cuda_graphs;
  std::optional<std::string> dispatcher;  ///< of tokens to experts: a name in the dispatchers' table

  /// Microbatches of one replica in one step.
  std::int64_t microbatches() const { return global_batch / (microbatch * data_parallel); }
  std::int64_t gpus() const {
    return std::int64_t{tensor_parallel} * context_parallel * pipeline_parallel * data_parallel;
  }
  std::int64_t gpus_per_stage() const { return gpus() / pipeline_parallel; }
  /// GPUs that hold copies of the same dense parameters, and of the same experts: what shards are cut from.
  std::int64_t dense_copies() const { return std::int64_t{data_parallel} * context_parallel; }
  /// Ranks that share one copy of what ZeRO shards: all, or a hybrid group.
  std::int64_t shard_ranks() const { return shard_group.value_or(static_cast<int>(dense_copies())); }
  /// Neighbours among the copies that collectives in two levels take as the inner one.
  std::int64_t data_inner() const {
    return shard_group.value_or(zero_hpz_partition_size.value_or(static_cast<int>(dense_copies())));
  }
  std::int64_t context_inner() const {
    return cp_comm_type == "a2a" ? context_parallel : cp_comm_type == "a2a+p2p" ? context_parallel_a2a : 1;
  }
  bool loosely_synchronised() const { return local_steps > 1 || gossip_neighbours > 0 || asynchronous_data; }
  /// GPUs that wait for each other in a step.
  std::int64_t gpus_in_step() const {
    const std::int64_t replicas = asynchronous_data       ? 1
                                  : gossip_neighbours > 0 ? gossip_neighbours + 1
                                                          : std::int64_t{data_parallel};
    return gpus() / data_parallel * replicas;
  }
  /// q of a q x q (x depth) grid.
  int tensor_side() const;
  /// Adam runs on the host's processors, which hold its states.
  bool optimizer_on_cpu() const { return cpu_offload != "none"; }
  bool parameters_on_cpu() const { return cpu_offload == "all"; }
  /// Of the optimizer's states.
  double on_cpu() const { return optimizer_on_cpu() ? offload_fraction : 0; }
  std::int64_t expert_copies() const {
    return gpus_per_stage() / (std::int64_t{expert_parallel} * expert_tensor_parallel.value_or(1));
  }

  bool operator==(const ParallelPlan&) const = default;
};

}  // namespace stepcast
