#include "simulator/input/faults_reader.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "simulator/input/scenario_keys.hpp"

namespace stepcast {
namespace {

/// An index into what the cluster has `count` of.
std::int64_t read_index(const YamlValue& value, std::int64_t count, std::string_view things) {
  const std::int64_t index = value.integer({});
  if (index >= count) {
    throw value.error(count == 0 ? fmt::format("{}: the cluster has no {}", value.path(), things)
                                 : fmt::format("{}: there is no number {} of its {} {}, which count from 0",
                                               value.path(), index, count, things));
  }
  return index;
}

Fault read_fault(const YamlValue& value, const Cluster& cluster) {
  YamlMap map(value, scenario_vocabulary("faults"));
  const std::int64_t node_gpus = std::max(1, cluster.gpus_per_node);
  Fault fault;
  if (const auto gpu = map.find("gpu")) fault.gpu = read_index(*gpu, cluster.gpus, "GPUs");
  if (const auto node = map.find("node")) {
    fault.node = read_index(*node, (cluster.gpus + node_gpus - 1) / node_gpus, "nodes");
  }
  if (fault.gpu.has_value() == fault.node.has_value()) throw map.error("a fault is of one `gpu` or of one `node`");
  if (const auto nic = map.find("nic")) {
    if (!fault.node) throw nic->error("a NIC is one of a `node`");
    fault.nic = static_cast<int>(read_index(*nic, cluster.fabric.nics_per_node, "NICs of a node"));
  }
  const auto speed = map.find("speed");
  if (speed) fault.speed = speed->number({1e-3, 1});
  const auto failed = map.find("failed");
  fault.failed = failed && failed->boolean();
  if (speed.has_value() == fault.failed) throw map.error("a fault has a `speed`, or is `failed: true`");
  map.finish();
  return fault;
}

}  // namespace

std::vector<Fault> read_faults(const YamlValue& value, const Cluster& cluster) {
  if (!value.is_list()) throw value.must_be("a list of faults, as in [{node: 3, speed: 0.9}]");
  std::vector<Fault> faults;
  for (const YamlValue& fault : value.list()) faults.push_back(read_fault(fault, cluster));
  return faults;
}

}  // namespace stepcast
