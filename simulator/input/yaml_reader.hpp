#pragma once
/// Strict, typed reading of a YAML tree: what is not understood is an error at its place, never silence.

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/input/yaml_tree.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {

/// Both ends included.
struct IntegerRange {
  std::int64_t lowest = 0;
  std::int64_t highest = std::numeric_limits<std::int64_t>::max();
};

/// Both ends included.
struct NumberRange {
  double lowest = 0;
  double highest = std::numeric_limits<double>::max();
};

/// One value and its path ("plan.tensor_parallel"), to be read as what it ought to be.
/// Every reading throws UserError at the value's place when it is something else.
///
/// Refers to the tree, which must live on.
class YamlValue {
 public:
  YamlValue(const YamlNode& node, std::string path) : node_(&node), path_(std::move(path)) {}

  const YamlNode& node() const { return *node_; }
  const std::string& path() const { return path_; }
  const std::string& key() const { return node_->key; }

  bool is_null() const { return node_->kind == YamlNode::Kind::null; }
  bool is_scalar() const { return node_->kind == YamlNode::Kind::scalar; }
  bool is_list() const { return node_->kind == YamlNode::Kind::list; }
  bool is_map() const { return node_->kind == YamlNode::Kind::map; }

  std::int64_t integer(IntegerRange range) const;
  double number(NumberRange range) const;
  bool boolean() const;
  /// Any scalar as it is written.
  std::string text() const;
  /// One of the names; the error calls it `kind` ("schedule") and proposes the nearest.
  std::string choice(std::string_view kind, const std::vector<std::string>& names) const;
  /// A number with its unit, not negative.
  template <class Q>
  Q quantity() const;
  std::vector<YamlValue> list() const;

  /// "plan.tensor_parallel must be ..., not '...'": an error to throw.
  UserError must_be(const std::string& what) const;
  /// An error to throw about this value.
  UserError error(const std::string& problem) const { return error_at(*node_, problem); }

 private:
  const YamlNode* node_;
  std::string path_;
};

/// @throws UserError when the value is no map
void check_is_map(const YamlValue& value);

/// The keys of one map. Each is asked for by name, where null is as good as absent; finish() then refuses those that
/// nobody asked for.
///
/// A map may be given its vocabulary beforehand. Then a misspelt key is reported as such at once, not as the absence of
/// the right one, and the vocabulary is held to what is read: neither may have a key that the other lacks.
class YamlMap {
 public:
  /// @throws UserError when the value is no map, or has a key outside of a vocabulary that is not empty
  explicit YamlMap(YamlValue value, std::vector<std::string> vocabulary = {});

  const std::string& path() const { return value_.path(); }
  const YamlNode& node() const { return value_.node(); }

  std::optional<YamlValue> find(const std::string& key);
  YamlValue require(const std::string& key);
  /// All values, for maps from free names to values.
  std::vector<YamlValue> values();

  /// Accepts a key and leaves it unread.
  void skip(const std::string& key) { find(key); }

  /// @throws UserError at the first key that was not asked for
  void finish() const;

  /// An error to throw about the map as a whole.
  UserError error(const std::string& problem) const;

 private:
  std::string path_of(const std::string& key) const;
  void refuse_keys_outside(const std::vector<std::string>& known) const;

  YamlValue value_;
  std::vector<std::string> vocabulary_;
  std::set<std::string> asked_;
};

}  // namespace stepcast
