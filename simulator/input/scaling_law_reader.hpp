#pragma once
/// Scaling laws in YAML: the files of models/scaling_laws/, a user's own, and maps inside a plan file.

#include <string>

#include "simulator/budget/scaling_law.hpp"
#include "simulator/input/preset_store.hpp"

namespace stepcast {

/// A name, a path or a map. @throws UserError at the place of what is wrong
ScalingLaw read_scaling_law(const YamlValue& law, PresetStore& presets);

/// A name or a path, as on a command line.
ScalingLaw load_scaling_law(const std::string& name);

/// A parametric law as a file that read_scaling_law() takes.
/// @param comment  lines that go before it
std::string scaling_law_text(const ScalingLaw& law, const std::string& comment = "");

/// The keys of a law and what they mean, for help texts.
std::string scaling_law_help();

/// What holds when a plan names none.
inline constexpr const char* default_scaling_law = "besiroglu";

}  // namespace stepcast
