/// From a scenario's YAML to a Job, and from reference files to many.

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "simulator/input/cluster_reader.hpp"
#include "simulator/input/defaults.hpp"
#include "simulator/input/faults_reader.hpp"
#include "simulator/input/input.hpp"
#include "simulator/input/model_reader.hpp"
#include "simulator/input/plan_reader.hpp"
#include "simulator/input/preset_store.hpp"
#include "simulator/input/scenario_keys.hpp"
#include "simulator/input/scenario_reader.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view default_framework = "megatron-core";

// --- reference runs ----------------------------------------------------------------------------------------------

std::optional<double> find_number(YamlMap& map, const std::string& key) {
  const auto value = map.find(key);
  return value ? std::optional(value->number({})) : std::nullopt;
}

std::string text_or_empty(YamlMap& map, const std::string& key) {
  const auto value = map.find(key);
  return value ? value->text() : "";
}

Measured read_measured(const YamlValue& value) {
  YamlMap map(value, scenario_vocabulary("measured"));
  Measured measured;
  measured.step_time_s = find_number(map, "step_time_s");
  measured.step_time_from = find_choice(map, "step_time_from").value_or("");
  measured.tokens_per_s_per_gpu = find_number(map, "tokens_per_s_per_gpu");
  measured.tflops_per_gpu = find_number(map, "tflops_per_gpu");
  measured.mfu = find_number(map, "mfu");
  measured.hfu = find_number(map, "hfu");
  measured.memory_gib = find_number(map, "memory_gib");
  measured.memory_kind = find_choice(map, "memory_kind").value_or("");
  const auto out_of_memory = map.find("out_of_memory");
  measured.out_of_memory = out_of_memory && out_of_memory->boolean();
  map.finish();
  return measured;
}

void read_source(const YamlValue& value, Reference& reference) {
  YamlMap map(value, scenario_vocabulary("source"));
  reference.title = map.require("title").text();
  reference.where = text_or_empty(map, "where");
  map.finish();
}

/// Present when the scenario says what was measured or where it comes from.
std::optional<Reference> read_reference(YamlMap& map) {
  Reference reference;
  const auto source = map.find("source");
  const auto measured = map.find("measured");
  if (source) read_source(*source, reference);
  if (measured) reference.measured = read_measured(*measured);
  reference.confidence = find_choice(map, "confidence").value_or("exact");
  reference.suspect = text_or_empty(map, "suspect");
  if (const auto inferred = map.find("inferred")) {
    for (const YamlValue& field : inferred->list()) reference.inferred.push_back(field.text());
  }
  if (!source && !measured) return std::nullopt;
  return reference;
}

/// What the source leaves to deduction is an assumption of the prediction as well.
void note_inferred(const Reference& reference, std::vector<std::string>& assumed) {
  for (const std::string& field : reference.inferred) {
    if (!field.starts_with("measured.")) assumed.push_back(field + ": deduced, the source does not say");
  }
}

std::string read_id(YamlMap& map) {
  const auto value = map.find("id");
  if (!value) return "";
  std::string id = value->text();
  if (id.empty() || id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") != std::string::npos) {
    throw value->must_be("small letters, digits, '.' and '-'");
  }
  return id;
}

// --- the scenario ------------------------------------------------------------------------------------------------

void refuse_what_is_not_modelled(YamlMap& map) {
  for (const char* key : {"price"}) {
    if (const auto value = map.find(key)) throw error_at_key(value->node(), std::string(key) + " is not modelled yet");
  }
}

void read_jitter(YamlMap& scenario, Gpu& gpu) {
  const auto value = scenario.find("jitter");
  if (!value) return;
  const auto state = [&](Sourced<double>& spread, double stated) {
    spread = {stated, Basis::datasheet, "stated by the scenario"};
  };
  if (value->is_scalar()) {
    if (value->choice("jitter", scenario_choices("", "jitter")) == "on") return;
    state(gpu.speed_spread, 0);
    state(gpu.launch_spread, 0);
    return;
  }
  YamlMap map(*value, scenario_vocabulary("jitter"));
  if (const auto spread = map.find("speed_spread")) state(gpu.speed_spread, spread->number({0, 0.5}));
  if (const auto spread = map.find("launch_spread")) state(gpu.launch_spread, spread->number({0, 0.5}));
  map.finish();
}

