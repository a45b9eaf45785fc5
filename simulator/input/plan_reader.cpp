#include "simulator/input/plan_reader.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>
#include <sstream>

#include <fmt/format.h>

#include "models/families.hpp"
#include "simulator/base/files.hpp"
#include "simulator/cluster/placement.hpp"
#include "simulator/execution/compression.hpp"
#include "simulator/input/scenario_keys.hpp"
#include "simulator/parallelism/expert_load.hpp"
#include "simulator/schedules/custom.hpp"

namespace stepcast {
namespace {

constexpr IntegerRange degree_range{1, 10'000'000};
constexpr IntegerRange batch_range{1, 1'000'000'000};
constexpr IntegerRange sequence_range{1, 1'000'000'000};

/// The degrees that, with data parallelism, share out the GPUs among them.
constexpr std::array<const char*, 3> model_degrees{"tensor_parallel", "context_parallel", "pipeline_parallel"};

int read_degree(YamlMap& map, const std::string& key, Defaults& defaults) {
  return static_cast<int>(defaults.integer(map, key, degree_range, 1));
}

std::optional<int> find_degree(YamlMap& map, const std::string& key) {
  const auto value = map.find(key);
  return value ? std::optional(static_cast<int>(value->integer(degree_range))) : std::nullopt;
}

std::optional<bool> find_boolean(YamlMap& map, const std::string& key) {
  const auto value = map.find(key);
  return value ? std::optional(value->boolean()) : std::nullopt;
}

Precision precision_of(std::string_view name) {
  const auto found = std::find(precision_names.begin(), precision_names.end(), name);
  CHECK(found != precision_names.end(), "the vocabulary's precisions have an enumerator each");
  return static_cast<Precision>(found - precision_names.begin());
}

// --- degrees and batch -------------------------------------------------------------------------------------------

/// "tensor_parallel 8 x pipeline_parallel 3"
std::string product_text(const std::vector<std::pair<std::string, std::int64_t>>& factors) {
  std::string text;
  for (const auto& [name, factor] : factors) {
    if (!text.empty()) text += " x ";
    text += fmt::format("{} {}", name, factor);
  }
  return text;
}

/// The stated degree that is the likeliest to be mistaken when they do not fit together: the one that was overridden,
/// else the largest.
UserError error_at_a_degree(YamlMap& map, const std::string& problem) {
  const YamlNode* suspect = nullptr;
  std::pair<bool, std::int64_t> highest;
  for (const char* key : model_degrees) {
    const auto value = map.find(key);
    if (!value) continue;
    const std::pair rank(is_override(value->node()), value->integer(degree_range));
    if (suspect == nullptr || rank > highest) {
      suspect = &value->node();
      highest = rank;
    }
  }
  return suspect != nullptr ? error_at(*suspect, problem) : map.error(problem);
}

/// GPUs of one model replica, at most one more than there are: degrees of 10^7 must not overflow.
std::int64_t gpus_of_replica(const ParallelPlan& plan, std::int64_t gpus) {
  std::int64_t product = 1;
  for (const std::int64_t degree : {plan.tensor_parallel, plan.context_parallel, plan.pipeline_parallel}) {
    if (product > gpus / degree) return gpus + 1;
    product *= degree;
  }
  return product;
}

void read_data_parallel(YamlMap& map, ParallelPlan& plan, std::int64_t gpus, Defaults& defaults) {
  const std::vector<std::pair<std::string, std::int64_t>> factors{{"tensor_parallel", plan.tensor_parallel},
                                                                  {"context_parallel", plan.context_parallel},
                                                                  {"pipeline_parallel", plan.pipeline_parallel}};
  const std::int64_t replica = gpus_of_replica(plan, gpus);
  const auto stated = map.find("data_parallel");
  if (stated) {
    plan.data_parallel = static_cast<int>(stated->integer(degree_range));
    if (replica <= gpus && replica * plan.data_parallel == gpus) return;
    throw stated->error(fmt::format("{} x data_parallel {} do not multiply to the cluster's {} GPUs",
                                    product_text(factors), plan.data_parallel, gpus));
  }
  if (replica > gpus || gpus % replica != 0) {
    throw error_at_a_degree(map, fmt::format("{} do not divide the cluster's {} GPUs", product_text(factors), gpus));
  }
  plan.data_parallel = static_cast<int>(gpus / replica);
  defaults.take(map, "data_parallel", std::to_string(plan.data_parallel), "from the GPU count");
}

void read_batch(YamlMap& map, ParallelPlan& plan, Defaults& defaults) {
  plan.microbatch = defaults.integer(map, "microbatch", batch_range, 1);
  plan.sequence_length = map.require("sequence_length").integer(sequence_range);
  const YamlValue batch = map.require("global_batch");
  plan.global_batch = batch.integer(batch_range);
  if (plan.global_batch % (plan.microbatch * plan.data_parallel) != 0) {
    throw batch.error(fmt::format("{}.global_batch: {} sequences do not divide by microbatch {} x data_parallel {}",
                                  map.path(), plan.global_batch, plan.microbatch, plan.data_parallel));
  }
}

// --- pipeline ----------------------------------------------------------------------------------------------------

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.find_first_not_of(", \t\r") != std::string::npos) lines.push_back(line);
  }
  return lines;
}

std::string usual_schedule(const ParallelPlan& plan) {
  if (plan.pipeline_parallel == 1) return "none";
  return plan.virtual_stages == 1 ? "1f1b" : "interleaved-1f1b";
}

/// {custom: FILE | [row of each rank]}
void read_own_order(const YamlValue& value, ParallelPlan& plan) {
  YamlMap map(value, scenario_vocabulary("plan.schedule"));
  const YamlValue order = map.require("custom");
  map.finish();
  std::vector<std::string> rows;
  if (order.is_list()) {
    for (const YamlValue& row : order.list()) rows.push_back(row.text());
  } else {
    rows = lines_of(read_file((std::filesystem::path(order.node().source->folder) / order.text()).string()));
  }
  try {
    plan.own_order = parse_order(rows, pipeline_shape(plan));
  } catch (const UserError& error) {
    throw order.error(order.path() + ": " + error.what());
  }
}

void read_schedule(YamlMap& map, ParallelPlan& plan, Defaults& defaults) {
  if (const auto value = map.find("schedule"); value && value->is_map()) {
    read_own_order(*value, plan);
    plan.schedule = "custom";
    return;
  }
  plan.schedule = defaults.choice(map, "schedule", usual_schedule(plan));
  const bool none = plan.schedule == "none";
  if (plan.pipeline_parallel > 1 && none) {
    throw map.require("schedule")
        .error(fmt::format("schedule 'none' cannot run {} pipeline stages", plan.pipeline_parallel));
  }
  if (plan.pipeline_parallel == 1 && !none) {
    plan.schedule = "none";
    defaults.take(map, "schedule", plan.schedule, "one pipeline stage");
  }
}

std::vector<int> read_stage_layers(const YamlValue& value, const ParallelPlan& plan, std::int64_t layers) {
  std::vector<int> stages;
  for (const YamlValue& item : value.list()) stages.push_back(static_cast<int>(item.integer({0, layers})));
  const std::int64_t chunks = std::int64_t{plan.pipeline_parallel} * plan.virtual_stages;
  if (static_cast<std::int64_t>(stages.size()) != chunks) {
    throw value.error(fmt::format("{} has {} entries, but pipeline_parallel {} x virtual_stages {} make {} chunks",
                                  value.path(), stages.size(), plan.pipeline_parallel, plan.virtual_stages, chunks));
  }
  const std::int64_t sum = std::accumulate(stages.begin(), stages.end(), std::int64_t{0});
  if (sum != layers)
    throw value.error(fmt::format("{} adds up to {} layers, the model has {}", value.path(), sum, layers));
  return stages;
}

void read_layer_split(YamlMap& map, ParallelPlan& plan, std::int64_t layers) {
  const auto value = map.find("layer_split");
  if (!value) return;
  if (value->is_list()) {
    plan.layer_split = LayerSplit::given;
    plan.stage_layers = read_stage_layers(*value, plan, layers);
    return;
  }
  plan.layer_split =
      *find_choice(map, "layer_split") == "even" ? LayerSplit::even : LayerSplit::embedding_and_loss_as_layers;
}

// --- the rest ----------------------------------------------------------------------------------------------------

/// The open ends of the vocabulary: selective-<modules>, full-<n>-layers, and full-<n>-<n>-...-layers.
bool is_partial_recompute(std::string_view name) {
  constexpr std::string_view selective = "selective-";
  constexpr std::string_view full = "full-";
  constexpr std::string_view layers = "-layers";
  if (name.starts_with(selective)) return name.size() > selective.size();
  if (!name.starts_with(full) || !name.ends_with(layers) || name.size() <= full.size() + layers.size()) return false;
  const std::string_view count = name.substr(full.size(), name.size() - full.size() - layers.size());
  return count.find_first_not_of("0123456789-") == std::string_view::npos;
}

/// As written: which of them can be modelled is not for the reader to know.
std::string read_recompute(YamlMap& map, Defaults& defaults) {
  const auto value = map.find("recompute");
  if (value && is_partial_recompute(value->text())) return value->text();
  return defaults.choice(map, "recompute", "none");
}

void read_degrees(YamlMap& map, ParallelPlan& plan, Defaults& defaults) {
  plan.tensor_parallel = read_degree(map, "tensor_parallel", defaults);
  if (const auto grid = find_choice(map, "tensor_grid")) plan.tensor_grid = *grid;
  plan.tensor_depth = find_degree(map, "tensor_depth").value_or(1);
  plan.sequence_parallel = defaults.boolean(map, "sequence_parallel", false);
  plan.pipeline_parallel = read_degree(map, "pipeline_parallel", defaults);
  plan.virtual_stages = read_degree(map, "virtual_stages", defaults);
  plan.context_parallel = read_degree(map, "context_parallel", defaults);
  plan.context_parallel_a2a = find_degree(map, "context_parallel_a2a").value_or(1);
  plan.expert_parallel = read_degree(map, "expert_parallel", defaults);
  plan.expert_tensor_parallel = find_degree(map, "expert_tensor_parallel");
}

/// Its name or order of dimensions; one that leaves out a dimension that the plan has is refused here, at its line.
void read_placement(YamlMap& map, ParallelPlan& plan) {
  const auto value = map.find("placement");
  if (!value) return;
  plan.placement = value->text();
  try {
    const Placement dense(parse_rank_order(plan.placement),
                          {plan.tensor_parallel, plan.context_parallel, 1, plan.data_parallel, plan.pipeline_parallel});
    const Placement experts(parse_rank_order(plan.placement), {1, 1, plan.expert_parallel, 1, 1});
  } catch (const UserError& error) {
    throw value->error(map.path() + ".placement: " + error.what());
  }
}

void check_experts(YamlMap& map, const ParallelPlan& plan, const Architecture& model) {
  if (plan.expert_parallel == 1 || model.moe) return;
  throw map.require("expert_parallel")
      .error(fmt::format("expert_parallel {} without experts in the model", plan.expert_parallel));
}

/// balanced | zipf-<exponent> | [tokens of each expert]
void read_expert_load(YamlMap& map, ParallelPlan& plan, const Architecture& model) {
  const auto value = map.find("expert_load");
  if (!value) return;
  if (!model.moe) throw value->error(fmt::format("{} without experts in the model", value->path()));
  if (value->is_list()) {
    double sum = 0;
    for (const YamlValue& item : value->list()) {
      plan.expert_histogram.push_back(item.number({0, 1e18}));
      sum += plan.expert_histogram.back();
    }
    if (static_cast<std::int64_t>(plan.expert_histogram.size()) != model.moe->experts || sum <= 0) {
      throw value->error(fmt::format("{} has {} entries that add up to {}; the model has {} experts", value->path(),
                                     plan.expert_histogram.size(), sum, model.moe->experts));
    }
    return;
  }
  plan.expert_load = value->text();
  if (plan.expert_load != "balanced" && !zipf_exponent(plan.expert_load)) {
    throw value->must_be("balanced, zipf-<exponent> with an exponent from 0 to 10, or a list of tokens per expert");
  }
}

// --- what is trained, and on what --------------------------------------------------------------------------------

/// Sum of squared lengths over sum of lengths: of a list, or of lengths with this mean and deviation.
double read_packed(const YamlValue& value, std::int64_t sequence_length) {
  const double s = static_cast<double>(sequence_length);
  if (value.is_list()) {
    double sum = 0, squares = 0;
    for (const YamlValue& item : value.list()) {
      const double length = item.number({1, s});
      sum += length;
      squares += length * length;
    }
    if (sum > s || sum == 0) {
      throw value.error(
          fmt::format("{} adds up to {} tokens, the sequence has {}", value.path(), sum, sequence_length));
    }
    return squares / sum;
  }
  YamlMap map(value, scenario_vocabulary(value.path()));
  const double mean = map.require("mean").number({1, s});
  const auto deviation = map.find("deviation");
  const double spread = deviation ? deviation->number({0, s}) : 0;
  map.finish();
  return std::min(s, mean + spread * spread / mean);
}

void read_training(YamlMap& map, ParallelPlan& plan, const Architecture& model) {
  if (const auto lora = map.find("lora")) plan.lora = read_lora(*lora);
  if (const auto frozen = map.find("frozen_layers")) plan.frozen_layers = frozen->integer({0, model.layers});
  if (const auto packed = map.find("packed")) plan.attention_length = read_packed(*packed, plan.sequence_length);
  if (const auto length = map.find("decoder_length")) {
    if (model.encoder_layers == 0) throw length->error(length->path() + " without an encoder in the model");
    plan.decoder_length = length->integer(sequence_range);
  }
}

void read_sharding(YamlMap& map, ParallelPlan& plan, Defaults& defaults) {
  plan.zero = static_cast<int>(defaults.integer(map, "zero", {0, 3}, 0));
  plan.shard_group = find_degree(map, "shard_group");
  plan.reshard_after_forward = find_boolean(map, "reshard_after_forward");
  plan.no_sync = find_boolean(map, "no_sync");
  plan.zero_quantized_weights = find_boolean(map, "zero_quantized_weights").value_or(false);
  plan.zero_hpz_partition_size = find_degree(map, "zero_hpz_partition_size");
  plan.zero_quantized_gradients = find_boolean(map, "zero_quantized_gradients").value_or(false);
  if (const auto value = map.find("gradient_compression")) {
    plan.gradient_compression = value->text();
    if (plan.gradient_compression != "none" && !parse_compression(plan.gradient_compression)) {
      throw value->must_be("none, int8, int4, onebit, powersgd-<rank> or topk-<percent>");
    }
  }
  if (const auto value = map.find("local_steps")) plan.local_steps = value->integer(batch_range);
  if (const auto value = map.find("gossip_neighbours")) {
    plan.gossip_neighbours = static_cast<int>(value->integer({0, degree_range.highest}));
  }
  plan.asynchronous_data = find_boolean(map, "asynchronous_data").value_or(false);
}

void read_numerics(YamlMap& map, ParallelPlan& plan, Defaults& defaults) {
  plan.recompute = read_recompute(map, defaults);
  plan.precision = precision_of(defaults.choice(map, "precision", "bf16"));
  plan.grad_reduce_dtype = find_choice(map, "grad_reduce_dtype");
  plan.optimizer = defaults.choice(map, "optimizer", "adam");
  plan.moment_dtype = find_choice(map, "moment_dtype");
}

/// What lies outside the GPU, and where.
void read_offload(YamlMap& map, ParallelPlan& plan, std::int64_t layers, Defaults& defaults) {
  plan.cpu_offload = defaults.choice(map, "cpu_offload", "none");
  if (plan.parameters_on_cpu() && plan.zero < 3) {
    throw map.require("cpu_offload")
        .error(fmt::format("{}.cpu_offload: parameters can be offloaded where they are sharded: zero 3, not {}",
                           map.path(), plan.zero));
  }
  for (const char* key : {"offload_fraction", "offload_device"}) {
    const auto value = map.find(key);
    if (value && !plan.optimizer_on_cpu()) throw value->error(value->path() + " without cpu_offload");
  }
  if (const auto share = map.find("offload_fraction")) plan.offload_fraction = share->number({0, 1});
  plan.offload_to_nvme = find_choice(map, "offload_device").value_or("cpu") == "nvme";
  if (const auto count = map.find("offload_activations")) {
    plan.offload_activations = static_cast<int>(count->integer({0, layers}));
    if (plan.offload_activations > 0 && plan.pipeline_parallel > 1) {
      throw count->error(
          fmt::format("{}: activations are offloaded without pipeline stages only (Megatron-Core "
                      "cpu_offloading); the plan has {}",
                      count->path(), plan.pipeline_parallel));
    }
  }
}

}  // namespace

