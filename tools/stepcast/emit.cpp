#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/parallelism/recompute.hpp"
#include "simulator/resolve.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  std::string framework = "megatron-lm";
};

/// Layers of a chunk, where all chunks have as many.
std::int64_t layers_of_chunk(const Job& job) {
  return job.model.layers / (std::int64_t{job.plan.pipeline_parallel} * job.plan.virtual_stages);
}

/// "Et*9|t*8|t*8|t*7L": what each virtual stage holds, in the model's order (Megatron-Core docs, "Custom Pipeline Model
/// Parallel Layout").
std::string pipeline_layout(const std::vector<int>& layers) {
  std::string text;
  for (std::size_t part = 0; part < layers.size(); ++part) {
    if (part > 0) text += "|";
    if (part == 0) text += "E";
    if (layers[part] > 0) text += fmt::format("t*{}", layers[part]);
    if (part + 1 == layers.size()) text += "L";
  }
  return text;
}

/// NVIDIA/Megatron-LM, megatron/training/arguments.py of core_v0.12.0; --pipeline-model-parallel-layout came with core_v0.13.
std::string megatron_lm(const Job& job) {
  const Architecture& m = job.model;
  const ParallelPlan& p = job.plan;
  std::string text = "# Megatron-LM core_v0.12.0\n";
  const auto flag = [&](std::string_view name) { text += fmt::format("--{}\n", name); };
  const auto value = [&](std::string_view name, const auto& of) { text += fmt::format("--{} {}\n", name, of); };
  value("num-layers", m.layers);
  value("hidden-size", m.hidden);
  value("num-attention-heads", m.heads);
  if (m.kv_heads != m.heads) flag("group-query-attention"), value("num-query-groups", m.kv_heads);
  if (m.head_dim * m.heads != m.hidden) value("kv-channels", m.head_dim);
  if (m.ffn) value("ffn-hidden-size", *m.ffn);
  value("seq-length", p.sequence_length);
  value("max-position-embeddings", std::max(m.max_positions, p.sequence_length));
  if (m.activation == Activation::swiglu) flag("swiglu");
  if (m.norm == NormKind::rmsnorm) value("normalization", "RMSNorm");
  if (m.position == Position::rope) value("position-embedding-type", "rope");
  if (!m.bias) flag("disable-bias-linear");
  if (m.qkv_bias) flag("add-qkv-bias");
  if (!m.tied_embeddings) flag("untie-embeddings-and-output-weights");
  if (m.dropout) value("attention-dropout", *m.dropout), value("hidden-dropout", *m.dropout);
  if (m.moe) {
    value("num-experts", m.moe->experts);
    value("moe-router-topk", m.moe->top_k);
    value("moe-ffn-hidden-size", m.moe->expert_ffn);
    if (m.moe->shared_ffn) value("moe-shared-expert-intermediate-size", *m.moe->shared_ffn);
    if (p.dispatcher) value("moe-token-dispatcher-type", *p.dispatcher == "deepep" ? "flex" : *p.dispatcher);
  }
  value("tensor-model-parallel-size", p.tensor_parallel);
  if (p.sequence_parallel) flag("sequence-parallel");
  value("pipeline-model-parallel-size", p.pipeline_parallel);
  if (p.layer_split == LayerSplit::given) {
    value("pipeline-model-parallel-layout", "'" + pipeline_layout(p.stage_layers) + "'");
  } else if (p.virtual_stages > 1) {
    value("num-layers-per-virtual-pipeline-stage", layers_of_chunk(job));
  }
  value("context-parallel-size", p.context_parallel);
  if (p.expert_parallel > 1) value("expert-model-parallel-size", p.expert_parallel);
  if (p.expert_tensor_parallel && m.moe) value("expert-tensor-parallel-size", *p.expert_tensor_parallel);
  value("micro-batch-size", p.microbatch);
  value("global-batch-size", p.global_batch);
  if (p.zero == 1) flag("use-distributed-optimizer");
  if (p.zero == 1 && p.shard_group && p.dense_copies() > *p.shard_group)
    value("num-distributed-optimizer-instances", p.dense_copies() / *p.shard_group);
  if (p.zero >= 2) flag("use-torch-fsdp2");
  if (p.overlap_grad_reduce.value_or(false)) flag("overlap-grad-reduce");
  if (p.overlap_param_gather.value_or(false) && p.zero == 1) flag("overlap-param-gather");
  if (p.virtual_stages > 1 && !p.overlap_p2p.value_or(true)) flag("no-overlap-p2p-communication");
  if (p.overlap_tp.value_or(false)) flag("tp-comm-overlap");
  if (p.flash_attention.value_or(false)) flag("use-flash-attn");
  if (const auto policy = recompute_policy(p.recompute)) {
    if (policy->what == Recompute::selective || policy->what == Recompute::modules)
      value("recompute-granularity", "selective");
    if (policy->what == Recompute::modules) {
      std::string modules;
      for (const RecomputeModule& module : recompute_modules()) {
        if ((policy->modules & module.bit) == 0) continue;
        std::string name(module.name);
        std::replace(name.begin(), name.end(), '-', '_');
        modules += (modules.empty() ? "" : " ") + name;
      }
      value("recompute-modules", modules);
    }
    if (policy->what == Recompute::full && !policy->layers.first_of.empty()) {
      text +=
          "# recompute: " + p.recompute + " has another number of layers for each virtual stage; Megatron-LM has one\n";
      value("recompute-granularity", "full");
      value("recompute-method", "block");
      value("recompute-num-layers", *std::max_element(policy->layers.first_of.begin(), policy->layers.first_of.end()));
    } else if (policy->what == Recompute::full) {
      value("recompute-granularity", "full");
      value("recompute-method", policy->layers.first > 0 ? "block" : "uniform");
      value("recompute-num-layers", std::max(1, policy->layers.first));
    }
  }
  if (p.precision == Precision::bf16 || p.precision == Precision::fp8) flag("bf16");
  if (p.precision == Precision::fp16) flag("fp16");
  if (p.precision == Precision::fp8) value("fp8-format", "hybrid");
  if (p.cpu_offload == "optimizer") flag("optimizer-cpu-offload");
  return text;
}

