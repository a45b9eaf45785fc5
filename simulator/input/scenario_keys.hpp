#pragma once
/// The vocabulary of a scenario: what its maps may hold, what each key means and what holds when it is left out.
/// The readers check against it and `predict --help-scenario` prints it, so that neither can fall behind the other.

#include <string>
#include <string_view>
#include <vector>

namespace stepcast {

struct ScenarioKey {
  std::string section;  ///< path of the map that it stands in: "" at the top, "plan", "model.moe"
  std::string key;
  std::string value;     ///< what may stand there; with `choices`, what else
  std::string fallback;  ///< what holds when it is absent or null
  std::string meaning;
  std::vector<std::string> choices{};  ///< the names that may stand there
};

/// In the order in which people write them.
const std::vector<ScenarioKey>& scenario_keys();

/// The keys of one section.
std::vector<std::string> scenario_vocabulary(std::string_view section);

/// The names that may stand for `section.key`.
const std::vector<std::string>& scenario_choices(std::string_view section, std::string_view key);

}  // namespace stepcast
