#pragma once
/// Finds, reads and keeps the presets that scenarios name.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "simulator/input/profile_reader.hpp"
#include "simulator/input/yaml_reader.hpp"

namespace stepcast {

enum class PresetKind { model, gpu, node, fabric, cluster, framework, scaling_law, reliability, site, prices };

/// What `stepcast list` calls the kind: "models", "gpus" ...  @throws UserError for any other word
PresetKind preset_kind(const std::string& plural);

/// Reads each file once, however many scenarios name it: give one store to all of them.
///
/// A preset is named by the stem of its file in the data directory. A name with a slash, or one that ends in .yaml, is
/// a path: relative to the file that names it, then to the working directory.
class PresetStore {
 public:
  PresetStore();
  explicit PresetStore(std::string data_directory) : data_directory_(std::move(data_directory)) {}

  // The value is the name as it was written: errors point to it.
  const Gpu& gpu(const YamlValue& name);
  const Node& node(const YamlValue& name);
  const Fabric& fabric(const YamlValue& name);
  /// @param version,compiled  as the run states them; a preset `NAME-...` that extends NAME for such takes its place
  const Framework& framework(const YamlValue& name, const std::string& version = "",
                             std::optional<bool> compiled = std::nullopt);

  /// The preset's tree with everything that it extends in place, for kinds that have readers of their own.
  const YamlNode& tree(PresetKind kind, const YamlValue& name);

  /// A map written in place, with what it extends.
  YamlNode with_base(PresetKind kind, const YamlNode& map) { return with_base(kind, map, {}); }

  /// The preset's name without folder and extension.
  static std::string stem(const YamlValue& name);

  /// The preset's name; after a path, the names of the presets that the file extends, the nearest first: a profile of
  /// one's own stands for the part that it describes anew, wherever that one fits.
  std::vector<std::string> stands_for(PresetKind kind, const YamlValue& name);

  /// All presets of a kind in the data directory, sorted.
  const std::vector<std::string>& names(PresetKind kind);

  /// The nodes of the data directory, sorted by name.
  const std::vector<const Node*>& nodes();

 private:
  std::string path_of(PresetKind kind, const YamlValue& name);
  /// @param chain the presets that extend this one, to notice one that extends itself
  const YamlNode& tree_at(PresetKind kind, const std::string& path, std::vector<std::string> chain);
  YamlNode with_base(PresetKind kind, const YamlNode& map, const std::vector<std::string>& chain);
  template <class T>
  const T& cached(PresetKind kind, const YamlValue& name, std::map<std::string, T>& cache,
                  T (*read)(const YamlNode&, const std::string&));

  std::string data_directory_;
  std::map<PresetKind, std::vector<std::string>> names_;
  // By path.
  std::map<std::string, YamlNode> trees_;
  std::map<std::string, Gpu> gpus_;
  std::map<std::string, Node> nodes_;
  std::map<std::string, Fabric> fabrics_;
  std::map<std::string, Framework> frameworks_;
  std::vector<const Node*> all_nodes_;
};

}  // namespace stepcast
