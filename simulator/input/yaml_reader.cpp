#include "simulator/input/yaml_reader.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace stepcast {
namespace {

constexpr std::size_t longest_shown_value = 40;

std::string shown(const std::string& text) {
  if (text.size() <= longest_shown_value) return fmt::format("'{}'", text);
  return fmt::format("a text of {} characters", text.size());
}

/// What the user wrote, as a message names it.
std::string shown(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return "null";
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::map: return "a map";
    case YamlNode::Kind::scalar: break;
  }
  return node.quoted && node.text.size() <= longest_shown_value ? fmt::format("the text \"{}\"", node.text)
                                                                : shown(node.text);
}

bool is_plain(const YamlNode& node) { return node.kind == YamlNode::Kind::scalar && !node.quoted; }

/// Decimal digits, perhaps with a minus. 007 may mean seven or an octal number, and 1e3 is a float in YAML: neither.
std::optional<std::int64_t> parse_integer(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.starts_with('0') && digits.size() > 1) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string count_of(std::int64_t value) { return count_text(static_cast<double>(value)); }

std::string described(IntegerRange range) {
  if (range.highest == std::numeric_limits<std::int64_t>::max()) {
    return fmt::format("a whole number of at least {}", count_of(range.lowest));
  }
  return fmt::format("a whole number from {} to {}", count_of(range.lowest), count_of(range.highest));
}

std::string described(NumberRange range) {
  if (range.highest < std::numeric_limits<double>::max()) {
    return fmt::format("a number from {} to {}", range.lowest, range.highest);
  }
  if (range.lowest > std::numeric_limits<double>::lowest()) return fmt::format("a number of at least {}", range.lowest);
  return "a number";
}

bool has_control_characters(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::iscntrl(c) != 0 && c != '\n' && c != '\t'; });
}

}  // namespace

UserError YamlValue::must_be(const std::string& what) const {
  return error(fmt::format("{} must be {}, not {}", path_, what, shown(*node_)));
}

std::int64_t YamlValue::integer(IntegerRange range) const {
  const auto value = is_plain(*node_) ? parse_integer(node_->text) : std::nullopt;
  if (!value || *value < range.lowest || *value > range.highest) throw must_be(described(range));
  return *value;
}

double YamlValue::number(NumberRange range) const {
  const auto value = is_plain(*node_) ? parse_number(node_->text) : std::nullopt;
  if (!value || *value < range.lowest || *value > range.highest) throw must_be(described(range));
  return *value;
}

bool YamlValue::boolean() const {
  constexpr std::array<std::string_view, 3> yes{"true", "True", "TRUE"};
  constexpr std::array<std::string_view, 3> no{"false", "False", "FALSE"};
  if (is_plain(*node_)) {
    if (std::find(yes.begin(), yes.end(), node_->text) != yes.end()) return true;
    if (std::find(no.begin(), no.end(), node_->text) != no.end()) return false;
  }
  throw must_be("true or false");
}

std::string YamlValue::text() const {
  if (!is_scalar()) throw must_be("text");
  if (has_control_characters(node_->text)) throw error(path_ + " contains control characters");
  return node_->text;
}

std::string YamlValue::choice(std::string_view kind, const std::vector<std::string>& names) const {
  std::string name = text();
  if (std::find(names.begin(), names.end(), name) == names.end()) throw error(unknown_name(kind, name, names));
  return name;
}

template <class Q>
Q YamlValue::quantity() const {
  if (!is_scalar()) throw must_be("a number with its unit (" + unit_names<Q>() + ")");
  const auto value = parse_quantity<Q>(node_->text);
  if (!value && parse_number(node_->text)) {
    throw error(fmt::format("{} needs a unit after the number {} (one of: {})", path_, node_->text, unit_names<Q>()));
  }
  if (!value) throw must_be("a number with its unit (" + unit_names<Q>() + ")");
  if (*value < Q(0)) throw error(fmt::format("{} must not be negative: {}", path_, node_->text));
  return *value;
}

template Seconds YamlValue::quantity<Seconds>() const;
template Bytes YamlValue::quantity<Bytes>() const;
template Flops YamlValue::quantity<Flops>() const;
template BytesPerSecond YamlValue::quantity<BytesPerSecond>() const;
template FlopsPerSecond YamlValue::quantity<FlopsPerSecond>() const;
template Hertz YamlValue::quantity<Hertz>() const;
template Watts YamlValue::quantity<Watts>() const;
template Joules YamlValue::quantity<Joules>() const;

std::vector<YamlValue> YamlValue::list() const {
  if (!is_list()) throw must_be("a list");
  std::vector<YamlValue> items;
  for (std::size_t i = 0; i < node_->children.size(); ++i) {
    items.emplace_back(node_->children[i], fmt::format("{}[{}]", path_, i));
  }
  return items;
}

void check_is_map(const YamlValue& value) {
  if (value.is_map()) return;
  if (value.path().empty()) throw value.error("here must be a map of keys, not " + shown(value.node()));
  throw value.must_be("a map of keys");
}

YamlMap::YamlMap(YamlValue value, std::vector<std::string> vocabulary)
    : value_(std::move(value)), vocabulary_(std::move(vocabulary)) {
  check_is_map(value_);
  if (!vocabulary_.empty()) refuse_keys_outside(vocabulary_);
}

std::string YamlMap::path_of(const std::string& key) const { return path().empty() ? key : path() + "." + key; }

std::optional<YamlValue> YamlMap::find(const std::string& key) {
  CHECK(vocabulary_.empty() || std::find(vocabulary_.begin(), vocabulary_.end(), key) != vocabulary_.end(),
        "the vocabulary has every key that is read: " + path_of(key));
  asked_.insert(key);
  const YamlNode* child = node().find(key);
  if (child == nullptr || child->kind == YamlNode::Kind::null) return std::nullopt;
  return YamlValue(*child, path_of(key));
}

YamlValue YamlMap::require(const std::string& key) {
  if (auto value = find(key)) return *value;
  const std::string problem = path_of(key) + " is missing";
  const YamlNode* null = node().find(key);
  throw null != nullptr ? error_at_key(*null, problem) : error(problem);
}

std::vector<YamlValue> YamlMap::values() {
  std::vector<YamlValue> all;
  for (const YamlNode& child : node().children) {
    if (auto value = find(child.key)) all.push_back(std::move(*value));
  }
  return all;
}

void YamlMap::finish() const {
  if (vocabulary_.empty()) return refuse_keys_outside({asked_.begin(), asked_.end()});
  for (const std::string& key : vocabulary_) {
    CHECK(asked_.contains(key), "every key of the vocabulary is read: " + path_of(key));
  }
}

void YamlMap::refuse_keys_outside(const std::vector<std::string>& known) const {
  for (const YamlNode& child : node().children) {
    if (std::find(known.begin(), known.end(), child.key) != known.end()) continue;
    const std::string kind = path().empty() ? "key" : path() + " key";
    throw error_at_key(child, unknown_name(kind, child.key, known));
  }
}

UserError YamlMap::error(const std::string& problem) const {
  // A map inside another is best named by its own key.
  return node().key.empty() ? error_at(node(), problem) : error_at_key(node(), problem);
}

}  // namespace stepcast
