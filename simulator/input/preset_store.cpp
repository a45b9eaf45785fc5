#include "simulator/input/preset_store.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "simulator/input/input.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

/// A kind of preset: in `list`, in messages, in the data directory. In the order of PresetKind.
struct KindText {
  std::string_view plural;
  std::string_view singular;
  std::string_view folder;
};
constexpr std::array<KindText, 10> kinds{{{"models", "model", "models/presets"},
                                          {"gpus", "GPU", "hardware_profiles/gpus"},
                                          {"nodes", "node", "hardware_profiles/nodes"},
                                          {"fabrics", "fabric", "hardware_profiles/fabrics"},
                                          {"clusters", "cluster", "hardware_profiles/clusters"},
                                          {"frameworks", "framework", "hardware_profiles/frameworks"},
                                          {"scaling-laws", "scaling law", "models/scaling_laws"},
                                          {"reliability", "reliability", "hardware_profiles/reliability"},
                                          {"sites", "site", "hardware_profiles/sites"},
                                          {"prices", "price list", "hardware_profiles/prices"}}};

const KindText& text_of(PresetKind kind) { return kinds[static_cast<std::size_t>(kind)]; }

bool is_path(const std::string& name) { return name.find('/') != std::string::npos || name.ends_with(".yaml"); }

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

}  // namespace

PresetKind preset_kind(const std::string& plural) {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i].plural == plural) return static_cast<PresetKind>(i);
    known.emplace_back(kinds[i].plural);
  }
  throw UserError(unknown_name("kind of preset", plural, known));
}

PresetStore::PresetStore() : PresetStore(stepcast::data_directory()) {}

std::string PresetStore::stem(const YamlValue& name) {
  const fs::path file = fs::path(name.text()).filename();
  return file.extension() == ".yaml" ? file.stem().string() : file.string();  // gpt-6.7b has no extension .7b
}

const std::vector<std::string>& PresetStore::names(PresetKind kind) {
  const auto [place, is_new] = names_.try_emplace(kind);
  std::vector<std::string>& found = place->second;
  if (!is_new) return found;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(fs::path(data_directory_) / text_of(kind).folder, missing)) {
    if (entry.path().extension() == ".yaml") found.push_back(entry.path().stem().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string PresetStore::path_of(PresetKind kind, const YamlValue& value) {
  std::string name = value.text();
  if (!is_path(name)) {
    const fs::path path = fs::path(data_directory_) / text_of(kind).folder / (name + ".yaml");
    if (!name.empty() && is_there(path)) return path.string();
    throw value.error(unknown_name(text_of(kind).singular, name, names(kind)));
  }
  const fs::path beside = fs::path(value.node().source->folder) / name;
  if (is_there(beside)) return beside.string();
  if (is_there(name)) return name;
  throw value.error(fmt::format("there is no file {}", beside.string()));
}

const YamlNode& PresetStore::tree_at(PresetKind kind, const std::string& path, std::vector<std::string> chain) {
  const auto known = trees_.find(path);
  if (known != trees_.end()) return known->second;
  const YamlNode root = load_yaml(path);
  check_is_map(YamlValue(root, ""));
  chain.push_back(path);
  return trees_.emplace(path, with_base(kind, root, chain)).first->second;
}

YamlNode PresetStore::with_base(PresetKind kind, const YamlNode& map, const std::vector<std::string>& chain) {
  const YamlNode* extends = map.find("extends");
  if (extends == nullptr || extends->kind == YamlNode::Kind::null) return map;
  const YamlValue name(*extends, "extends");
  const std::string path = path_of(kind, name);
  if (std::find(chain.begin(), chain.end(), path) != chain.end()) throw name.error(stem(name) + " extends itself");
  return extended(map, tree_at(kind, path, chain), stem(name));
}

std::vector<std::string> PresetStore::stands_for(PresetKind kind, const YamlValue& name) {
  std::vector<std::string> names{stem(name)};
  if (!is_path(name.text())) return names;
  tree(kind, name);  // has every base, and none twice
  YamlNode file = load_yaml(path_of(kind, name));
  for (const YamlNode* extends = file.find("extends"); extends != nullptr && extends->kind != YamlNode::Kind::null;
       extends = file.find("extends")) {
    const YamlValue base(*extends, "extends");
    names.push_back(stem(base));
    file = load_yaml(path_of(kind, base));
  }
  return names;
}

const YamlNode& PresetStore::tree(PresetKind kind, const YamlValue& name) {
  return tree_at(kind, path_of(kind, name), {});
}

template <class T>
const T& PresetStore::cached(PresetKind kind, const YamlValue& name, std::map<std::string, T>& cache,
                             T (*read)(const YamlNode&, const std::string&)) {
  const std::string path = path_of(kind, name);
  const auto known = cache.find(path);
  if (known != cache.end()) return known->second;
  return cache.emplace(path, read(tree_at(kind, path, {}), stem(name))).first->second;
}

const Gpu& PresetStore::gpu(const YamlValue& name) { return cached(PresetKind::gpu, name, gpus_, read_gpu); }
const Node& PresetStore::node(const YamlValue& name) { return cached(PresetKind::node, name, nodes_, read_node); }
const Fabric& PresetStore::fabric(const YamlValue& name) {
  return cached(PresetKind::fabric, name, fabrics_, read_fabric);
}
const Framework& PresetStore::framework(const YamlValue& name, const std::string& version,
                                        std::optional<bool> compiled) {
  for (const std::string& variant : names(PresetKind::framework)) {
    if (!variant.starts_with(name.text() + "-")) continue;
    const YamlNode written = yaml_scalar(variant);
    const YamlValue value(written, "framework");
    const YamlNode& profile = tree(PresetKind::framework, value);
    const YamlNode* of_version = profile.find(version_key);
    const YamlNode* of_compiled = profile.find(compiled_key);
    if (of_version == nullptr && of_compiled == nullptr) continue;
    if (of_version != nullptr && (version.empty() || version.find(of_version->text) == std::string::npos)) continue;
    if (of_compiled != nullptr && compiled != YamlValue(*of_compiled, compiled_key).boolean()) continue;
    return framework(value);
  }
  return cached(PresetKind::framework, name, frameworks_, read_framework);
}

const std::vector<const Node*>& PresetStore::nodes() {
  if (!all_nodes_.empty()) return all_nodes_;
  for (const std::string& name : names(PresetKind::node)) {
    const YamlNode written = yaml_scalar(name);
    all_nodes_.push_back(&node(YamlValue(written, "node")));
  }
  return all_nodes_;
}

}  // namespace stepcast
