#pragma once
/// One Hugging Face configuration, and the model map that is made of it.

#include <cstdint>
#include <string>
#include <string_view>

#include "simulator/input/yaml_tree.hpp"

namespace stepcast {

class HfConfig {
 public:
  HfConfig(const YamlNode& config, std::string architecture);

  // What the configuration says; null is as good as absent.
  const YamlNode* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// @throws UserError when it is not there, or no whole number
  std::int64_t integer(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::string text(std::string_view key, std::string fallback) const;
  /// The name of an activation in our words: silu and gelu as gates are swiglu and geglu.
  std::string activation(std::string_view key, std::string fallback, bool gated) const;

  // What the model's map gets. A copied value keeps its place in the file.
  void copy(std::string ours, std::string_view theirs);                         ///< must be there
  void copy(std::string ours, std::string_view theirs, std::int64_t fallback);  ///< that of the software when absent
  void copy_if_there(std::string ours, std::string_view theirs);
  void set(std::string ours, std::string value);
  void set(std::string ours, std::int64_t value) { set(std::move(ours), std::to_string(value)); }
  void set(std::string ours, int value) { set(std::move(ours), std::to_string(value)); }
  void set(std::string ours, bool value) { set(std::move(ours), std::string(value ? "true" : "false")); }
  void set(std::string ours, const char* value) { set(std::move(ours), std::string(value)); }
  /// Following values go into a map of the model's, until end_map().
  void begin_map(std::string ours);
  void end_map() { into_ = nullptr; }

  UserError error(std::string_view key, const std::string& problem) const;
  YamlNode take() { return std::move(model_); }

 private:
  void add(YamlNode value);

  const YamlNode& config_;
  const YamlNode* within_;  ///< `text_config` of a model with more than text
  std::string architecture_;
  YamlNode model_;
  YamlNode* into_ = nullptr;
};

}  // namespace stepcast
