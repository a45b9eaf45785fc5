#pragma once
/// A sweep file, or a scenario whose plan is searched for, as values.

#include <string>
#include <vector>

#include "simulator/input/input.hpp"
#include "simulator/input/yaml_reader.hpp"
#include "simulator/search/sweep.hpp"

namespace stepcast {

/// Reads a sweep file (it has `base:`), or takes any scenario as the base of the default space.
/// @param overrides  applied to the base
/// @throws UserError for whatever is wrong, an empty axis included
Sweep load_sweep(const std::string& path, const std::vector<Override>& overrides = {});

/// Every sensible plan of a job, for the shortest step.
Sweep default_sweep(const Job& base);

/// The plans that a team would try, for the shortest step: degrees, chunks, ZeRO, microbatch and recomputation.
/// @param memory_headroom_bytes  of each GPU, that stay free
Sweep training_sweep(const Job& base, double memory_headroom_bytes);

/// The plans of a `space:` that stands in another file.
Sweep sweep_over(const Job& base, const YamlValue& space, double memory_headroom_bytes);

/// The keys of a sweep file with their meaning, for `sweep --help-file`.
std::string sweep_help();

/// A digest of every profile and model preset that results may rest on.
std::string profiles_digest();

}  // namespace stepcast
