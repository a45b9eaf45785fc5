#include "simulator/input/defaults.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "simulator/input/scenario_keys.hpp"

namespace stepcast {

void Defaults::take(const YamlMap& map, std::string_view key, std::string_view value, std::string_view why) {
  taken.push_back(fmt::format("{}{}{}: {} ({})", map.path(), map.path().empty() ? "" : ".", key, value, why));
}

std::int64_t Defaults::integer(YamlMap& map, const std::string& key, IntegerRange range, std::int64_t fallback) {
  if (const auto value = map.find(key)) return value->integer(range);
  take(map, key, std::to_string(fallback));
  return fallback;
}

bool Defaults::boolean(YamlMap& map, const std::string& key, bool fallback) {
  if (const auto value = map.find(key)) return value->boolean();
  take(map, key, fallback ? "true" : "false");
  return fallback;
}

std::string Defaults::choice(YamlMap& map, const std::string& key, const std::string& fallback) {
  if (auto name = find_choice(map, key)) return *name;
  take(map, key, fallback);
  return fallback;
}

std::optional<std::string> find_choice(YamlMap& map, const std::string& key) {
  const auto value = map.find(key);
  if (!value) return std::nullopt;
  std::string kind = key;
  std::replace(kind.begin(), kind.end(), '_', ' ');
  return value->choice(kind, scenario_choices(map.path(), key));
}

}  // namespace stepcast