/// What is wrong with the cluster, and how the scenario wants to be carried out.
void read_simulation(YamlMap& scenario, Job& job) {
  read_jitter(scenario, job.cluster.gpu);
  if (const auto faults = scenario.find("faults")) job.faults = read_faults(*faults, job.cluster);
  if (const auto executor = find_choice(scenario, "executor")) {
    job.executor = *executor == "events" ? Executor::events : Executor::dataflow;
  }
  if (const auto seed = scenario.find("seed")) job.seed = static_cast<std::uint64_t>(seed->integer({}));
}

void read_framework(YamlMap& scenario, PresetStore& presets, Job& job, Defaults& defaults) {
  const auto value = scenario.find("framework");
  const YamlNode fallback = yaml_scalar(std::string(default_framework));
  if (!value) defaults.take(scenario, "framework", default_framework);
  if (!value || !value->is_map()) {
    job.framework = presets.framework(value ? *value : YamlValue(fallback, "framework"));
    return;
  }
  YamlMap map(*value, scenario_vocabulary("framework"));
  const auto name = map.find("name");
  if (!name) defaults.take(map, "name", default_framework);
  job.framework_version = text_or_empty(map, "version");
  read_software_flags(map, job.plan);
  job.framework = presets.framework(name ? *name : YamlValue(fallback, "framework.name"), job.framework_version,
                                    job.plan.torch_compile);
  map.finish();
}

/// "unknown" has the default convention, which the job calls by no name.
std::string read_flops_convention(YamlMap& map) {
  const std::string convention = find_choice(map, "flops_convention").value_or("");
  return convention == "unknown" ? "" : convention;
}

/// The notes of a reference run say what the format had no key for: "dispatcher: DeepEP; ...". Empty: nothing known.
std::string dispatcher_in_notes(std::string notes) {
  std::transform(notes.begin(), notes.end(), notes.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t begin = notes.find("dispatcher: ");
  if (begin == std::string::npos) return "";
  const std::string said = notes.substr(begin, notes.find(';', begin) - begin);
  for (const std::string& name : scenario_choices("framework", "dispatcher")) {
    if (said.find(name) != std::string::npos) return name;
  }
  return said.find(" a2a") != std::string::npos ? "alltoall" : "";
}

/// The same for adapters: "LORA RUN: plan.lora: {rank: 8, alpha: 16, targets: [query, value]}, ...".
std::optional<LowRankAdaptation> lora_in_notes(const std::string& notes) {
  constexpr std::string_view key = "plan.lora: ";
  const std::size_t begin = notes.find(key);
  const std::size_t end = notes.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return std::nullopt;
  const std::size_t map = begin + key.size();
  const YamlNode tree = parse_yaml(notes.substr(map, end + 1 - map), "notes", "");
  return read_lora(YamlValue(tree, "plan.lora"));
}

}  // namespace

Job read_scenario(const YamlNode& root, const std::string& name, PresetStore& presets) {
  YamlMap map(YamlValue(root, ""), scenario_vocabulary(""));
  refuse_what_is_not_modelled(map);
  Defaults defaults;
  Job job;
  job.id = read_id(map);
  const auto own_name = map.find("name");
  job.name = own_name ? own_name->text() : job.id.empty() ? name : job.id;
  job.model = read_model(map.require("model"), presets, defaults);
  job.cluster = read_cluster(map.require("cluster"), presets, defaults, job.assumed);
  job.plan = read_plan(map.require("plan"), job.model, job.cluster.gpus, defaults);
  read_framework(map, presets, job, defaults);
  read_simulation(map, job);
  job.flops_convention = read_flops_convention(map);
  const std::string notes = text_or_empty(map, "notes");
  job.reference = read_reference(map);
  map.finish();
  if (const std::string dispatcher = dispatcher_in_notes(notes); !job.plan.dispatcher && !dispatcher.empty()) {
    job.plan.dispatcher = dispatcher;
    defaults.taken.push_back("framework.dispatcher: " + dispatcher + " (the notes)");
  }
  if (auto lora = lora_in_notes(notes); !job.plan.lora && lora) {
    job.plan.lora = std::move(lora);
    defaults.taken.push_back("plan.lora: as the notes say");
  }
  if (job.reference) {
    job.reference->notes = notes;
    note_inferred(*job.reference, job.assumed);
  }
  job.defaults_taken = std::move(defaults.taken);
  return job;
}

