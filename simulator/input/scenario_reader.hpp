#pragma once
/// A scenario's tree as a job: for files that hold one among other things.

#include <string>

#include "simulator/input/preset_store.hpp"
#include "simulator/job.hpp"

namespace stepcast {

/// @param name  for a scenario that does not give its own
/// @throws UserError at the place of what is wrong
Job read_scenario(const YamlNode& root, const std::string& name, PresetStore& presets);

/// `FILE` or `FILE#run-id` as another file names it: relative to that file, else to the working directory.
std::string scenario_beside(const YamlValue& name);

}  // namespace stepcast
