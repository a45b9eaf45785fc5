#include "simulator/input/hf_config.hpp"

#include <utility>

#include <fmt/format.h>

#include "simulator/input/yaml_reader.hpp"

namespace stepcast {

HfConfig::HfConfig(const YamlNode& config, std::string architecture)
    : config_(config), within_(config.find("text_config")), architecture_(std::move(architecture)) {
  if (within_ == nullptr || within_->kind != YamlNode::Kind::map) within_ = &config_;
  model_.kind = YamlNode::Kind::map;
  model_.at = config.at;
  model_.source = config.source;
}

const YamlNode* HfConfig::find(std::string_view key) const {
  const YamlNode* value = within_->find(key);
  if (value == nullptr) value = config_.find(key);
  return value != nullptr && value->kind != YamlNode::Kind::null ? value : nullptr;
}

UserError HfConfig::error(std::string_view key, const std::string& problem) const {
  const YamlNode* value = find(key);
  return value != nullptr ? error_at(*value, problem) : UserError(Location{config_.source->name}, problem);
}

std::int64_t HfConfig::integer(std::string_view key) const {
  const YamlNode* value = find(key);
  if (value == nullptr) throw error(key, fmt::format("'{}' is missing: {} needs it", key, architecture_));
  return YamlValue(*value, std::string(key)).integer({});
}

std::int64_t HfConfig::integer(std::string_view key, std::int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

bool HfConfig::flag(std::string_view key, bool fallback) const {
  const YamlNode* value = find(key);
  return value != nullptr ? YamlValue(*value, std::string(key)).boolean() : fallback;
}

std::string HfConfig::text(std::string_view key, std::string fallback) const {
  const YamlNode* value = find(key);
  return value != nullptr ? YamlValue(*value, std::string(key)).text() : std::move(fallback);
}

std::string HfConfig::activation(std::string_view key, std::string fallback, bool gated) const {
  const std::string name = text(key, std::move(fallback));
  if (name == "silu" || name == "swish") return gated ? "swiglu" : "gelu";  // alike in cost
  if (name.find("gelu") != std::string::npos) return gated ? "geglu" : "gelu";
  if (name == "relu") return gated ? "swiglu" : "relu";
  if (name == "relu2" || name == "relu_squared") return "squared_relu";
  throw error(key, fmt::format("{}: unknown activation '{}' (one of: gelu and its kin, silu, relu, relu2)", key, name));
}

void HfConfig::add(YamlNode value) { (into_ != nullptr ? *into_ : model_).children.push_back(std::move(value)); }

void HfConfig::copy(std::string ours, std::string_view theirs) {
  const YamlNode* value = find(theirs);
  if (value == nullptr) throw error(theirs, fmt::format("'{}' is missing: {} needs it", theirs, architecture_));
  YamlNode copied = *value;
  copied.key = std::move(ours);
  add(std::move(copied));
}

void HfConfig::copy(std::string ours, std::string_view theirs, std::int64_t fallback) {
  has(theirs) ? copy(std::move(ours), theirs) : set(std::move(ours), fallback);
}

void HfConfig::copy_if_there(std::string ours, std::string_view theirs) {
  if (has(theirs)) copy(std::move(ours), theirs);
}

void HfConfig::set(std::string ours, std::string value) {
  YamlNode node = yaml_scalar(std::move(value));
  node.key = std::move(ours);
  node.source = config_.source;
  add(std::move(node));
}

void HfConfig::begin_map(std::string ours) {
  YamlNode map;
  map.kind = YamlNode::Kind::map;
  map.key = std::move(ours);
  map.at = config_.at;
  map.source = config_.source;
  model_.children.push_back(std::move(map));
  into_ = &model_.children.back();
}

}  // namespace stepcast
