#include "simulator/input/scenario_keys.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/execution/gradient_buckets.hpp"
#include "simulator/input/input.hpp"
#include "simulator/parallelism/dispatchers.hpp"
#include "simulator/parallelism/methods.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

const std::string whole = "whole number";
const std::string flag = "true | false";
const std::string required = "required";
const std::string none = "none";
const std::string framework_default = "the framework's";

const std::vector<std::string> reduce_dtypes{"fp32", "bf16", "fp16"};

std::vector<std::string> names_by_key(std::string_view key) {
  std::vector<std::string> names;
  for (const ParallelMethod& method : list_parallel_methods()) {
    if (method.key == key) names.emplace_back(method.name);
  }
  return names;
}

template <class Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

}  // namespace

const std::vector<ScenarioKey>& scenario_keys() {
  static const std::vector<ScenarioKey> keys{
      // section, key, value, fallback, meaning, choices
      {"", "name", "text", "the file's name", "what the report is headed with"},
      {"", "model", "preset | path | map", required, "what is trained; a map may extend a preset"},
      {"", "cluster", "preset | path | map", required, "what it is trained on; a map may extend a preset"},
      {"", "plan", "map", required, "how it is spread"},
      {"", "framework", "preset | path | map", "megatron-core", "what the software fuses, overlaps and launches"},
      {"",
       "flops_convention",
       "",
       "full-attention",
       "how the source of a measurement counts FLOPs",
       {"megatron-full-recompute", "megatron-full-attention", "megatron-causal", "full-attention", "causal-half",
        "hfu-full", "6nd", "palm", "unknown"}},
      {"", "faults", "list of maps", none, "what is slow or has failed; every rank is simulated then"},
      {"", "jitter", "map", "the GPU profile's", "spread of speed", {"on", "off"}},
      {"", "executor", "", "dataflow", "see predict --executor", {"dataflow", "events"}},
      {"", "seed", whole, "1", "of the jitter"},
      {"", "price", "null", none, "not modelled yet"},
      {"", "id", "[a-z0-9.-]", "the file's name", "of a reference run, unique over all files"},
      {"", "source", "map", none, "where a reference run comes from"},
      {"", "confidence", "", "exact", "whether the source states every field", {"exact", "inferred"}},
      {"", "suspect", "text", none, "why the run is doubted: reported apart, never fitted to"},
      {"", "inferred", "list of keys", "[]", "fields that the source does not state"},
      {"", "measured", "map", none, "what was measured"},
      {"", "notes", "text", none, "for the reader"},

      {"model", "extends", "preset | path", none, "a model that has the keys which are not given here"},
      {"model", "name", "text", "the preset's", "for the report"},
      {"model", "description", "text", none, "of a preset, for `stepcast list`"},
      {"model", "source", "text", none, "of a preset"},
      {"model", "published_parameters", "number", none, "of a preset, for the tests"},
      {"model", "published_active_parameters", "number", none, "of a preset with experts: what one token passes"},
      {"model", "published_parameters_tolerance", "fraction", "0.01", "of a preset: how far our count may lie from it"},
      {"model", "hf", "path", none, "a Hugging Face config.json, whose keys those beside it override: list hf"},
      {"model", "layers", whole, "required; the pattern's", ""},
      {"model", "hidden", whole, required, "width of the residual stream"},
      {"model", "heads", whole, "required where a layer has attention", "attention heads"},
      {"model", "kv_heads", whole, "heads", "fewer than heads: grouped-query attention"},
      {"model", "head_dim", whole, "hidden / heads", ""},
      {"model", "ffn", whole, "none: every layer is routed", "width of the MLP; of one gate when gated"},
      {"model", "vocab", whole, "required without classes", "before a framework's padding"},
      {"model", "max_positions", whole, "sequence_length", "rows of a learned position table"},
      {"model",
       "norm",
       "",
       "layernorm",
       "",
       {"layernorm", "rmsnorm", "layernorm-without-shift", "layernorm-without-weights"}},
      {"model", "norm_place", "", "before", "of the norms, seen from attention and MLP", {"before", "after", "both"}},
      {"model",
       "qk_norm",
       "",
       none,
       "of queries and keys: each head, or all of their width",
       {"none", "head", "width"}},
      {"model", "activation", "", "gelu; swiglu with rmsnorm", "", {"gelu", "relu", "swiglu", "geglu", "squared_relu"}},
      {"model", "position", "", "learned; rope with rmsnorm", "", {"learned", "rope", "alibi", "relative", "none"}},
      {"model", "bias", flag, "true; false with rmsnorm", "linear layers have biases"},
      {"model", "qkv_bias", flag, "false", "query, key and value alone have biases"},
      {"model", "tied_embeddings", flag, "true; false with rmsnorm", "the head shares the input embedding"},
      {"model", "parallel_block", flag, "false", "attention and MLP side by side"},
      {"model", "shared_norm", flag, "false", "of a parallel block: one norm for both"},
      {"model", "embedding_norm", flag, "false", "a norm right after the embedding"},
      {"model", "dropout", "0 to 1", framework_default, ""},
      {"model", "attention_window", whole, none, "sliding window in tokens"},
      {"model", "window_every", whole, "1", "the window is in every n-th layer, the others see all tokens"},
      {"model", "full_every", whole, "0", "of windowed layers every n-th sees all tokens (Gemma-3: 6)"},
      {"model", "causal", flag, "true", "false: every token sees every other (BERT, ViT)"},
      {"model", "encoder_layers", whole, "0", "of the layers, the first ones: what the others attend to (T5)"},
      {"model", "head", "", "language", "", {"language", "masked-language", "classes"}},
      {"model", "head_bias", flag, "false", "the last linear has a bias"},
      {"model", "classes", whole, "0", "of a head that classifies a sequence"},
      {"model", "token_types", whole, "0", "rows of a table that tells sentences apart (BERT: 2)"},
      {"model", "patch_inputs", whole, "0", "values of an image patch: patches are embedded, not tokens (ViT: 768)"},
      {"model", "pattern", "letters", none, "one a layer: M state space, * attention, - MLP, E experts"},
      {"model", "ssm", "map", none, "state-space layers (Mamba-2)"},
      {"model", "mtp_layers", whole, "0", "modules that predict further tokens (DeepSeek-V3: 1)"},
      {"model", "moe", "map", none, "mixture of experts"},
      {"model", "mla", "map", none, "latent attention"},

      {"model.moe", "experts", whole, required, "of one layer"},
      {"model.moe", "top_k", whole, required, "experts that a token visits"},
      {"model.moe", "expert_ffn", whole, required, "width of one expert, of one gate when gated"},
      {"model.moe", "shared_experts", whole, "0", "experts that every token visits"},
      {"model.moe", "shared_ffn", whole, "shared_experts x expert_ffn", "their width in all"},
      {"model.moe", "shared_gate", flag, "false", "the shared experts' output is weighted (Qwen-2 MoE)"},
      {"model.moe", "moe_layers", whole, "layers", "every n-th where it divides; else the dense ones come first"},
      {"model.moe", "groups", whole, "1", "of experts, usually one a node (DeepSeek-V3: 8)"},
      {"model.moe", "groups_per_token", whole, "groups", "that the experts of a token belong to at most"},
      {"model.moe", "capacity_factor", "number", "none: dropless", "tokens that an expert takes, of its even share"},

      {"model.mla", "q_lora_rank", whole, "none: full rank", ""},
      {"model.mla", "kv_lora_rank", whole, required, ""},
      {"model.mla", "qk_nope_head_dim", whole, required, ""},
      {"model.mla", "qk_rope_head_dim", whole, required, ""},
      {"model.mla", "v_head_dim", whole, required, ""},

      {"model.ssm", "heads", whole, required, ""},
      {"model.ssm", "head_dim", whole, "64", "channels of a head"},
      {"model.ssm", "state", whole, "128", "states of a channel"},
      {"model.ssm", "groups", whole, "1", "of heads that share B and C"},
      {"model.ssm", "convolution", whole, "4", "tokens that the convolution sees"},
      {"model.ssm", "step_rank", whole, "0: Mamba-2", "Mamba: rank of the projection to step sizes"},
      {"model.ssm", "chunk", whole, "256", "tokens that are multiplied at once"},

      {"cluster", "extends", "preset | path", none, "a cluster that has the keys which are not given here"},
      {"cluster", "description", "text", none, "of a preset, for `stepcast list`"},
      {"cluster", "source", "text", none, "of a preset"},
      {"cluster", "node", "preset | path", "the usual one of the GPU", "one server"},
      {"cluster", "nodes", whole, "gpus / gpus_per_node", ""},
      {"cluster", "gpu", "preset | path", "the node's", ""},
      {"cluster", "gpus", whole, "nodes x gpus_per_node", "in all"},
      {"cluster", "gpus_per_node", whole, "all of the node's", "GPUs of a node that the run uses"},
      {"cluster", "fabric", "preset | path | unknown", "usual with that GPU", "the network between nodes"},

      {"plan", "tensor_parallel", whole, "1", ""},
      {"plan", "tensor_grid", "", "1d", "how its ranks cut a matrix", names_by_key("tensor_grid")},
      {"plan", "tensor_depth", whole, "1", "layers of a 2.5d grid"},
      {"plan", "sequence_parallel", flag, "false", "norms and dropout split along the sequence"},
      {"plan", "pipeline_parallel", whole, "1", ""},
      {"plan", "virtual_stages", whole, "1", "model chunks per pipeline rank"},
      {"plan",
       "layer_split",
       "list of layers per chunk",
       "even if it divides; else embedding-and-loss-as-layers; else nearest to even",
       "layers of each chunk",
       {"even", "embedding-and-loss-as-layers"}},
      {"plan", "schedule", "{custom: FILE}", "none; 1f1b with stages; interleaved-1f1b with virtual stages",
       "order of passes in the pipeline", names_of(list_schedules())},
      {"plan.schedule", "custom", "path | list of rows", required, "your own order, a row a rank: 0F0 0F1 0B0 0B1"},
      {"plan", "data_parallel", whole, "what the other degrees leave of the GPUs", "replicas"},
      {"plan", "context_parallel", whole, "1", ""},
      {"plan", "context_parallel_a2a", whole, "1", "of these, neighbours that exchange heads under a2a+p2p"},
      {"plan", "placement", "megatron | torchtitan | tp-cp-ep-dp-pp in any order", "megatron",
       "which dimension varies fastest from rank to rank"},
      {"plan", "expert_parallel", whole, "1", ""},
      {"plan", "expert_tensor_parallel", whole, framework_default, ""},
      {"plan", "expert_load", "zipf-<exponent> | list of tokens per expert", "balanced", "how tokens choose experts"},
      {"plan", "microbatch", whole, "1", "sequences per microbatch and replica"},
      {"plan", "global_batch", whole, required, "sequences per step"},
      {"plan", "sequence_length", whole, required, "tokens"},
      {"plan", "packed", "list of lengths | map", none,
       "documents in one sequence, which do not see each other; a map gives their mean length, and deviation"},
      {"plan", "decoder_length", whole, "sequence_length", "tokens that an encoder-decoder's decoder works on"},
      {"plan", "lora", "map", none, "low-rank adapters are trained in place of the weights"},
      {"plan", "frozen_layers", whole, "0", "the embedding and the first n layers are not trained"},
      {"plan", "zero", "0 to 3", "0", "1 optimizer sharded, 2 and gradients, 3 and parameters (FSDP)"},
      {"plan", "shard_group", whole, "all replicas", "ranks that share one copy: HSDP, Megatron's optimizer instances"},
      {"plan", "no_sync", flag, "true; false for FSDP on one stage",
       "gradients are reduced once a step, not each microbatch"},
      {"plan", "zero_quantized_weights", flag, "false", "ZeRO++ qwZ: parameters are gathered in int8"},
      {"plan", "zero_hpz_partition_size", whole, none, "ZeRO++ hpZ: ranks of a node, which share a second copy"},
      {"plan", "zero_quantized_gradients", flag, "false", "ZeRO++ qgZ: gradients are exchanged in int4, node by node"},
      {"plan", "gradient_compression", "none | int8 | int4 | onebit | powersgd-<rank> | topk-<percent>", none,
       "what it costs in steps to the same loss is for you to say"},
      {"plan", "local_steps", whole, "1", "steps between two averages of the copies (local SGD, DiLoCo)"},
      {"plan", "gossip_neighbours", whole, "0: all copies", "copies that each averages with in a step"},
      {"plan", "asynchronous_data", flag, "false", "copies do not wait for each other's gradients"},
      {"plan", "reshard_after_forward", flag, framework_default, "FSDP: gather parameters again for the backward"},
      {"plan",
       "recompute",
       "selective-<modules> | full-<n>-layers | full-<n>-<n>-...-layers",
       "none",
       "what the backward computes again; selective: the attention core",
       {"none", "selective", "full", "selective-op", "save-dot-only", "save-qkv-out-proj", "every-other-layer",
        "selective-layer", "minimal-flash"}},
      {"plan",
       "precision",
       "",
       "bf16",
       "fp8: linear layers fp8, the rest bf16",
       {"fp32", "tf32", "fp16", "bf16", "fp8"}},
      {"plan", "grad_reduce_dtype", "", framework_default, "of the gradient reduction", reduce_dtypes},
      {"plan", "optimizer", "", "adam", "", {"adam"}},
      {"plan",
       "moment_dtype",
       "",
       framework_default,
       "of the optimizer's moments (Megatron-Core's precision-aware optimizer)",
       {"fp32", "bf16", "fp8"}},
      {"plan",
       "cpu_offload",
       "",
       "none",
       "what the host holds: the optimizer, or all of it with the parameters (ZeRO-3)",
       {"none", "optimizer", "all"}},
      {"plan", "offload_fraction", "0 to 1", "1", "of the optimizer's states, what cpu_offload offloads"},
      {"plan",
       "offload_device",
       "",
       "cpu",
       "nvme: offloaded states lie on the node's drives (ZeRO-Infinity)",
       {"cpu", "nvme"}},
      {"plan", "offload_activations", whole, "0", "layers of a rank whose activations wait on the CPU"},

      {"plan.lora", "rank", whole, required, ""},
      {"plan.lora", "alpha", "number", none, "scale of what an adapter adds: costs nothing"},
      {"plan.lora", "targets", "list of linears", "linear_qkv, linear_proj, linear_fc1, linear_fc2",
       "that have an adapter: list adapters"},
      {"plan.lora", "dropout", "0 to 1", "0", "of what an adapter multiplies"},
      {"plan.packed", "mean", "tokens", required, "of the documents' lengths"},
      {"plan.packed", "deviation", "tokens", "0", "their standard deviation"},

      {"framework", "name", "preset | path", "megatron-core", ""},
      {"framework", "version", "text", none, "for the report"},
      {"framework", "flash_attention", flag, framework_default, ""},
      {"framework", "torch_compile", flag, framework_default, ""},
      {"framework",
       "fp8_recipe",
       "",
       framework_default,
       "",
       {"delayed", "current", "tensorwise", "rowwise", "blockwise"}},
      {"framework", "overlap_grad_reduce", flag, framework_default, ""},
      {"framework", "overlap_param_gather", flag, framework_default, ""},
      {"framework", "overlap_tp", flag, framework_default, "tensor-parallel communication under GEMMs"},
      {"framework", "tp_overlap", "", framework_default, "how overlap_tp overlaps", names_by_key("tp_overlap")},
      {"framework", "cp_comm_type", "", framework_default, "of context parallelism", names_by_key("cp_comm_type")},
      {"framework", "gradient_buckets", "", framework_default, "of DDP and ZeRO-1", names_of(list_gradient_buckets())},
      {"framework", "overlap_p2p", flag, framework_default, "pipeline transfers under compute"},
      {"framework", "overlap_ep", flag, framework_default, "expert all-to-all under compute"},
      {"framework", "overlap_shared_experts", flag, "false", "shared experts beside the exchanges of the others"},
      {"framework", "cuda_graphs", flag, framework_default, ""},
      {"framework", "dispatcher", "", framework_default, "of tokens to experts", names_of(list_dispatchers())},

      {"faults", "gpu", whole, none, "which one, of the whole job, from 0"},
      {"faults", "node", whole, none, "which one, from 0; its GPUs, or with `nic` that one of its NICs"},
      {"faults", "nic", whole, none, "which one of the node's, from 0"},
      {"faults", "speed", "0.001 to 1", none, "of the GPU's clock, or of the NIC's bandwidth"},
      {"faults", "failed", flag, "false",
       "a NIC's traffic goes by the node's next one; a GPU's or node's job cannot run"},

      {"jitter", "speed_spread", "fraction", "the GPU profile's", "between GPUs: standard deviation of the clock"},
      {"jitter", "launch_spread", "fraction", "the GPU profile's", "between kernels: standard deviation of the time"},

      {"source", "title", "text", required, ""},
      {"source", "where", "text", none, "table, figure or line"},

      {"measured", "step_time_s", "number", none, ""},
      {"measured",
       "step_time_from",
       "",
       none,
       "what step_time_s was computed from",
       {"published", "tokens_per_s", "tflops", "mfu"}},
      {"measured", "tokens_per_s_per_gpu", "number", none, "as published"},
      {"measured", "tflops_per_gpu", "number", none, "as published"},
      {"measured", "mfu", "fraction", none, "as published"},
      {"measured", "hfu", "fraction", none, "as published"},
      {"measured", "memory_gib", "number", none, "peak per GPU"},
      {"measured", "memory_kind", "", none, "", {"allocated", "active", "reserved", "nvidia-smi"}},
      {"measured", "out_of_memory", flag, "false", "published as out of memory"},
  };
  return keys;
}

