#include "simulator/input/yaml_tree.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <unordered_set>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "simulator/base/files.hpp"
#include "simulator/base/utf8.hpp"

namespace stepcast {
namespace {

/// The parser recurses, and nothing that people write is as deep.
constexpr std::size_t deepest_nesting = 32;

/// Ten times our largest file. The parser may keep hundreds of bytes for each byte that it reads.
constexpr std::size_t largest_yaml_file = std::size_t{8} << 20;

/// Put behind every text: the parser accepts a quote that is still open at the end of a file, but not one around this.
constexpr const char* end_of_document = "\n...\n";

/// Begins the name of an override's source.
constexpr std::string_view override_prefix = "--set ";

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

YamlMark mark_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

constexpr const char* no_key = "a key must be plain text, not a list or a map (is a bracket left open?)";

std::string too_deep() { return fmt::format("nested more than {} deep", deepest_nesting); }

// --- messages ----------------------------------------------------------------------------------------------------

std::string_view line_of(std::string_view text, int line) {
  std::size_t begin = 0;
  for (int passed = 1; passed < line; ++passed) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return {};
    begin = end + 1;
  }
  std::string_view found = text.substr(begin, text.find('\n', begin) - begin);
  if (found.ends_with('\r')) found.remove_suffix(1);
  return found;
}

/// Columns are counted in characters, as editors do; the parser counts bytes.
int column_in_characters(std::string_view line, int byte_column) {
  int column = 1;
  for (std::size_t at = 0; at + 1 < static_cast<std::size_t>(byte_column) && at < line.size(); ++column) {
    at += std::max<std::size_t>(utf8_length(line, at), 1);
  }
  return column;
}

UserError error_at_mark(const YamlSource& source, YamlMark mark, const std::string& problem) {
  if (source.text.empty() || mark.line <= 0) return {Location{source.name}, problem};
  const std::string_view line = line_of(source.text, mark.line);
  return {Location{source.name, mark.line, column_in_characters(line, mark.column)}, problem, line};
}

// --- from events to the tree -------------------------------------------------------------------------------------

/// Builds the tree as the parser goes, and stops it at the first thing that we do not take.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::shared_ptr<const YamlSource> source) : source_(std::move(source)) {
    root_.source = source_;
  }

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override { add(node(YamlNode::Kind::null, mark)); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    throw error(mark, "aliases (*name) are not supported: write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    YamlNode scalar = node(YamlNode::Kind::scalar, mark);
    scalar.text = value;
    scalar.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!scalar.quoted) check_tag(mark, tag);
    add(std::move(scalar));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open(node(YamlNode::Kind::list, mark));
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open(node(YamlNode::Kind::map, mark));
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or map that is not yet closed.
  struct Open {
    YamlNode node;
    std::unordered_set<std::string> keys;  ///< of a map
    bool awaits_value = false;             ///< a map whose last child has its key only
    YamlNode pending;                      ///< that child
  };

  UserError error(const YAML::Mark& mark, const std::string& problem) const {
    return error_at_mark(*source_, mark_of(mark), problem);
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?") throw error(mark, "tags (!name) are not supported");
  }

  YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark) const {
    YamlNode result;
    result.kind = kind;
    result.at = mark_of(mark);
    result.source = source_;
    return result;
  }

  void open(YamlNode container) {
    if (open_.size() >= deepest_nesting) {
      throw error_at(container, too_deep());
    }
    if (!open_.empty() && expects_key()) throw error_at(container, no_key);
    open_.push_back(Open{std::move(container), {}, false, {}});
  }

  void close() {
    YamlNode done = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(done));
  }

  bool expects_key() const { return open_.back().node.kind == YamlNode::Kind::map && !open_.back().awaits_value; }

  void add(YamlNode child) {
    if (open_.empty()) {
      root_ = std::move(child);
    } else if (open_.back().node.kind == YamlNode::Kind::list) {
      open_.back().node.children.push_back(std::move(child));
    } else if (expects_key()) {
      add_key(std::move(child));
    } else {
      add_value(std::move(child));
    }
  }

  void add_key(YamlNode key) {
    if (key.kind != YamlNode::Kind::scalar) throw error_at(key, no_key);
    Open& map = open_.back();
    if (!map.keys.insert(key.text).second) {
      const int first = map.node.find(key.text)->key_at.line;
      throw error_at(key, fmt::format("'{}' is given twice (first in line {})", key.text, first));
    }
    map.pending = std::move(key);
    map.awaits_value = true;
  }

  void add_value(YamlNode value) {
    Open& map = open_.back();
    value.key = std::move(map.pending.text);
    value.key_at = map.pending.at;
    // An empty value has no place of its own; the parser names that of whatever comes next.
    if (value.kind == YamlNode::Kind::null) value.at = value.key_at;
    map.node.children.push_back(std::move(value));
    map.awaits_value = false;
  }

  std::shared_ptr<const YamlSource> source_;
  YamlNode root_;
  std::vector<Open> open_;
};

/// What people most often did when the parser complains in its own terms.
std::string_view hint_for(std::string_view complaint, std::string_view line) {
  if (line.starts_with('\t')) return " (indent with spaces, not with tabs)";
  if (complaint == "illegal document indicator in scalar") return " (is a quote left open?)";
  if (complaint == "illegal map value") return " (check the indentation; text with ': ' in it needs quotes)";
  return {};
}

