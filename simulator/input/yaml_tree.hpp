#pragma once
/// A YAML document as plain values that remember where they stand.
///
/// The subset that configuration needs: maps, lists, scalars. Aliases, tags and several documents in a file are
/// refused, and so are duplicate keys and deep nesting: no input, however odd, costs more than its length.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/base/error.hpp"

namespace stepcast {

/// What a piece of YAML was read from.
struct YamlSource {
  std::string name;    ///< for messages: the file as the user called it, or "--set key=value"
  std::string folder;  ///< where relative paths in it begin
  std::string text;    ///< empty: positions mean nothing (an override, a name given to a function)
};

struct YamlMark {
  int line = 0;    ///< from one; 0: nowhere
  int column = 0;  ///< from one, in bytes
};

struct YamlNode {
  enum class Kind { null, scalar, list, map };

  Kind kind = Kind::null;
  std::string text;                ///< of a scalar, without quotes
  bool quoted = false;             ///< text, whatever it looks like
  std::string key;                 ///< under which a map holds this node
  std::vector<YamlNode> children;  ///< of a list or a map, in order
  YamlMark at;
  YamlMark key_at;
  std::shared_ptr<const YamlSource> source;

  /// The map's value of that key; nullptr when there is none.
  const YamlNode* find(std::string_view wanted) const;
  YamlNode* find(std::string_view wanted);

  void erase(std::string_view unwanted);
};

/// The document in `text`. @throws UserError where it is empty, malformed or beyond the subset
YamlNode parse_yaml(std::string text, std::string name, std::string folder);

/// The document in a file. @throws UserError
YamlNode load_yaml(const std::string& path);

/// A scalar that stands in no file.
YamlNode yaml_scalar(std::string text);

/// Any text in double quotes, as YAML writes it.
std::string yaml_quoted(std::string_view text);

/// The node's key as a scalar at the key's place.
YamlNode yaml_key(const YamlNode& node);

/// A message about the place where the node stands.
UserError error_at(const YamlNode& node, const std::string& problem);
/// The same about its key.
UserError error_at_key(const YamlNode& node, const std::string& problem);

/// Whether the node was put there by set_by_path.
bool is_override(const YamlNode& node);

/// `--set key.path=value`: puts the value, parsed as YAML, into the tree, creating maps on the way.
/// @throws UserError when something on the way is a list or a plain value
void set_by_path(YamlNode& root, const std::string& path, const std::string& value);

}  // namespace stepcast
