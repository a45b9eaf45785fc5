#include "simulator/resolve.hpp"

#include <fmt/format.h>

#include "models/families.hpp"
#include "simulator/base/error.hpp"
#include "simulator/parallelism/expert_load.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/schedules/schedule.hpp"
#include "simulator/workload/gradients.hpp"

namespace stepcast {

std::string unsupported_reason(const Job& job) {
  const ParallelPlan& plan = job.plan;
  if (family_of(job.model) == nullptr) return "a model family without a builder";
  const bool other_layers = job.model.moe || job.model.ssm || job.model.encoder_layers > 0;
  if (plan.tensor_grid != "1d" && (other_layers || plan.lora || plan.frozen_layers > 0)) {
    return "experts, encoders, state spaces or fine-tuning on a grid of tensor-parallel ranks";
  }
  if (plan.shard_group && job.model.moe) return "hybrid sharding of experts";
  if (plan.loosely_synchronised() && plan.zero > 0) return "local steps, gossip or asynchronous gradients with ZeRO";
  if (plan.gradient_compression != "none" && plan.zero > 0) return "compressed gradients with ZeRO";
  if ((plan.zero_quantized_gradients || plan.zero_hpz_partition_size) && job.model.moe) return "ZeRO++ of experts";
  if (plan.context_parallel > 1 && (!job.model.causal || job.model.encoder_layers > 0)) {
    return "context parallelism with an encoder";
  }
  if (plan.context_parallel > 1 && job.model.ssm) return "context parallelism with state-space layers";
  if (plan.context_parallel > 1 && !plan.flash_attention.value_or(true)) {
    return "context parallelism with unfused attention";
  }
  if (!recompute_policy(plan.recompute)) return fmt::format("recompute policy '{}'", plan.recompute);
  if (find_schedule(plan.schedule) == nullptr) return fmt::format("pipeline schedule '{}'", plan.schedule);
  if (plan.optimizer != "adam") return fmt::format("optimizer '{}'", plan.optimizer);
  return "";
}

namespace {

std::string not_divisible(std::string_view what, std::int64_t value, std::string_view by, std::int64_t divisor) {
  return fmt::format("{} ({}) is no multiple of {} ({})", what, value, by, divisor);
}

/// Why a group of replicas cannot be cut into parts of that size.
std::string uneven_group(const ParallelPlan& plan, std::string_view what, std::int64_t size) {
  const std::int64_t cp = plan.context_parallel;
  if (plan.dense_copies() % size != 0) {
    return fmt::format("data_parallel x context_parallel ({}) is no multiple of {} ({})", plan.dense_copies(), what,
                       size);
  }
  return size % cp == 0 || cp % size == 0 ? "" : not_divisible(what, size, "context_parallel", cp);
}

std::string sharding_infeasible(const ParallelPlan& plan) {
  if (plan.offload_activations > 0 && plan.pipeline_parallel > 1) {
    return "offload_activations needs one pipeline stage (Megatron-Core cpu_offloading)";
  }
  if (plan.shard_group) {
    if (plan.zero == 0) return "shard_group without ZeRO: there is nothing that its ranks share";
    if (std::string reason = uneven_group(plan, "shard_group", *plan.shard_group); !reason.empty()) return reason;
  }
  if (plan.zero < 3 && (plan.zero_hpz_partition_size || plan.zero_quantized_gradients || plan.zero_quantized_weights)) {
    return "ZeRO++ (zero_quantized_weights, zero_hpz_partition_size, zero_quantized_gradients) needs zero: 3";
  }
  if (plan.zero_hpz_partition_size) {
    if (plan.shard_group) return "zero_hpz_partition_size and shard_group are two ways to the same end: choose one";
    return uneven_group(plan, "zero_hpz_partition_size", *plan.zero_hpz_partition_size);
  }
  if (plan.zero_quantized_gradients)
    return "zero_quantized_gradients needs zero_hpz_partition_size: the ranks of a node";
  const int loose = (plan.local_steps > 1) + (plan.gossip_neighbours > 0) + plan.asynchronous_data;
  if (loose > 1) return "local_steps, gossip_neighbours and asynchronous_data exclude each other";
  if (plan.gossip_neighbours >= plan.data_parallel && plan.gossip_neighbours > 0) {
    return fmt::format("gossip_neighbours ({}) of data_parallel ({}) copies", plan.gossip_neighbours,
                       plan.data_parallel);
  }
  return "";
}

std::string grid_infeasible(const ParallelPlan& plan) {
  if (plan.tensor_grid == "1d" || plan.tensor_parallel == 1) return "";
  const std::int64_t q = plan.tensor_side();
  const std::int64_t ranks = plan.tensor_grid == "3d" ? q * q * q : q * q * plan.tensor_depth;
  if (ranks == plan.tensor_parallel) return "";
  return fmt::format("tensor_parallel ({}) ranks make no {} grid{}", plan.tensor_parallel, plan.tensor_grid,
                     plan.tensor_grid == "2.5d" ? fmt::format(" of depth {}", plan.tensor_depth) : "");
}

std::string context_infeasible(const Architecture& model, const ParallelPlan& plan) {
  if (plan.context_parallel == 1) return "";
  const std::int64_t inner = plan.context_inner(), local_heads = model.heads / plan.tensor_parallel;
  if (plan.context_parallel % inner != 0) {
    return not_divisible("context_parallel", plan.context_parallel, "context_parallel_a2a", inner);
  }
  if (local_heads % inner != 0) return not_divisible("heads / tensor_parallel", local_heads, "the ranks of a2a", inner);
  return "";
}

std::string experts_infeasible(const Architecture& model, const ParallelPlan& plan) {
  if (!model.moe) return "";
  const MixtureOfExperts& moe = *model.moe;
  const int ep = plan.expert_parallel;
  const int etp = plan.expert_tensor_parallel.value_or(1);
  if (moe.experts % ep != 0) return not_divisible("experts", moe.experts, "expert_parallel", ep);
  if (moe.expert_ffn % etp != 0) return not_divisible("expert_ffn", moe.expert_ffn, "expert_tensor_parallel", etp);
  if (moe.shared_ffn.value_or(0) % plan.tensor_parallel != 0) {
    return not_divisible("shared_ffn", *moe.shared_ffn, "tensor_parallel", plan.tensor_parallel);
  }
  if (plan.gpus_per_stage() % (std::int64_t{ep} * etp) != 0) {
    return not_divisible("the GPUs of a stage", plan.gpus_per_stage(), "expert_parallel x expert_tensor_parallel",
                         std::int64_t{ep} * etp);
  }
  return "";
}

}  // namespace

std::string infeasible_reason(const Job& job) {
  const Architecture& model = job.model;
  const ParallelPlan& plan = job.plan;
  const int t = plan.tensor_parallel;
  if (plan.gpus() != job.cluster.gpus) {
    return fmt::format(
        "tensor_parallel {} x context_parallel {} x pipeline_parallel {} x data_parallel {} = {} GPUs, the cluster has "
        "{}",
        t, plan.context_parallel, plan.pipeline_parallel, plan.data_parallel, plan.gpus(), job.cluster.gpus);
  }
  if (plan.global_batch % (plan.microbatch * plan.data_parallel) != 0) {
    return not_divisible("global_batch", plan.global_batch, "microbatch x data_parallel",
                         plan.microbatch * plan.data_parallel);
  }
  if (model.heads % t != 0) return not_divisible("heads", model.heads, "tensor_parallel", t);
  if (model.kv_heads % t != 0 && t % model.kv_heads != 0) {
    return not_divisible("kv_heads", model.kv_heads, "tensor_parallel", t);
  }
  if (model.ffn.value_or(0) % t != 0) return not_divisible("ffn", *model.ffn, "tensor_parallel", t);
  if (padded_vocab(job) % t != 0)
    return not_divisible("the padded vocabulary", padded_vocab(job), "tensor_parallel", t);
  if (plan.sequence_parallel && plan.sequence_length % t != 0) {
    return not_divisible("sequence_length", plan.sequence_length, "tensor_parallel", t);
  }
  if (model.ssm && model.ssm->heads % t != 0) {
    return not_divisible("the state-space heads", model.ssm->heads, "tensor_parallel", t);
  }
  if (model.ssm && !model.ssm->selective() && model.ssm->groups % t != 0) {
    return not_divisible("the state-space groups", model.ssm->groups, "tensor_parallel", t);
  }
  if (plan.frozen_layers > model.layers) {
    return fmt::format("frozen_layers {} of a model with {} layers", plan.frozen_layers, model.layers);
  }
  for (const std::string& reason : {experts_infeasible(model, plan), sharding_infeasible(plan), grid_infeasible(plan),
                                    context_infeasible(model, plan)}) {
    if (!reason.empty()) return reason;
  }
  const std::int64_t virtual_stages = path_length(chunk_placement(plan), plan.pipeline_parallel, plan.virtual_stages);
  // Where embedding and loss take a layer's slot each, a chunk may hold nothing else.
  const bool slots = (model.layers + 2) % virtual_stages == 0;
  if (virtual_stages > model.layers + (slots ? 2 : 0)) {
    return fmt::format("{} layers cannot fill {} pipeline stages x {} chunks", model.layers, plan.pipeline_parallel,
                       plan.virtual_stages);
  }
  if (plan.layer_split == LayerSplit::given) {
    std::int64_t sum = 0;
    for (int layers : plan.stage_layers) sum += layers;
    if (static_cast<std::int64_t>(plan.stage_layers.size()) != virtual_stages || sum != model.layers) {
      return fmt::format("layer_split places {} layers on {} stages; the model has {} layers and the plan {} stages",
                         sum, plan.stage_layers.size(), model.layers, virtual_stages);
    }
  }
  if (const auto policy = recompute_policy(plan.recompute);
      policy && !policy->layers.first_of.empty() &&
      static_cast<std::int64_t>(policy->layers.first_of.size()) != virtual_stages) {
    return fmt::format("recompute {} is for {} virtual stages; the plan has {}", plan.recompute,
                       policy->layers.first_of.size(), virtual_stages);
  }
  if (plan.layer_split == LayerSplit::even && model.layers % virtual_stages != 0) {
    return not_divisible("layers", model.layers, "pipeline_parallel x virtual_stages", virtual_stages);
  }
  if (plan.layer_split == LayerSplit::embedding_and_loss_as_layers && (model.layers + 2) % virtual_stages != 0) {
    return not_divisible("layers + 2", model.layers + 2, "pipeline_parallel x virtual_stages", virtual_stages);
  }
  if (const Schedule* schedule = find_schedule(plan.schedule)) {
    return schedule->refuses(pipeline_shape(plan));
  }
  return "";
}

namespace {

/// The attention kernel that this GPU has: the framework's, else the newest older one.
std::string available_kernel(const std::string& wanted, const Gpu& gpu) {
  const auto& kernels = gpu.attention.kernels;
  if (kernels.contains(wanted)) return wanted;
  for (const char* older : {"cudnn", "flash3", "flash2", "flash1"}) {
    if (kernels.contains(older)) return older;
  }
  return "";
}

class Defaults {
 public:
  Defaults(Job& job, bool noted) : job_(job), noted_(noted) {}