namespace {

// --- files of many runs ------------------------------------------------------------------------------------------

std::string stem_of(const std::string& path) { return fs::path(path).stem().string(); }

/// The runs of a file that has them; a file without is its own and only run.
std::vector<const YamlNode*> runs_of(const YamlNode& root) {
  YamlMap map(YamlValue(root, ""));
  const auto runs = map.find("runs");
  if (!runs) return {&root};
  map.finish();
  if (!runs->is_list()) throw runs->must_be("a list");
  std::vector<const YamlNode*> found;
  for (const YamlNode& run : runs->node().children) {
    check_is_map(YamlValue(run, ""));
    found.push_back(&run);
  }
  return found;
}

bool has_runs(const YamlNode& root) { return root.find("runs") != nullptr; }

std::string id_of(const YamlNode& run) {
  const YamlNode* id = run.find("id");
  return id != nullptr ? id->text : "";
}

/// `FILE#run-id`, unless a file is really called that.
struct ScenarioName {
  std::string file;
  std::string run;
};

ScenarioName split_scenario_name(const std::string& scenario) {
  std::error_code ignored;
  const std::size_t hash = scenario.rfind('#');
  if (hash == std::string::npos || fs::exists(scenario, ignored)) return {scenario, ""};
  return {scenario.substr(0, hash), scenario.substr(hash + 1)};
}

const YamlNode& chosen_run(const YamlNode& root, const ScenarioName& name) {
  if (!has_runs(root)) {
    if (name.run.empty() || id_of(root) == name.run) return root;
    throw UserError(Location{name.file}, fmt::format("the file has no runs to choose '{}' from", name.run));
  }
  const std::vector<const YamlNode*> runs = runs_of(root);
  std::vector<std::string> ids;
  for (const YamlNode* run : runs) {
    ids.push_back(id_of(*run));
    if (ids.back() == name.run && !name.run.empty()) return *run;
  }
  if (!name.run.empty()) throw UserError(Location{name.file}, unknown_name("run", name.run, ids));
  const std::string example = ids.empty() ? "" : fmt::format(": name one, as in {}#{}", name.file, ids.front());
  throw UserError(Location{name.file}, fmt::format("the file holds {} runs{}", runs.size(), example));
}

// --- overrides ---------------------------------------------------------------------------------------------------

/// `--set model.layers=4` on `model: gpt3-175b` means {extends: gpt3-175b, layers: 4}.
void open_preset(YamlNode& root, const std::string& key, const std::string& preset_key) {
  YamlNode* value = root.find(key);
  if (value == nullptr || value->kind != YamlNode::Kind::scalar) return;
  YamlNode preset = *value;
  preset.key = preset_key;
  preset.key_at = preset.at;
  value->kind = YamlNode::Kind::map;
  value->text.clear();
  value->children = {std::move(preset)};
}

bool sets(const std::vector<Override>& overrides, std::string_view path) {
  return std::any_of(overrides.begin(), overrides.end(), [&](const Override& set) { return set.first == path; });
}

bool sets_any(const std::vector<Override>& overrides, const std::vector<std::string_view>& paths) {
  return std::any_of(paths.begin(), paths.end(), [&](std::string_view path) { return sets(overrides, path); });
}

void drop(YamlNode& root, const std::string& section, const std::string& key) {
  YamlNode* map = root.find(section);
  if (map != nullptr && map->kind == YamlNode::Kind::map) map->erase(key);
}

/// A schedule of `none` only says that there was one stage.
void drop_no_schedule(YamlNode& root) {
  YamlNode* plan = root.find("plan");
  const YamlNode* schedule = plan != nullptr ? plan->find("schedule") : nullptr;
  if (schedule != nullptr && schedule->text == "none") plan->erase("schedule");
}

/// What a stated value followed from before it was overridden follows anew.
void drop_what_follows(YamlNode& root, const std::vector<Override>& overrides) {
  const bool sets_gpus = sets_any(overrides, {"cluster.gpus", "cluster.nodes", "cluster.gpus_per_node", "cluster"});
  const bool sets_degree =
      sets_any(overrides, {"plan.tensor_parallel", "plan.context_parallel", "plan.pipeline_parallel"});
  if ((sets_gpus || sets_degree) && !sets(overrides, "plan.data_parallel")) drop(root, "plan", "data_parallel");
  if (sets(overrides, "plan.pipeline_parallel") && !sets(overrides, "plan.schedule")) drop_no_schedule(root);
  if (sets(overrides, "cluster.gpus") && !sets(overrides, "cluster.nodes")) drop(root, "cluster", "nodes");
  if (sets(overrides, "cluster.nodes") && !sets(overrides, "cluster.gpus")) drop(root, "cluster", "gpus");
}

void apply(YamlNode& root, const std::vector<Override>& overrides) {
  constexpr std::array<std::array<const char*, 2>, 3> presets{
      {{"model", "extends"}, {"cluster", "extends"}, {"framework", "name"}}};
  for (const auto& [path, value] : overrides) {
    for (const auto& [key, preset_key] : presets) {
      if (path.starts_with(std::string(key) + ".")) open_preset(root, key, preset_key);
    }
    set_by_path(root, path, value);
  }
}

// --- folders -----------------------------------------------------------------------------------------------------

/// Every *.yaml below a folder, sorted.
std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    if (entry.is_regular_file() && entry.path().extension() == ".yaml") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Collects runs from files and holds their ids to be unique.
class ReferenceReader {
 public:
  explicit ReferenceReader(const std::vector<Override>& overrides) : overrides_(overrides) {}