/// NVIDIA/NeMo 2.0, nemo.lightning.MegatronStrategy.
std::string nemo(const Job& job) {
  const ParallelPlan& p = job.plan;
  std::string text = "# NeMo 2.0, for nemo.lightning.MegatronStrategy(...) and the data module\n";
  const auto value = [&](std::string_view name, const auto& of) { text += fmt::format("{}={},\n", name, of); };
  const auto truth = [](bool b) { return b ? "True" : "False"; };
  value("tensor_model_parallel_size", p.tensor_parallel);
  value("pipeline_model_parallel_size", p.pipeline_parallel);
  if (p.virtual_stages > 1) value("virtual_pipeline_model_parallel_size", p.virtual_stages);
  value("context_parallel_size", p.context_parallel);
  if (p.expert_parallel > 1) value("expert_model_parallel_size", p.expert_parallel);
  value("sequence_parallel", truth(p.sequence_parallel));
  text += fmt::format(
      "ddp=DistributedDataParallelConfig(use_distributed_optimizer={}, overlap_grad_reduce={}, "
      "overlap_param_gather={}),\n",
      truth(p.zero >= 1), truth(p.overlap_grad_reduce.value_or(false)), truth(p.overlap_param_gather.value_or(false)));
  text += fmt::format("# data: micro_batch_size={}, global_batch_size={}, seq_length={}\n", p.microbatch,
                      p.global_batch, p.sequence_length);
  if (p.layer_split == LayerSplit::given)
    text += "# model.config: pipeline_model_parallel_layout='" + pipeline_layout(p.stage_layers) + "'\n";
  if (p.recompute == "full")
    text += "# model.config: recompute_granularity='full', recompute_method='uniform', recompute_num_layers=1\n";
  if (p.recompute == "selective") text += "# model.config: recompute_granularity='selective'\n";
  return text;
}

