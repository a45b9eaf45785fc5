#pragma once
/// A scenario's tree as a job: for files that hold one among other things.

#include <string>

#include "simulator/input/preset_store.hpp"
#include "simulator/job.hpp"

namespace stepcast {

/// @param name  for a scenario that does not give its own
/// @throws UserError at the place of what is wrong
Job read_scenario(const YamlNode& root, const std::string& name, PresetStore& presets);

}  // namespace stepcast
