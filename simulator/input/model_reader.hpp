#pragma once
/// The `model:` of a scenario and the files of models/presets.

#include "simulator/input/defaults.hpp"
#include "simulator/input/preset_store.hpp"
#include "simulator/workload/architecture.hpp"

namespace stepcast {

/// A preset's name, a path or a map.
/// @throws UserError also for what no transformer can be: heads that do not divide by their groups, more layers with
///         experts than layers
Architecture read_model(const YamlValue& model, PresetStore& presets, Defaults& defaults);

}  // namespace stepcast
