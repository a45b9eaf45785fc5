#include "simulator/input/profile_reader.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "simulator/input/scenario_keys.hpp"

namespace stepcast {
namespace {

constexpr IntegerRange gpus_per_node{1, 10'000};
constexpr IntegerRange gpus_per_domain{1, 1'000'000};
constexpr IntegerRange nics_per_node{0, 10'000};

const std::vector<std::string> memory_logs{"allocated", "reserved", "device"};
const std::vector<std::string> basis_names{"datasheet", "measured", "fitted", "estimated", "assumed"};
const std::vector<std::string> launch_mode_names{"eager", "cuda_graph", "compiled"};
const std::vector<std::string> gradient_type_names{"fp32", "parameter", "reduced", "fp32_if_bf16", "fp32_beside_bf16"};
const std::vector<std::string> framework_families{"megatron", "deepspeed", "pytorch", "xla", "other"};

/// The enumerator at the place of the name in `names`.
template <class Enum, class Names>
Enum enumerator(const YamlValue& value, std::string_view kind, const Names& names) {
  const std::vector<std::string> known(names.begin(), names.end());
  const std::string name = value.choice(kind, known);
  return static_cast<Enum>(std::find(known.begin(), known.end(), name) - known.begin());
}

// Readers of parts, below: declared here so that the templates between see them.
void read(const YamlValue& value, GemmProfile& gemm);
void read(const YamlValue& value, AttentionProfile::Pass& pass);
void read(const YamlValue& value, AttentionProfile::Kernel& kernel);
void read(const YamlValue& value, AttentionProfile& attention);
void read(const YamlValue& value, MemoryBoundProfile& memory_bound);
void read(const YamlValue& value, LinkTier& tier);
template <class T>
void read(const YamlValue& value, std::map<Precision, T>& target);

// --- one value ---------------------------------------------------------------------------------------------------

template <int T, int B, int F, int J>
void read(const YamlValue& value, Quantity<T, B, F, J>& target) {
  target = value.quantity<Quantity<T, B, F, J>>();
  constexpr bool is_rate = T < 0;  // something will be divided by it
  if (is_rate && target.si() == 0) throw value.error(value.path() + " must be more than zero");
}
void read(const YamlValue& value, double& target) { target = value.number({}); }
void read(const YamlValue& value, int& target) {
  target = static_cast<int>(value.integer({1, std::numeric_limits<int>::max()}));
}
void read(const YamlValue& value, bool& target) { target = value.boolean(); }
void read(const YamlValue& value, std::string& target) { target = value.text(); }
void read(const YamlValue& value, LaunchMode& target) {
  target = enumerator<LaunchMode>(value, "launch mode", launch_mode_names);
}
void read(const YamlValue& value, GradientType& target) {
  target = enumerator<GradientType>(value, "gradient type", gradient_type_names);
}
[[maybe_unused]] void read(const YamlValue& value, std::vector<GemmProfile::Tile>& target) {
  constexpr IntegerRange tile_side{1, 4096};
  for (const YamlValue& item : value.list()) {
    const auto sides = item.list();
    if (sides.size() != 2) throw item.must_be("[rows, columns]");
    target.push_back({static_cast<int>(sides[0].integer(tile_side)), static_cast<int>(sides[1].integer(tile_side))});
  }
  if (target.empty()) throw value.must_be("a list of at least one [rows, columns]");
}

/// {value: ..., basis: ..., source: ...}
template <class T>
void read(const YamlValue& value, Sourced<T>& target) {
  if (!value.is_map()) throw value.must_be("{value: ..., basis: ..., source: ...}");
  YamlMap map(value);
  read(map.require("value"), target.value);
  target.basis = read_basis(map);
  target.source = map.require("source").text();
  map.finish();
}

// --- one field: add a line to a profile by calling this ------------------------------------------------------------

template <class T>
void field(YamlMap& map, const char* key, T& target) {
  read(map.require(key), target);
}

/// A share of a rate, by which a time will be divided: zero is none.
void share(YamlMap& map, const char* key, Sourced<double>& target) {
  field(map, key, target);
  if (target.value <= 0) throw map.require(key).error(map.path() + "." + key + " must be more than zero");
}

/// A list that carries its source like any number, though the struct has no room for it.
void field(YamlMap& map, const char* key, std::vector<GemmProfile::Tile>& target) {
  Sourced<std::vector<GemmProfile::Tile>> tiles;
  read(map.require(key), tiles);
  target = std::move(tiles.value);
}

// --- parts of profiles -------------------------------------------------------------------------------------------

std::vector<double> read_numbers(const YamlValue& value, NumberRange range) {
  std::vector<double> numbers;
  for (const YamlValue& item : value.list()) numbers.push_back(item.number(range));
  return numbers;
}

/// One axis of a grid: log2 of sizes.
std::vector<double> read_axis(const YamlValue& value) {
  constexpr NumberRange log2_sizes{0, 64};
  std::vector<double> axis = read_numbers(value, log2_sizes);
  const bool increases = std::adjacent_find(axis.begin(), axis.end(), std::greater_equal<>()) == axis.end();
  if (axis.empty() || !increases) throw value.error(value.path() + " must hold increasing numbers");
  return axis;
}

void check_size(const YamlValue& value, std::size_t has, std::size_t needs) {
  if (has == needs) return;
  throw value.error(fmt::format("{} has {} numbers, but m x n x k make {} points", value.path(), has, needs));
}

/// {m: [...], n: [...], k: [...], log_ratio: [...], support: [...], basis: ..., source: "..."}
void read(const YamlValue& value, ResidualSurface& surface) {
  constexpr NumberRange corrections{-3, 3};  // a factor of 20 is no correction
  constexpr IntegerRange counts{0, 1'000'000'000};
  YamlMap map(value);
  std::size_t points = 1;
  for (const auto& [axis, key] : {std::pair(0U, "m"), std::pair(1U, "n"), std::pair(2U, "k")}) {
    surface.axes[axis] = read_axis(map.require(key));
    points *= surface.axes[axis].size();
  }
  const YamlValue log_ratio = map.require("log_ratio");
  surface.log_ratio = read_numbers(log_ratio, corrections);
  check_size(log_ratio, surface.log_ratio.size(), points);
  const YamlValue support = map.require("support");
  for (const YamlValue& item : support.list()) surface.support.push_back(static_cast<int>(item.integer(counts)));
  check_size(support, surface.support.size(), points);
  if (const auto basis = map.find("basis")) surface.basis = enumerator<Basis>(*basis, "basis", basis_names);
  surface.source = map.require("source").text();
  map.finish();
}

void read(const YamlValue& value, GemmProfile& gemm) {
  YamlMap map(value);
  field(map, "tiles", gemm.tiles);
  share(map, "peak_fraction", gemm.peak_fraction);
  field(map, "tile_area_exponent", gemm.tile_area_exponent);
  field(map, "prologue_k", gemm.prologue_k);
  field(map, "wave_softness", gemm.wave_softness);
  share(map, "memory_fraction", gemm.memory_fraction);
  field(map, "epilogue_exposed", gemm.epilogue_exposed);
  field(map, "fixed_time", gemm.fixed_time);
  share(map, "nn_factor", gemm.nn_factor);
  share(map, "nt_factor", gemm.nt_factor);
  if (map.find("grouped_factor")) share(map, "grouped_factor", gemm.grouped_factor);
  share(map, "sustained", gemm.sustained);
  if (const auto residual = map.find("residual")) read(*residual, gemm.residual);
  map.finish();
}

void read(const YamlValue& value, AttentionProfile::Pass& pass) {
  YamlMap map(value);
  share(map, "fraction", pass.fraction);
  field(map, "half_length", pass.half_length);
  field(map, "causal_half_length", pass.causal_half_length);
  share(map, "head_dim_64_factor", pass.head_dim_64_factor);
  share(map, "head_dim_256_factor", pass.head_dim_256_factor);
  map.finish();
}

void read(const YamlValue& value, AttentionProfile::Kernel& kernel) {
  YamlMap map(value);
  field(map, "forward", kernel.forward);
  field(map, "backward", kernel.backward);
  if (map.find("tail_blocks")) field(map, "tail_blocks", kernel.tail_blocks);
  map.finish();
}

void read(const YamlValue& value, MemoryBoundProfile& memory_bound) {
  YamlMap map(value);
  share(map, "bandwidth_fraction", memory_bound.bandwidth_fraction);
  field(map, "ramp_time", memory_bound.ramp_time);
  field(map, "floor_time", memory_bound.floor_time);
  if (map.find("l2_speedup")) share(map, "l2_speedup", memory_bound.l2_speedup);
  map.finish();
}

void read(const YamlValue& value, LinkTier& tier) {
  YamlMap map(value);
  field(map, "bandwidth", tier.bandwidth);
  share(map, "efficiency", tier.efficiency);
  field(map, "latency", tier.latency);
  field(map, "launch", tier.launch);
  field(map, "half_size", tier.half_size);
  map.finish();
}

/// {bf16: ..., fp8: ...}
template <class T>
void read(const YamlValue& value, std::map<Precision, T>& target) {
  YamlMap map(value);
  for (const YamlValue& entry : map.values()) {
    const YamlNode name = yaml_key(entry.node());
    const auto precision = enumerator<Precision>(YamlValue(name, map.path()), "precision", precision_names);
    read(entry, target[precision]);
  }
}

void read(const YamlValue& value, AttentionProfile& attention) {
  YamlMap map(value);
  YamlMap kernels(map.require("kernels"));
  for (const YamlValue& entry : kernels.values()) read(entry, attention.kernels[entry.key()]);
  if (map.find("power")) share(map, "power", attention.power);
  map.finish();
}

// --- inheritance -------------------------------------------------------------------------------------------------

/// Whether the map is one number, or one table of them, with where it comes from.
bool is_sourced(const YamlNode& node) { return node.kind == YamlNode::Kind::map && node.find("source") != nullptr; }

void set_text(YamlNode& map, const std::string& key, const YamlNode& like, const std::string& text) {
  map.erase(key);
  YamlNode entry = like;
  entry.key = key;
  entry.text = text;
  map.children.push_back(std::move(entry));
}

/// Marks every number below as inherited.
void remark(YamlNode& map, const YamlNode& basis, const std::string& why) {
  for (YamlNode& child : map.children) {
    if (!is_sourced(child)) {
      remark(child, basis, why);
      continue;
    }
    const std::string original = child.find("source")->text;
    set_text(child, "basis", basis, basis.text);
    set_text(child, "source", basis, fmt::format("{}: {}", why, original));
  }
}

void fill_in(YamlNode& map, YamlNode base) {
  for (YamlNode& inherited : base.children) {
    YamlNode* own = map.find(inherited.key);
    if (own == nullptr) {
      map.children.push_back(std::move(inherited));
    } else if (own->kind == YamlNode::Kind::map && inherited.kind == YamlNode::Kind::map && !is_sourced(*own) &&
               !is_sourced(inherited)) {
      fill_in(*own, std::move(inherited));
    }
  }
}

}  // namespace

Basis read_basis(YamlMap& map) { return enumerator<Basis>(map.require("basis"), "basis", basis_names); }

YamlNode extended(const YamlNode& root, YamlNode base, const std::string& base_name) {
  YamlNode result = root;
  for (const char* key : {"extends", "basis_of_inherited", "inherited_source"}) result.erase(key);

  YamlMap map(YamlValue(root, ""));
  std::string why = "as " + base_name;
  if (const auto text = map.find("inherited_source")) why = text->text();
  if (const auto basis = map.find("basis_of_inherited")) {
    basis->choice("basis", basis_names);
    remark(base, basis->node(), why);
  }
  base.erase(version_key);  // what the base is chosen for, not what it is
  base.erase(compiled_key);
  fill_in(result, std::move(base));
  return result;
}

Gpu read_gpu(const YamlNode& root, const std::string& name) {
  YamlMap map(YamlValue(root, ""));
  Gpu gpu;
  gpu.name = name;
  field(map, "description", gpu.description);
  field(map, "maker", gpu.maker);
  field(map, "generation", gpu.generation);
  field(map, "sms", gpu.sms);
  field(map, "boost_clock", gpu.boost_clock);
  field(map, "peak", gpu.peak);
  field(map, "memory", gpu.memory);
  field(map, "hbm_bandwidth", gpu.hbm_bandwidth);
  field(map, "l2", gpu.l2);
  field(map, "power_limit", gpu.power_limit);
  gpu.sustained_power = gpu.power_limit;
  if (map.find("sustained_power")) field(map, "sustained_power", gpu.sustained_power);
  field(map, "gemm", gpu.gemm);
  field(map, "attention", gpu.attention);
  field(map, "memory_bound", gpu.memory_bound);
  field(map, "launch_gap", gpu.launch_gap);
  field(map, "speed_spread", gpu.speed_spread);
  field(map, "launch_spread", gpu.launch_spread);
  field(map, "context_memory", gpu.context_memory);
  map.finish();
  return gpu;
}

Node read_node(const YamlNode& root, const std::string& name) {
  YamlMap map(YamlValue(root, ""));
  Node node;
  node.name = name;
  field(map, "description", node.description);
  if (const auto gpu = map.find("gpu")) node.gpu = gpu->text();
  node.gpus = static_cast<int>(map.require("gpus").integer(gpus_per_node));
  field(map, "interconnect", node.interconnect);
  node.domain_gpus = static_cast<int>(map.require("domain_gpus").integer(gpus_per_domain));
  field(map, "intra", node.intra);
  field(map, "pcie_bandwidth", node.pcie_bandwidth);
  field(map, "host_memory_bandwidth", node.host_memory_bandwidth);
  field(map, "nvme_read_bandwidth", node.nvme_read_bandwidth);
  field(map, "nvme_write_bandwidth", node.nvme_write_bandwidth);
  map.finish();
  return node;
}

Fabric read_fabric(const YamlNode& root, const std::string& name) {
  YamlMap map(YamlValue(root, ""));
  Fabric fabric;
  fabric.name = name;
  field(map, "description", fabric.description);
  field(map, "kind", fabric.kind);
  fabric.nics_per_node = static_cast<int>(map.require("nics_per_node").integer(nics_per_node));
  field(map, "nic", fabric.nic);
  field(map, "topology", fabric.topology);
  if (map.find("leaf_oversubscription")) share(map, "leaf_oversubscription", fabric.leaf_oversubscription);
  if (map.find("spine_oversubscription")) share(map, "spine_oversubscription", fabric.spine_oversubscription);
  if (map.find("pod_nodes")) field(map, "pod_nodes", fabric.pod_nodes);
  map.finish();
  return fabric;
}

namespace {

/// A name that scenarios choose by the same key.
void named(YamlMap& map, const char* key, Sourced<std::string>& target) {
  field(map, key, target);
  YamlMap(map.require(key)).require("value").choice(key, scenario_choices("framework", key));
}

}  // namespace

Framework read_framework(const YamlNode& root, const std::string& name) {
  YamlMap map(YamlValue(root, ""));
  Framework framework;
  framework.name = name;
  map.skip(version_key);
  map.skip(compiled_key);
  field(map, "description", framework.description);
  framework.family = map.require("family").choice("family of frameworks", framework_families);
  field(map, "attention_kernel", framework.attention_kernel);
  field(map, "flash_attention", framework.flash_attention);
  field(map, "fused_softmax", framework.fused_softmax);
  field(map, "skips_causal_blocks", framework.skips_causal_blocks);
  field(map, "fused_bias_activation", framework.fused_bias_activation);
  field(map, "fused_bias_dropout_add", framework.fused_bias_dropout_add);
  field(map, "norm_forward_bytes", framework.norm_forward_bytes);
  field(map, "norm_backward_bytes", framework.norm_backward_bytes);
  field(map, "norm_saved_bytes", framework.norm_saved_bytes);
  field(map, "activation_gradient_in_place", framework.activation_gradient_in_place);
  field(map, "fused_rotary", framework.fused_rotary);
  field(map, "separate_qkv", framework.separate_qkv);
  field(map, "repeats_key_value_heads", framework.repeats_key_value_heads);
  field(map, "separate_gate", framework.separate_gate);
  field(map, "gradient_accumulation_fusion", framework.gradient_accumulation_fusion);
  field(map, "cross_entropy_bytes", framework.cross_entropy_bytes);
  field(map, "cross_entropy_memory", framework.cross_entropy_memory);
  field(map, "dropout", framework.dropout);
  field(map, "grad_reduce_dtype", framework.grad_reduce_dtype);
  field(map, "gradient_dtype", framework.gradient_dtype);
  field(map, "overlap_grad_reduce", framework.overlap_grad_reduce);
  field(map, "overlap_param_gather", framework.overlap_param_gather);
  field(map, "overlap_tp", framework.overlap_tp);
  field(map, "overlap_p2p", framework.overlap_p2p);
  named(map, "tp_overlap", framework.tp_overlap);
  named(map, "gradient_buckets", framework.gradient_buckets);
  named(map, "cp_comm_type", framework.cp_comm_type);
  field(map, "p2p_overlap_exposed", framework.p2p_overlap_exposed);
  field(map, "overlap_tp_backward", framework.overlap_tp_backward);
  field(map, "p2p_scatter_gather", framework.p2p_scatter_gather);
  field(map, "p2p_blocking_interleaved", framework.p2p_blocking_interleaved);
  field(map, "p2p_sync", framework.p2p_sync);
  field(map, "launch_mode", framework.launch_mode);
  field(map, "host_time_per_layer_forward", framework.host_time_per_layer_forward);
  field(map, "host_time_per_layer_backward", framework.host_time_per_layer_backward);
  field(map, "host_time_per_step", framework.host_time_per_step);
  named(map, "dispatcher", framework.dispatcher);
  field(map, "overlap_ep", framework.overlap_ep);
  field(map, "expert_tensor_follows", framework.expert_tensor_follows);
  field(map, "fp8_dispatch", framework.fp8_dispatch);
  field(map, "exchange_sms", framework.exchange_sms);
  field(map, "router_kernels", framework.router_kernels);
  field(map, "host_time_per_moe_operator", framework.host_time_per_moe_operator);
  field(map, "recompute_stops_early", framework.recompute_stops_early);
  field(map, "fp8_saves_inputs", framework.fp8_saves_inputs);
  field(map, "fp8_saves_gates", framework.fp8_saves_gates);
  field(map, "vocab_multiple", framework.vocab_multiple);
  field(map, "vocab_multiple_times_tp", framework.vocab_multiple_times_tp);
  field(map, "sharding_nics", framework.sharding_nics);
  field(map, "optimizer_bytes", framework.optimizer_bytes);
  field(map, "gradient_clip_bytes", framework.gradient_clip_bytes);
  field(map, "gradient_clear_bytes", framework.gradient_clear_bytes);
  field(map, "gradient_scale_bytes", framework.gradient_scale_bytes);
  field(map, "cpu_adam_fraction", framework.cpu_adam_fraction);
  field(map, "moment_bytes", framework.moment_bytes);
  field(map, "sharded_master", framework.sharded_master);
  field(map, "reduce_buffer", framework.reduce_buffer);
  field(map, "overlapped_buffers", framework.overlapped_buffers);
  field(map, "live_parameters", framework.live_parameters);
  field(map, "dummy_weight_gradients", framework.dummy_weight_gradients);
  field(map, "keeps_stage_outputs", framework.keeps_stage_outputs);
  field(map, "communicator_memory", framework.communicator_memory);
  field(map, "kernel_memory", framework.kernel_memory);
  field(map, "fragmentation", framework.fragmentation);
  field(map, "memory_log", framework.memory_log);
  YamlMap(map.require("memory_log")).require("value").choice("memory_log", memory_logs);
  map.finish();
  return framework;
}

}  // namespace stepcast
