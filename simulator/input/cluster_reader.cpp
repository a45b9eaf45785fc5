#include "simulator/input/cluster_reader.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "simulator/input/scenario_keys.hpp"

namespace stepcast {
namespace {

constexpr std::int64_t most_gpus = 100'000'000;
constexpr IntegerRange gpus_per_node_range{1, 10'000};

/// The fabric that one meets with a generation of GPUs, for runs that do not say theirs.
struct UsualFabric {
  std::string_view generation;
  std::string_view fabric;
};
constexpr UsualFabric usual_fabrics[] = {{"volta", "hdr200x4"},  {"ampere", "hdr200x8"},    {"ada", "roce200x8"},
                                         {"hopper", "ndr400x8"}, {"blackwell", "ndr400x8"}, {"cdna3", "roce400x8"}};
constexpr std::string_view usual_rack_fabric = "nvl72-ndr400";

std::string_view usual_fabric(const Cluster& cluster) {
  if (cluster.node.domain_gpus > cluster.node.gpus) return usual_rack_fabric;
  for (const UsualFabric& usual : usual_fabrics) {
    if (usual.generation == cluster.gpu.generation) return usual.fabric;
  }
  return {};
}

// --- node and GPU ------------------------------------------------------------------------------------------------

/// "node-a (4 GPUs), node-b (8 GPUs)"
std::string listed(const std::vector<const Node*>& nodes) {
  std::vector<std::string> texts;
  for (const Node* node : nodes) texts.push_back(fmt::format("{} ({} GPUs)", node->name, node->gpus));
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// The nodes with this GPU, the smallest first; of one size, in the order of their names.
std::vector<const Node*> nodes_with(const YamlValue& gpu, PresetStore& presets) {
  std::vector<const Node*> found = presets.nodes();
  const std::vector<std::string> names = presets.stands_for(PresetKind::gpu, gpu);
  const auto has = [](const std::string& name) { return [&](const Node* node) { return node->gpu == name; }; };
  const auto name = std::find_if(names.begin(), names.end(),
                                 [&](const auto& each) { return std::any_of(found.begin(), found.end(), has(each)); });
  if (name == names.end()) {
    throw gpu.error(fmt::format("no node preset has the GPU '{}': state the node", names.front()));
  }
  std::erase_if(found, std::not_fn(has(*name)));
  std::stable_sort(found.begin(), found.end(), [](auto* a, auto* b) { return a->gpus < b->gpus; });
  return found;
}

/// The smallest node that has room, with so many of this GPU in use; by default eight, or as many as there are.
void choose_node(YamlMap& map, const YamlValue& gpu, PresetStore& presets, Cluster& cluster, Defaults& defaults) {
  constexpr int usual_gpus_per_node = 8;
  const std::vector<const Node*> nodes = nodes_with(gpu, presets);
  const auto stated = map.find("gpus_per_node");
  cluster.gpus_per_node = stated ? static_cast<int>(stated->integer(gpus_per_node_range))
                                 : std::min(usual_gpus_per_node, nodes.back()->gpus);
  if (!stated) defaults.take(map, "gpus_per_node", std::to_string(cluster.gpus_per_node));
  const auto has_room = [&](const Node* node) { return node->gpus >= cluster.gpus_per_node; };
  const auto found = std::find_if(nodes.begin(), nodes.end(), has_room);
  if (found == nodes.end()) {
    throw stated->error(fmt::format("no node preset has {} GPUs '{}' (there is {})", cluster.gpus_per_node,
                                    cluster.gpu.name, listed(nodes)));
  }
  cluster.node = **found;
}

/// The node that was named, and its GPU.
void read_named_node(YamlMap& map, const YamlValue& node, PresetStore& presets, Cluster& cluster) {
  cluster.node = presets.node(node);
  const YamlNode* of_node = cluster.node.gpu.empty() ? nullptr : presets.tree(PresetKind::node, node).find("gpu");
  const auto gpu = map.find("gpu");
  if (!gpu && of_node == nullptr) {
    throw map.error(fmt::format("{}.gpu is missing: the node '{}' takes any", map.path(), cluster.node.name));
  }
  cluster.gpu = presets.gpu(gpu ? *gpu : YamlValue(*of_node, "gpu"));
  if (!gpu || of_node == nullptr) return;
  const std::string expected = PresetStore::stem(YamlValue(*of_node, "gpu"));
  const std::vector<std::string> names = presets.stands_for(PresetKind::gpu, *gpu);
  if (std::find(names.begin(), names.end(), expected) == names.end()) {
    throw gpu->error(
        fmt::format("the node '{}' has the GPU '{}', not '{}'", cluster.node.name, expected, cluster.gpu.name));
  }
}

void read_node(YamlMap& map, PresetStore& presets, Cluster& cluster, Defaults& defaults) {
  const auto node = map.find("node");
  const auto per_node = map.find("gpus_per_node");
  if (node) {
    read_named_node(map, *node, presets, cluster);
    cluster.gpus_per_node = per_node ? static_cast<int>(per_node->integer({1, cluster.node.gpus})) : cluster.node.gpus;
    return;
  }
  const YamlValue gpu = map.require("gpu");
  cluster.gpu = presets.gpu(gpu);
  choose_node(map, gpu, presets, cluster, defaults);
}

// --- how many ----------------------------------------------------------------------------------------------------

std::int64_t read_gpu_count(YamlMap& map, const Cluster& cluster) {
  const std::int64_t per_node = cluster.gpus_per_node;
  const auto nodes = map.find("nodes");
  const auto gpus = map.find("gpus");
  if (!nodes) {
    const std::int64_t count = (gpus ? *gpus : map.require("gpus")).integer({1, most_gpus});
    if (count > per_node && count % per_node != 0) {
      throw gpus->error(fmt::format("{} GPUs do not fill nodes of {}", count, per_node));
    }
    return count;
  }
  const std::int64_t count = nodes->integer({1, most_gpus / per_node}) * per_node;
  if (gpus && gpus->integer({1, most_gpus}) != count) {
    throw gpus->error(
        fmt::format("{} nodes of {} GPUs are {} GPUs, not {}", count / per_node, per_node, count, gpus->text()));
  }
  return count;
}

// --- fabric ------------------------------------------------------------------------------------------------------

Fabric named_fabric(std::string_view name, PresetStore& presets) {
  const YamlNode written = yaml_scalar(std::string(name));
  return presets.fabric(YamlValue(written, "fabric"));
}

Fabric read_usual_fabric(YamlMap& map, PresetStore& presets, const Cluster& cluster) {
  const std::string_view usual = usual_fabric(cluster);
  if (usual.empty()) {
    throw map.error(fmt::format("{}.fabric must be stated: none is usual with GPUs of generation '{}'", map.path(),
                                cluster.gpu.generation));
  }
  return named_fabric(usual, presets);
}

Fabric read_fabric(YamlMap& map, PresetStore& presets, const Cluster& cluster, Defaults& defaults,
                   std::vector<std::string>& assumed) {
  const auto written = map.find("fabric");
  const std::string name = written ? written->text() : "";
  const bool needed = cluster.gpus > cluster.domain_gpus();
  if (name == "none" && needed) {
    throw written->error(
        fmt::format("fabric 'none' cannot join {} GPUs in nodes of {}", cluster.gpus, cluster.gpus_per_node));
  }
  if (!name.empty() && name != "unknown") return presets.fabric(*written);
  if (!needed) return named_fabric("none", presets);

  Fabric fabric = read_usual_fabric(map, presets, cluster);
  const std::string why = fmt::format("usual with {} GPUs", cluster.gpu.generation);
  if (name.empty()) {
    defaults.take(map, "fabric", fabric.name, why);
  } else {
    assumed.push_back(fmt::format("{}.fabric: {} ({}; the source does not say)", map.path(), fabric.name, why));
  }
  return fabric;
}

Cluster read_map(const YamlNode& tree, PresetStore& presets, Defaults& defaults, std::vector<std::string>& assumed) {
  YamlMap map(YamlValue(tree, "cluster"), scenario_vocabulary("cluster"));
  map.skip("extends");
  map.skip("description");
  map.skip("source");
  Cluster cluster;
  map.skip("gpu");
  read_node(map, presets, cluster, defaults);
  cluster.gpus = read_gpu_count(map, cluster);
  cluster.fabric = read_fabric(map, presets, cluster, defaults, assumed);
  map.finish();
  return cluster;
}

/// Of `nodes` and `gpus`, the one that is given here also replaces the other one of the preset.
YamlNode with_own_count(YamlNode map) {
  for (const auto& [own, other] : {std::pair{"gpus", "nodes"}, std::pair{"nodes", "gpus"}}) {
    if (map.find(own) == nullptr || map.find(other) != nullptr) continue;
    YamlNode null;
    null.key = other;
    null.source = map.source;
    map.children.push_back(std::move(null));
  }
  return map;
}

}  // namespace

Cluster read_cluster(const YamlValue& cluster, PresetStore& presets, Defaults& defaults,
                     std::vector<std::string>& assumed) {
  if (cluster.is_scalar()) return read_map(presets.tree(PresetKind::cluster, cluster), presets, defaults, assumed);
  if (!cluster.is_map()) throw cluster.must_be("a preset's name, a path or a map");
  return read_map(presets.with_base(PresetKind::cluster, with_own_count(cluster.node())), presets, defaults, assumed);
}

}  // namespace stepcast