  template <class T, class U>
  void take(std::optional<T>& field, const U& value, std::string_view name, std::string_view text) {
    if (field) return;
    field = T(value);
    if (noted_) job_.defaults_taken.push_back(fmt::format("{}: {} ({})", name, text, job_.framework.name));
  }
  void take(std::optional<bool>& field, bool value, std::string_view name, bool matters = true) {
    if (field) return;
    field = value;
    if (matters && noted_) job_.defaults_taken.push_back(fmt::format("{}: {} ({})", name, value, job_.framework.name));
  }

 private:
  Job& job_;
  const bool noted_;
};

void take_defaults(Job& job, bool noted) {
  const Framework& framework = job.framework;
  ParallelPlan& plan = job.plan;
  Defaults defaults(job, noted);

  if (plan.schedule == "none" && plan.pipeline_parallel > 1) {
    plan.schedule = plan.virtual_stages > 1 ? "interleaved-1f1b" : "1f1b";
    if (noted) job.defaults_taken.push_back(fmt::format("plan.schedule: {} (several pipeline stages)", plan.schedule));
  }
  defaults.take(job.model.dropout, *framework.dropout, "model.dropout", fmt::format("{}", *framework.dropout));
  defaults.take(plan.flash_attention, *framework.flash_attention, "framework.flash_attention");
  defaults.take(plan.overlap_grad_reduce, *framework.overlap_grad_reduce, "framework.overlap_grad_reduce",
                plan.data_parallel > 1);
  defaults.take(plan.overlap_param_gather, *framework.overlap_param_gather, "framework.overlap_param_gather",
                plan.data_parallel > 1 && plan.zero >= 1);
  defaults.take(plan.overlap_tp, *framework.overlap_tp, "framework.overlap_tp", plan.tensor_parallel > 1);
  if (*plan.overlap_tp)
    defaults.take(plan.tp_overlap, *framework.tp_overlap, "framework.tp_overlap", *framework.tp_overlap);
  if (plan.context_parallel > 1) {
    defaults.take(plan.cp_comm_type, *framework.cp_comm_type, "framework.cp_comm_type", *framework.cp_comm_type);
  }
  defaults.take(plan.overlap_p2p, *framework.overlap_p2p, "framework.overlap_p2p", plan.virtual_stages > 1);
  defaults.take(plan.grad_reduce_dtype, *framework.grad_reduce_dtype, "plan.grad_reduce_dtype",
                *framework.grad_reduce_dtype);
  if (job.model.moe) {
    defaults.take(plan.expert_tensor_parallel, *framework.expert_tensor_follows ? plan.tensor_parallel : 1,
                  "plan.expert_tensor_parallel",
                  fmt::format("{}", *framework.expert_tensor_follows ? plan.tensor_parallel : 1));
    if (plan.expert_parallel > 1) {
      defaults.take(plan.dispatcher, *framework.dispatcher, "framework.dispatcher", *framework.dispatcher);
    }
    defaults.take(plan.overlap_ep, *framework.overlap_ep, "framework.overlap_ep", plan.expert_parallel > 1);
  }
  defaults.take(plan.cuda_graphs, *framework.launch_mode == LaunchMode::cuda_graph, "framework.cuda_graphs", false);

  if (*plan.flash_attention && available_kernel(*framework.attention_kernel, job.cluster.gpu).empty()) {
    plan.flash_attention = false;
    if (noted)
      job.assumed.push_back(fmt::format("{} has no fused attention kernel: unfused attention", job.cluster.gpu.name));
  }
}

}  // namespace

Job resolve(const Job& given) {
  Job job = given;
  take_defaults(job, true);
  return job;
}

void resolve_plan(Job& job) { take_defaults(job, false); }

std::int64_t padded_vocab(const Job& job) {
  const std::int64_t multiple = std::int64_t{*job.framework.vocab_multiple} *
                                (*job.framework.vocab_multiple_times_tp ? job.plan.tensor_parallel : 1);
  return (job.model.vocab + multiple - 1) / multiple * multiple;
}

namespace {

ExpertSharding expert_sharding_of(const Job& job, const Sharding& sharding) {
  const ParallelPlan& plan = job.plan;
  const MixtureOfExperts& moe = *job.model.moe;
  ExpertSharding expert;
  expert.parallel = plan.expert_parallel;
  expert.tensor = plan.expert_tensor_parallel.value();
  expert.load = expert_imbalance(plan, moe.experts, sharding.stored_tokens() * static_cast<double>(moe.top_k));
  expert.dispatcher = find_dispatcher(plan.dispatcher.value_or(*job.framework.dispatcher));
  CHECK(expert.dispatcher != nullptr, "the reader knows the dispatchers");
  expert.group = group_shape(job.cluster, expert.parallel, expert.tensor);
  expert.overlap_shared = plan.overlap_shared_experts.value_or(false) && plan.expert_parallel > 1;
  const bool sent_fp8 = plan.precision == Precision::fp8 && *job.framework.fp8_dispatch;
  expert.element = sent_fp8 ? 1 : sharding.element;
  return expert;
}

}  // namespace

Sharding sharding_of(const Job& job) {
  const ParallelPlan& plan = job.plan;
  Sharding sharding;
  sharding.sequences = static_cast<double>(plan.microbatch);
  sharding.sequence_length = static_cast<double>(plan.sequence_length);
  sharding.tokens = sharding.sequences * sharding.sequence_length / plan.context_parallel;
  sharding.document = plan.attention_length.value_or(0);
  sharding.encoded_length = sharding.sequence_length;
  sharding.decoder_length = static_cast<double>(plan.decoder_length.value_or(plan.sequence_length));
  sharding.tensor = plan.tensor_parallel;
  sharding.context = plan.context_parallel;
  sharding.sequence_parallel = plan.sequence_parallel && plan.tensor_parallel > 1;
  if (plan.tensor_parallel > 1 && plan.tensor_grid != "1d") {
    sharding.tensor_grid = plan.tensor_grid;
    sharding.grid_side = plan.tensor_side();
    sharding.grid_depth = plan.tensor_grid == "2.5d" ? plan.tensor_depth : 1;
    sharding.sequence_parallel = true;  // activations lie in blocks of 1/t everywhere
  }
  sharding.precision = plan.precision;
  sharding.element = computed_bytes(plan);
  sharding.gradient = accumulated_bytes(plan, job.framework);
  if (const auto policy = recompute_policy(plan.recompute)) {
    sharding.recompute = policy->what;
    sharding.recompute_modules = policy->modules;
    sharding.recomputed_layers = policy->layers;
  }
  sharding.flash_attention = plan.flash_attention.value();
  if (sharding.flash_attention) {
    const auto& kernels = job.cluster.gpu.attention.kernels;
    sharding.attention_kernel = kernels.find(available_kernel(*job.framework.attention_kernel, job.cluster.gpu))->first;
  }
  sharding.fp8_recipe = plan.fp8_recipe.value_or("");
  sharding.microbatches = static_cast<double>(plan.microbatches());
  if (plan.context_parallel > 1) sharding.cp_comm_type = *plan.cp_comm_type;
  sharding.context_inner = static_cast<double>(plan.context_inner());
  if (plan.overlap_tp.value()) sharding.tp_overlap = *plan.tp_overlap;
  sharding.framework = &job.framework;
  if (job.model.moe) sharding.expert = expert_sharding_of(job, sharding);
  return sharding;
}

}  // namespace stepcast