LowRankAdaptation read_lora(const YamlValue& value) {
  YamlMap map(value, scenario_vocabulary(value.path()));
  std::vector<std::string> known;
  for (const AdapterTarget& target : adapter_targets()) known.emplace_back(target.name);
  LowRankAdaptation lora;
  lora.rank = map.require("rank").integer({1, 100'000});
  if (const auto alpha = map.find("alpha")) alpha->number({0, 1e9});
  if (const auto targets = map.find("targets")) {
    for (const YamlValue& target : targets->list()) lora.targets.push_back(target.choice("linear", known));
    if (lora.targets.empty()) throw targets->must_be("a list of linears: stepcast list adapters");
  } else {
    lora.targets = {"linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"};  // Megatron-Bridge peft/lora.py
  }
  if (const auto dropout = map.find("dropout")) lora.dropout = dropout->number({0, 1});
  map.finish();
  return lora;
}

ParallelPlan read_plan(const YamlValue& value, const Architecture& model, std::int64_t gpus, Defaults& defaults) {
  YamlMap map(value, scenario_vocabulary("plan"));
  ParallelPlan plan;
  read_degrees(map, plan, defaults);
  read_data_parallel(map, plan, gpus, defaults);
  read_placement(map, plan);
  read_batch(map, plan, defaults);
  read_schedule(map, plan, defaults);
  read_layer_split(map, plan, model.layers);
  read_sharding(map, plan, defaults);
  read_numerics(map, plan, defaults);
  read_training(map, plan, model);
  read_offload(map, plan, model.layers, defaults);
  check_experts(map, plan, model);
  read_expert_load(map, plan, model);
  map.finish();
  return plan;
}

void read_software_flags(YamlMap& map, ParallelPlan& plan) {
  plan.flash_attention = find_boolean(map, "flash_attention");
  plan.torch_compile = find_boolean(map, "torch_compile");
  plan.fp8_recipe = find_choice(map, "fp8_recipe");
  plan.overlap_grad_reduce = find_boolean(map, "overlap_grad_reduce");
  plan.overlap_param_gather = find_boolean(map, "overlap_param_gather");
  plan.overlap_tp = find_boolean(map, "overlap_tp");
  plan.tp_overlap = find_choice(map, "tp_overlap");
  plan.cp_comm_type = find_choice(map, "cp_comm_type");
  plan.gradient_buckets = find_choice(map, "gradient_buckets");
  plan.overlap_p2p = find_boolean(map, "overlap_p2p");
  plan.overlap_ep = find_boolean(map, "overlap_ep");
  plan.overlap_shared_experts = find_boolean(map, "overlap_shared_experts");
  plan.cuda_graphs = find_boolean(map, "cuda_graphs");
  plan.dispatcher = find_choice(map, "dispatcher");
}

}  // namespace stepcast
