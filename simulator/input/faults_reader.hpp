#pragma once
/// `faults:` of a scenario.

#include <vector>

#include "simulator/cluster/cluster.hpp"
#include "simulator/cluster/faults.hpp"
#include "simulator/input/yaml_reader.hpp"

namespace stepcast {

/// @throws UserError at the place of a fault that names what the cluster does not have, or says nothing
std::vector<Fault> read_faults(const YamlValue& value, const Cluster& cluster);

}  // namespace stepcast
