#pragma once
/// Everything that is read: scenarios, models, profiles and reference runs in YAML. Only this folder knows YAML.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/report/interval.hpp"

namespace stepcast {

/// `--set plan.tensor_parallel=4`: key path and value text.
using Override = std::pair<std::string, std::string>;

/// Splits "key.path=value". @throws UserError without a '='
Override parse_override(const std::string& text);

/// Where presets are found: $STEPCAST_DATA, else the source tree or the installation that this program belongs to.
std::string data_directory();

/// Reads `SCENARIO` or `FILE#run-id` and every file that it names.
/// @throws UserError with file, line and column for whatever is wrong in them
Job load_job(const std::string& scenario, const std::vector<Override>& overrides = {});

/// One run of a reference file.
struct ReferenceEntry {
  std::string file;
  std::string id;
  Job job;
};

/// Every run of the given files and folders (all *.yaml below them), in order of file name and place.
/// A file without `runs:` counts as one run when it has `measured:`.
/// @param overrides  applied to every run
std::vector<ReferenceEntry> load_reference_runs(const std::vector<std::string>& paths,
                                                const std::vector<Override>& overrides = {});

/// A preset's name and its one-line description, for `stepcast list`.
struct PresetInfo {
  std::string name;
  std::string description;
};
/// @param kind models | gpus | nodes | fabrics | clusters | frameworks | scaling-laws |
///              reliability | sites | prices
std::vector<PresetInfo> list_presets(const std::string& kind);

/// The architectures of Hugging Face configurations that `model: {hf: ...}` reads.
std::vector<PresetInfo> list_hugging_face();

/// The model of a Hugging Face configuration.
Architecture load_hugging_face(const std::string& config_json);

/// The scenario keys with their meaning and default, for `predict --help-scenario`.
std::string scenario_help();

/// What is known of the errors of predictions: from scenarios/published/accuracy.csv of the data directory, which
/// `stepcast validate scenarios/published --format csv` writes. Knows nothing when there is no such file.
LearnedErrors load_learned_errors();

Architecture load_model_preset(const std::string& name);

/// The model as the keys of a preset, or of a scenario's `model:`; read again it is the same.
std::string model_text(const Architecture& model);

/// A job as a scenario: model and degrees written out, GPU, node, fabric and framework by their names.
std::string scenario_text(const Job& job);

/// The parameter count that a model's makers publish, and how far ours may lie from it (they round, and some leave
/// embeddings out).
struct PublishedParameters {
  double count = 0;
  double tolerance = 0;  ///< share of the count
  double active = 0;     ///< what one token passes: all of it without experts
};
/// Of a model preset; nothing when it does not have one.
std::optional<PublishedParameters> published_parameters(const std::string& model_preset);

Gpu load_gpu(const std::string& name);
Node load_node(const std::string& name);
Fabric load_fabric(const std::string& name);
Framework load_framework(const std::string& name);

}  // namespace stepcast
