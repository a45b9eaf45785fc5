#pragma once
/// Hugging Face configurations (`config.json`) as models of ours.
///
/// A configuration is translated into the map that a `model:` of a scenario would be, and read as such: what each
/// architecture means is in one place, and every value keeps its place in the file for messages. Keys that the
/// translation does not need (tokens, initialisation, generation) are not looked at.

#include <string_view>
#include <vector>

#include "simulator/input/input.hpp"
#include "simulator/input/yaml_tree.hpp"

namespace stepcast {

/// The model map of a configuration.
/// @throws UserError when the architecture is unknown (it names the nearest known one), or a key that it needs is missing
YamlNode hugging_face_model(const YamlNode& config);

}  // namespace stepcast
