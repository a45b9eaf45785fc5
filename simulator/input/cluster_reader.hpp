#pragma once
/// The `cluster:` of a scenario and the files of hardware_profiles/clusters.

#include "simulator/cluster/cluster.hpp"
#include "simulator/input/defaults.hpp"
#include "simulator/input/preset_store.hpp"

namespace stepcast {

/// A preset's name, a path or a map with either {node, nodes, fabric} or {gpu, gpus, gpus_per_node, fabric}.
/// @param assumed  receives what `fabric: unknown` was taken for
Cluster read_cluster(const YamlValue& cluster, PresetStore& presets, Defaults& defaults,
                     std::vector<std::string>& assumed);

}  // namespace stepcast
