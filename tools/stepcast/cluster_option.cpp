#include "tools/stepcast/cluster_option.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"
#include "simulator/input/cluster_reader.hpp"

namespace stepcast::cli {
namespace {

YamlNode scalar(const std::string& key, const std::string& text) {
  YamlNode node = yaml_scalar(text);
  node.key = key;
  return node;
}

Cluster read(const YamlNode& tree) {
  PresetStore presets;
  Defaults defaults;
  std::vector<std::string> assumed;
  return read_cluster(YamlValue(tree, "cluster"), presets, defaults, assumed);
}

Cluster with_nodes(Cluster cluster, std::int64_t nodes) {
  constexpr std::int64_t most = 100'000'000;
  if (nodes < 0 || nodes > most / cluster.gpus_per_node)
    throw UserError("--nodes is a number from 1 to a million or so");
  if (nodes > 0) cluster.gpus = nodes * cluster.gpus_per_node;
  return cluster;
}

}  // namespace

void add_cluster_options(CLI::App& app, ClusterOption& option, ClusterName name) {
  if (name == ClusterName::option)
    app.add_option("--cluster", option.cluster, "A cluster: a preset (stepcast list clusters) or a file")
        ->type_name("NAME");
  else
    app.add_option("CLUSTER", option.cluster, "A preset (stepcast list clusters) or a file")->type_name("");
  app.add_option("--node", option.node, "Instead of a cluster: its nodes")->type_name("NAME");
  app.add_option("--fabric", option.fabric, "... and the network between them")->type_name("NAME");
  app.add_option("--nodes", option.nodes, "How many nodes")->type_name("N");
}

Cluster read_cluster_option(const ClusterOption& option, std::int64_t gpus) {
  if (!option.given()) throw UserError("name a cluster (stepcast list clusters), or --node and --fabric");
  if (!option.cluster.empty()) {
    if (!option.node.empty() || !option.fabric.empty())
      throw UserError("a cluster has its node and fabric: name one or the other");
    return with_nodes(read(yaml_scalar(option.cluster)), option.nodes);
  }
  YamlNode map;
  map.kind = YamlNode::Kind::map;
  map.source = yaml_scalar("").source;
  map.children = {scalar("node", option.node),
                  scalar("nodes", std::to_string(std::max<std::int64_t>(1, option.nodes)))};
  Cluster one = read(map);
  std::int64_t nodes = option.nodes;
  if (nodes == 0) nodes = std::max<std::int64_t>(1, (gpus + one.gpus_per_node - 1) / one.gpus_per_node);
  map.children[1] = scalar("nodes", std::to_string(nodes));
  if (!option.fabric.empty()) map.children.push_back(scalar("fabric", option.fabric));
  return read(map);
}

}  // namespace stepcast::cli