UserError malformed(const YamlSource& source, const YAML::Exception& exception) {
  const YamlMark mark = mark_of(exception.mark);
  const std::string_view hint = hint_for(exception.msg, line_of(source.text, mark.line));
  const std::string problem = fmt::format("malformed YAML: {}{}", exception.msg, hint);
  const auto lines = std::count(source.text.begin(), source.text.end(), '\n') + (source.text.ends_with('\n') ? 0 : 1);
  if (!source.text.empty() && mark.line > lines) return {Location{source.name, static_cast<int>(lines)}, problem};
  return error_at_mark(source, mark, problem);
}

void check_is_text(const YamlSource& source) {
  const std::size_t bad = first_invalid_utf8(source.text);
  if (bad == source.text.size()) return;
  const auto line = 1 + std::count(source.text.begin(), source.text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
  throw UserError(Location{source.name, static_cast<int>(line)}, "this line is not UTF-8 text");
}

/// The parser looks far ahead of its events, so that `[[[[...` would fill the memory before the tree is found too deep.
void check_openings(const YamlSource& source) {
  std::size_t openings = 0;
  YamlMark mark{1, 0};
  for (const char c : source.text) {
    mark = c == '\n' ? YamlMark{mark.line + 1, 0} : YamlMark{mark.line, mark.column + 1};
    if (c == '[' || c == '{') {
      if (++openings > deepest_nesting) throw error_at_mark(source, mark, too_deep());
    } else if (c != ' ' && c != '\n' && c != '\r') {
      openings = 0;
    }
  }
}

/// @param text of the source, or of an override, whose source has none
YamlNode parse(const std::string& text, const std::shared_ptr<const YamlSource>& source) {
  std::istringstream in(text + end_of_document);
  try {
    YAML::Parser parser(in);
    TreeBuilder first(source);
    parser.HandleNextDocument(first);
    TreeBuilder second(source);
    if (parser.HandleNextDocument(second)) {
      throw error_at(second.take(), "a second document begins here: a file holds one");
    }
    return first.take();
  } catch (const YAML::Exception& exception) {
    throw malformed(*source, exception);
  }
}

// --- overrides ---------------------------------------------------------------------------------------------------

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream in(path);
  for (std::string part; std::getline(in, part, '.');) parts.push_back(part);
  return parts;
}

/// The child of that key, made if need be.
YamlNode& child_of(YamlNode& map, const std::string& key, const std::shared_ptr<const YamlSource>& source) {
  if (YamlNode* child = map.find(key)) return *child;
  YamlNode child;
  child.key = key;
  child.source = source;
  map.children.push_back(std::move(child));
  return map.children.back();
}

template <class Node>
auto* find_child(Node& map, std::string_view key) {
  const auto found =
      std::find_if(map.children.begin(), map.children.end(), [&](const YamlNode& child) { return child.key == key; });
  return found == map.children.end() ? nullptr : &*found;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view wanted) const { return find_child(*this, wanted); }
YamlNode* YamlNode::find(std::string_view wanted) { return find_child(*this, wanted); }

void YamlNode::erase(std::string_view unwanted) {
  std::erase_if(children, [&](const YamlNode& child) { return child.key == unwanted; });
}

YamlNode parse_yaml(std::string text, std::string name, std::string folder) {
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  const auto source =
      std::make_shared<const YamlSource>(YamlSource{std::move(name), std::move(folder), std::move(text)});
  check_is_text(*source);
  check_openings(*source);
  YamlNode root = parse(source->text, source);
  if (root.kind == YamlNode::Kind::null) throw UserError(Location{source->name}, "the file is empty");
  return root;
}

YamlNode load_yaml(const std::string& path) {
  return parse_yaml(read_file(path, largest_yaml_file), path, std::filesystem::path(path).parent_path().string());
}

YamlNode yaml_scalar(std::string text) {
  YamlNode node;
  node.kind = YamlNode::Kind::scalar;
  node.text = std::move(text);
  node.source = std::make_shared<const YamlSource>();
  return node;
}

std::string yaml_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' || c == '\t' ? ' ' : c;
  }
  return out + "\"";
}

YamlNode yaml_key(const YamlNode& node) {
  YamlNode key;
  key.kind = YamlNode::Kind::scalar;
  key.text = node.key;
  key.at = node.key_at;
  key.source = node.source;
  return key;
}

UserError error_at(const YamlNode& node, const std::string& problem) {
  return error_at_mark(*node.source, node.at, problem);
}

UserError error_at_key(const YamlNode& node, const std::string& problem) {
  return error_at_mark(*node.source, node.key_at, problem);
}

bool is_override(const YamlNode& node) { return node.source->name.starts_with(override_prefix); }

void set_by_path(YamlNode& root, const std::string& path, const std::string& value) {
  const std::string option = fmt::format("{}{}={}", override_prefix, path, value);
  const auto source = std::make_shared<const YamlSource>(YamlSource{option, "", ""});
  const std::vector<std::string> keys = split_path(path);
  if (keys.empty() || std::count(keys.begin(), keys.end(), "") > 0) {
    throw UserError(Location{option}, "a part of the key is empty: write --set plan.tensor_parallel=4");
  }
  YamlNode* target = &root;
  std::string walked;
  for (const std::string& key : keys) {
    if (target->kind == YamlNode::Kind::null) target->kind = YamlNode::Kind::map;
    if (target->kind != YamlNode::Kind::map) throw UserError(Location{option}, walked + " has no keys to set");
    target = &child_of(*target, key, source);
    walked += (walked.empty() ? "" : ".") + key;
  }
  YamlNode parsed = parse(value, source);
  parsed.key = target->key;
  *target = std::move(parsed);
}

}  // namespace stepcast