  void add_folder(const std::string& folder) {
    for (const std::string& file : files_below(folder)) {
      const YamlNode root = load_yaml(file);
      if (has_runs(root) || root.find("measured") != nullptr) add(file, root);  // others are scenarios to predict
    }
  }

  void add_file(const std::string& file) {
    const YamlNode root = load_yaml(file);
    if (!has_runs(root) && root.find("measured") == nullptr) {
      throw UserError(Location{file}, "there are no measurements to compare with: neither `runs:` nor `measured:`");
    }
    add(file, root);
  }

  std::vector<ReferenceEntry> take() { return std::move(entries_); }

 private:
  void add(const std::string& file, const YamlNode& root) {
    for (const YamlNode* run : runs_of(root)) {
      if (has_runs(root)) YamlMap(YamlValue(*run, "")).require("id");
      YamlNode changed = *run;
      drop_what_follows(changed, overrides_);
      apply(changed, overrides_);
      Job job = read_scenario(changed, stem_of(file), presets_);
      if (job.id.empty()) job.id = stem_of(file);
      const auto [known, is_new] = file_of_id_.emplace(job.id, file);
      if (!is_new) {
        const YamlNode* id = run->find("id");
        throw error_at(id != nullptr ? *id : root,
                       fmt::format("the run id '{}' is taken (by one in {})", job.id, known->second));
      }
      const std::string id = job.id;
      entries_.push_back({file, id, std::move(job)});
    }
  }

  const std::vector<Override>& overrides_;
  PresetStore presets_;
  std::map<std::string, std::string> file_of_id_;
  std::vector<ReferenceEntry> entries_;
};

}  // namespace

std::string scenario_beside(const YamlValue& name) {
  const std::string beside = (fs::path(name.node().source->folder) / name.text()).string();
  std::error_code ignored;
  return fs::exists(split_scenario_name(beside).file, ignored) ? beside : name.text();
}

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UserError(fmt::format("--set {}: write key=value, as in --set plan.tensor_parallel=4", text));
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

Job load_job(const std::string& scenario, const std::vector<Override>& overrides) {
  const ScenarioName name = split_scenario_name(scenario);
  const YamlNode root = load_yaml(name.file);
  YamlNode run = chosen_run(root, name);
  drop_what_follows(run, overrides);
  apply(run, overrides);
  PresetStore presets;
  return read_scenario(run, stem_of(name.file), presets);
}

std::vector<ReferenceEntry> load_reference_runs(const std::vector<std::string>& paths,
                                                const std::vector<Override>& overrides) {
  ReferenceReader reader(overrides);
  for (const std::string& path : paths) {
    std::error_code ignored;
    fs::is_directory(path, ignored) ? reader.add_folder(path) : reader.add_file(path);
  }
  return reader.take();
}

}  // namespace stepcast
