#pragma once
/// A sweep file, or a scenario whose plan is searched for, as values.

#include <string>
#include <vector>

#include "simulator/input/input.hpp"
#include "simulator/search/sweep.hpp"

namespace stepcast {

/// Reads a sweep file (it has `base:`), or takes any scenario as the base of the default space.
/// @param overrides  applied to the base
/// @throws UserError for whatever is wrong, an empty axis included
Sweep load_sweep(const std::string& path, const std::vector<Override>& overrides = {});

/// Every sensible plan of a job, for the shortest step.
Sweep default_sweep(const Job& base);

/// The keys of a sweep file with their meaning, for `sweep --help-file`.
std::string sweep_help();

/// A digest of every profile and model preset that results may rest on.
std::string profiles_digest();

}  // namespace stepcast
