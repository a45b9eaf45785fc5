#pragma once
/// Reading keys that may be left out, with a note of each default that is taken.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/input/yaml_reader.hpp"

namespace stepcast {

/// What a scenario did not say and what we made of it, in sentences for the report.
class Defaults {
 public:
  /// "model.position: learned (not stated)"
  void take(const YamlMap& map, std::string_view key, std::string_view value, std::string_view why = "not stated");

  std::int64_t integer(YamlMap& map, const std::string& key, IntegerRange range, std::int64_t fallback);
  bool boolean(YamlMap& map, const std::string& key, bool fallback);
  /// One of the names that the scenario's vocabulary has for this key.
  std::string choice(YamlMap& map, const std::string& key, const std::string& fallback);

  std::vector<std::string> taken;
};

/// One of the names that the scenario's vocabulary has for this key; nothing when it is absent.
std::optional<std::string> find_choice(YamlMap& map, const std::string& key);

}  // namespace stepcast
