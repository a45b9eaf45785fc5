#pragma once
/// From a profile's YAML to the plain structs of profiles/: the keys are the fields.

#include <string>

#include "simulator/input/yaml_reader.hpp"
#include "simulator/profiles/fabric.hpp"
#include "simulator/profiles/framework.hpp"
#include "simulator/profiles/gpu.hpp"
#include "simulator/profiles/node.hpp"

namespace stepcast {

/// The text in a run's framework version for which a framework profile stands in for the one that it extends.
inline constexpr const char* version_key = "version_contains";
/// Whether a framework profile stands in for the one that it extends when a run is, or is not, under torch.compile.
inline constexpr const char* compiled_key = "when_torch_compile";

// Each takes the root of a profile's file, with what it extends already in place, and the name to give the result.
// Every number is {value: 2039 GB/s, basis: datasheet, source: "..."}; every field must be there.
Gpu read_gpu(const YamlNode& root, const std::string& name);
Node read_node(const YamlNode& root, const std::string& name);
Fabric read_fabric(const YamlNode& root, const std::string& name);
Framework read_framework(const YamlNode& root, const std::string& name);

/// `basis` of the map of a number.
Basis read_basis(YamlMap& map);

/// Fills in what `root` leaves to `base`: deeply for maps, but a number with its source is one thing. A null erases.
/// `basis_of_inherited` and `inherited_source` of `root` re-mark the numbers that come from `base`.
YamlNode extended(const YamlNode& root, YamlNode base, const std::string& base_name);

}  // namespace stepcast