/// pytorch/torchtitan @ 000204a4 (2025), torchtitan/config/job_config.py.
std::string torchtitan(const Job& job) {
  const ParallelPlan& p = job.plan;
  const bool shards = p.zero >= 2;
  std::string text = "# torchtitan @ 000204a4\n[training]\n";
  text +=
      fmt::format("local_batch_size = {}\nglobal_batch_size = {}\nseq_len = {}\n",
                  p.microbatch * (p.pipeline_parallel > 1 ? p.microbatches() : 1), p.global_batch, p.sequence_length);
  text += fmt::format("compile = {}\n", p.torch_compile.value_or(false));
  const std::int64_t group = p.shard_group.value_or(p.data_parallel);
  text += fmt::format("\n[parallelism]\ndata_parallel_replicate_degree = {}\ndata_parallel_shard_degree = {}\n",
                      shards ? p.data_parallel / group : p.data_parallel, shards ? group : 1);
  text += fmt::format("tensor_parallel_degree = {}\npipeline_parallel_degree = {}\ncontext_parallel_degree = {}\n",
                      p.tensor_parallel, p.pipeline_parallel, p.context_parallel);
  if (p.pipeline_parallel > 1) {
    const std::pair<std::string_view, std::string_view> names[] = {{"gpipe", "GPipe"},
                                                                   {"1f1b", "1F1B"},
                                                                   {"interleaved-1f1b", "Interleaved1F1B"},
                                                                   {"zb-v", "ZBVZeroBubble"},
                                                                   {"breadth-first", "LoopedBFS"}};
    for (const auto& [ours, theirs] : names) {
      if (p.schedule == ours) text += fmt::format("pipeline_parallel_schedule = \"{}\"\n", theirs);
    }
    text += fmt::format("pipeline_parallel_microbatch_size = {}\n", p.microbatch);
    if (p.layer_split == LayerSplit::given) {
      std::vector<std::string> begins;
      int first = 0;
      for (std::size_t part = 0; part + 1 < p.stage_layers.size(); ++part)
        begins.push_back(fmt::format("\"layers.{}\"", first += p.stage_layers[part]));
      text += fmt::format("pipeline_parallel_split_points = [{}]\n", fmt::join(begins, ", "));
    }
  }
  if (p.expert_parallel > 1) text += fmt::format("expert_parallel_degree = {}\n", p.expert_parallel);
  if (p.overlap_tp.value_or(false)) text += "enable_async_tensor_parallel = true\n";
  if (shards && p.reshard_after_forward)
    text += fmt::format("fsdp_reshard_after_forward = \"{}\"\n", *p.reshard_after_forward ? "always" : "never");
  const std::string mode = p.recompute == "none" ? "none" : p.recompute == "full" ? "full" : "selective";
  text += fmt::format("\n[activation_checkpoint]\nmode = \"{}\"\n", mode);
  if (mode == "selective")
    text += fmt::format("selective_ac_option = \"{}\"\n", p.recompute == "every-other-layer" ? "2" : "op");
  if (p.precision == Precision::fp8) text += "\n[float8]\nenable_fsdp_float8_all_gather = true\n";
  return text;
}

/// deepspeedai/DeepSpeed v0.16, docs/_pages/config-json.md.
std::string deepspeed(const Job& job) {
  const ParallelPlan& p = job.plan;
  nlohmann::ordered_json json;
  json["train_batch_size"] = p.global_batch;
  json["train_micro_batch_size_per_gpu"] = p.microbatch;
  json["gradient_accumulation_steps"] = p.microbatches();
  json["zero_optimization"]["stage"] = p.zero;
  if (p.zero >= 1) json["zero_optimization"]["overlap_comm"] = p.overlap_grad_reduce.value_or(false);
  if (p.optimizer_on_cpu())
    json["zero_optimization"]["offload_optimizer"]["device"] = p.offload_to_nvme ? "nvme" : "cpu";
  if (p.optimizer_on_cpu() && p.offload_fraction < 1)
    json["zero_optimization"]["offload_optimizer"]["ratio"] = p.offload_fraction;
  if (p.parameters_on_cpu()) json["zero_optimization"]["offload_param"]["device"] = p.offload_to_nvme ? "nvme" : "cpu";
  if (p.zero_hpz_partition_size) json["zero_optimization"]["zero_hpz_partition_size"] = *p.zero_hpz_partition_size;
  if (p.zero_quantized_weights) json["zero_optimization"]["zero_quantized_weights"] = true;
  if (p.zero_quantized_gradients) json["zero_optimization"]["zero_quantized_gradients"] = true;
  if (p.zero >= 3 && p.shard_group) json["zero_optimization"]["mics_shard_size"] = *p.shard_group;
  if (p.precision == Precision::bf16) json["bf16"]["enabled"] = true;
  if (p.precision == Precision::fp16) json["fp16"]["enabled"] = true;
  if (p.tensor_parallel > 1) json["tensor_parallel"]["autotp_size"] = p.tensor_parallel;
  if (p.recompute != "none") json["activation_checkpointing"]["partition_activations"] = false;
  return json.dump(2) + "\n";
}

