/// Presets by name, for everything that does not begin with a scenario.

#include <cstdlib>
#include <filesystem>

#include "simulator/input/input.hpp"
#include "simulator/input/model_reader.hpp"
#include "simulator/input/preset_store.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

constexpr const char* presets_folder = "hardware_profiles";  // by which a data directory is known

bool holds_presets(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / presets_folder, ignored);
}

/// share/stepcast of the installation that the running program lies in, if it lies in one.
fs::path installed_data() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  return (program.parent_path() / "../share/stepcast").lexically_normal();
}

}  // namespace

std::string data_directory() {
  if (const char* chosen = std::getenv("STEPCAST_DATA"); chosen != nullptr && *chosen != '\0') {
    if (!holds_presets(chosen))
      throw UserError(std::string("STEPCAST_DATA=") + chosen + ": no folder " + presets_folder + " there");
    return chosen;
  }
  for (const fs::path& folder : {installed_data(), fs::path(STEPCAST_SOURCE_DIR)}) {
    if (holds_presets(folder)) return folder.string();
  }
  throw UserError(std::string("cannot find the folder ") + presets_folder + ": set STEPCAST_DATA to where it lies");
}

LearnedErrors load_learned_errors() {
  const fs::path table = fs::path(data_directory()) / "scenarios/published/accuracy.csv";
  std::error_code ignored;
  if (!fs::is_regular_file(table, ignored)) return {};
  return LearnedErrors(read_residuals(table.string()));
}

std::vector<PresetInfo> list_presets(const std::string& kind_name) {
  const PresetKind kind = preset_kind(kind_name);
  PresetStore presets;
  std::vector<PresetInfo> list;
  for (const std::string& name : presets.names(kind)) {
    const YamlNode written = yaml_scalar(name);
    YamlMap map(YamlValue(presets.tree(kind, YamlValue(written, "name")), ""));
    const auto description = map.find("description");
    list.push_back({name, description ? description->text() : ""});
  }
  return list;
}

Architecture load_model_preset(const std::string& name) {
  PresetStore presets;
  Defaults defaults;
  const YamlNode written = yaml_scalar(name);
  return read_model(YamlValue(written, "model"), presets, defaults);
}

Architecture load_hugging_face(const std::string& config_json) {
  PresetStore presets;
  Defaults defaults;
  const YamlNode written = yaml_scalar(config_json);
  return read_model(YamlValue(written, "model"), presets, defaults);
}

std::optional<PublishedParameters> published_parameters(const std::string& model_preset) {
  constexpr double usual_tolerance = 0.01;
  PresetStore presets;
  const YamlNode written = yaml_scalar(model_preset);
  YamlMap map(YamlValue(presets.tree(PresetKind::model, YamlValue(written, "model")), ""));
  const auto count = map.find("published_parameters");
  const auto tolerance = map.find("published_parameters_tolerance");
  if (!count) return std::nullopt;
  const auto active = map.find("published_active_parameters");
  const double whole = count->number({1, 1e18});
  return PublishedParameters{whole, tolerance ? tolerance->number({0, 1}) : usual_tolerance,
                             active ? active->number({1, 1e18}) : whole};
}

Gpu load_gpu(const std::string& name) {
  PresetStore presets;
  const YamlNode written = yaml_scalar(name);
  return presets.gpu(YamlValue(written, "gpu"));
}

Node load_node(const std::string& name) {
  PresetStore presets;
  const YamlNode written = yaml_scalar(name);
  return presets.node(YamlValue(written, "node"));
}

Fabric load_fabric(const std::string& name) {
  PresetStore presets;
  const YamlNode written = yaml_scalar(name);
  return presets.fabric(YamlValue(written, "fabric"));
}

Framework load_framework(const std::string& name) {
  PresetStore presets;
  const YamlNode written = yaml_scalar(name);
  return presets.framework(YamlValue(written, "framework"));
}

}  // namespace stepcast