std::vector<std::string> scenario_vocabulary(std::string_view section) {
  std::vector<std::string> vocabulary;
  for (const ScenarioKey& key : scenario_keys()) {
    if (key.section == section) vocabulary.push_back(key.key);
  }
  return vocabulary;
}

const std::vector<std::string>& scenario_choices(std::string_view section, std::string_view key) {
  const auto& keys = scenario_keys();
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [&](const ScenarioKey& k) { return k.section == section && k.key == key; });
  CHECK(found != keys.end(), "choices are asked for keys of the vocabulary");
  return found->choices;
}

namespace {

std::string accepted_value(const ScenarioKey& key) {
  std::string text = fmt::format("{}", fmt::join(key.choices, " | "));
  if (!text.empty() && !key.value.empty()) text += " | ";
  return text + key.value;
}

/// "  tensor_parallel: whole number" and, below, its default and meaning.
std::string help_entry(const ScenarioKey& key) {
  std::string text = fmt::format("  {}: {}\n", key.key, accepted_value(key));
  const std::string when_absent = key.fallback == required ? required : "default " + key.fallback;
  text += fmt::format("      {}{}{}\n", when_absent, key.meaning.empty() ? "" : "; ", key.meaning);
  return text;
}

}  // namespace

std::string scenario_help() {
  std::string text =
      "A scenario is a YAML map; null is as good as absent. Units are part of a value ('4 us', '200 Gb/s').\n";
  std::string section = "nothing yet";
  for (const ScenarioKey& key : scenario_keys()) {
    if (key.section != section) text += key.section.empty() ? "\nscenario\n" : fmt::format("\n{}\n", key.section);
    section = key.section;
    text += help_entry(key);
  }
  return text;
}

}  // namespace stepcast