/// PyTorch 2.6, torch.distributed.fsdp.
std::string fsdp(const Job& job) {
  const ParallelPlan& p = job.plan;
  const char* dtype = p.precision == Precision::fp16 ? "torch.float16" : "torch.bfloat16";
  const std::int64_t group = p.shard_group.value_or(p.data_parallel);
  std::string text = "# PyTorch 2.6, torch.distributed.fsdp.fully_shard\n";
  if (group < p.data_parallel) {
    text += fmt::format("mesh = init_device_mesh(\"cuda\", ({}, {}), mesh_dim_names=(\"replicate\", \"shard\"))\n",
                        p.data_parallel / group, group);
  } else {
    text += fmt::format("mesh = init_device_mesh(\"cuda\", ({},))\n", p.data_parallel);
  }
  const char* reduce = p.grad_reduce_dtype.value_or("fp32") == "fp32" ? "torch.float32" : dtype;
  text += fmt::format("policy = MixedPrecisionPolicy(param_dtype={}, reduce_dtype={})\n", dtype, reduce);
  text += fmt::format(
      "for layer in model.layers:\n{}    fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward={})\n"
      "fully_shard(model, mesh=mesh, mp_policy=policy)\n",
      p.recompute == "none" ? "" : "    checkpoint_wrapper(layer)\n",
      p.zero >= 3 && p.reshard_after_forward.value_or(true) ? "True" : "False");
  text += fmt::format("# batch of {} sequences a GPU, {} accumulated\n", p.microbatch, p.microbatches());
  return text;
}

struct Target {
  std::string_view name;
  std::string (*write)(const Job&);
  bool data_parallel_alone;  ///< knows neither tensor nor pipeline parallelism
};
constexpr Target targets[] = {{"megatron-lm", megatron_lm, false},
                              {"nemo", nemo, false},
                              {"torchtitan", torchtitan, false},
                              {"deepspeed", deepspeed, false},
                              {"fsdp", fsdp, true}};

Exit run(const Options& options) {
  const Target& target = chosen("framework", options.framework, targets);
  const Job job = resolve(load_job(options.inputs.one_file("SCENARIO"), options.inputs.overrides()));
  const ParallelPlan& p = job.plan;
  if (target.data_parallel_alone && (p.tensor_parallel > 1 || p.pipeline_parallel > 1 || p.context_parallel > 1)) {
    print_note(
        fmt::format("{} has no tensor, pipeline or context parallelism of its own; this plan has TP {}, PP {}, CP {}",
                    target.name, p.tensor_parallel, p.pipeline_parallel, p.context_parallel));
    return Exit::answered_no;
  }
  print_result(target.write(job));
  return Exit::done;
}

}  // namespace

Action add_emit(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIO", Inputs::Count::one, "A scenario, or FILE#RUN for one run of a reference file");
  app.add_option("--for", options->framework, names_of(targets))->type_name("FRAMEWORK")->capture_default_str();
  app.footer(R"(Examples:
  stepcast emit scenarios/quickstart.yaml --for megatron-lm
  stepcast emit scenarios/llama3-70b-256-h100.yaml --for torchtitan)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
