#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/families.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/budget/shape.hpp"
#include "simulator/cluster/topology.hpp"
#include "simulator/collectives/collective_time.hpp"
#include "simulator/execution/compression.hpp"
#include "simulator/execution/gradient_buckets.hpp"
#include "simulator/parallelism/dispatchers.hpp"
#include "simulator/parallelism/methods.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/report/roofline.hpp"
#include "simulator/schedules/schedule.hpp"
#include "simulator/workload/flops.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

using Rows = std::vector<PresetInfo>;

template <class Table>
Rows rows_of(const Table& table) {
  Rows rows;
  for (const auto& row : table) rows.push_back({std::string(row.name), std::string(row.description)});
  return rows;
}

Rows schedules(const std::string&) { return rows_of(list_schedules()); }
Rows collectives(const std::string&) { return rows_of(list_collectives()); }
Rows topologies(const std::string&) { return rows_of(list_fabric_shapes()); }
Rows recompute(const std::string&) {
  Rows rows = rows_of(recompute_policies());
  for (const RecomputeModule& part : recompute_modules()) {
    rows.push_back({"selective-" + std::string(part.name), std::string(part.description)});
  }
  return rows;
}
/// Named as they are written: "zero: 3".
Rows parallelism(const std::string&) {
  Rows rows;
  for (const ParallelMethod& method : list_parallel_methods()) {
    rows.push_back({std::string(method.key) + ": " + std::string(method.name), std::string(method.description)});
  }
  for (const GradientBuckets& buckets : list_gradient_buckets()) {
    rows.push_back({"gradient_buckets: " + std::string(buckets.name), std::string(buckets.description)});
  }
  for (const Compression& way : list_compressions()) {
    std::string name = "gradient_compression: " + std::string(way.name);
    if (!way.parameter.empty()) name += "-<" + std::string(way.parameter) + ">";
    rows.push_back({name, std::string(way.description)});
  }
  return rows;
}
Rows dispatchers(const std::string&) { return rows_of(list_dispatchers()); }
Rows hugging_face(const std::string&) { return list_hugging_face(); }
Rows adapters(const std::string&) { return rows_of(adapter_targets()); }
Rows families(const std::string&) { return rows_of(shape_families()); }
Rows flops(const std::string&) { return rows_of(flops_conventions()); }

Rows formats(const std::string&) {
  Rows rows = rows_of(report_formats());
  for (const PresetInfo& trace : rows_of(trace_formats())) rows.push_back(trace);
  for (const PresetInfo& roofline : rows_of(roofline_formats())) rows.push_back(roofline);
  return rows;
}

/// A kind of thing that a scenario or an option names.
struct Kind {
  std::string name;
  std::string description;
  Rows (*rows)(const std::string& kind);
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> table{
      {"models", "model: NAME", list_presets},
      {"hf", "model: {hf: path/to/config.json}: architectures of Hugging Face", hugging_face},
      {"adapters", "plan: {lora: {targets: [NAME, ...]}}", adapters},
      {"clusters", "cluster: NAME", list_presets},
      {"nodes", "cluster: {node: NAME, ...}", list_presets},
      {"gpus", "cluster: {gpu: NAME, ...}", list_presets},
      {"fabrics", "cluster: {fabric: NAME, ...}", list_presets},
      {"frameworks", "framework: NAME", list_presets},
      {"schedules", "plan: {schedule: NAME, ...}", schedules},
      {"parallelism", "plan: {KEY: NAME, ...} or framework: {KEY: NAME, ...}", parallelism},
      {"recompute", "plan: {recompute: NAME, ...}", recompute},
      {"dispatchers", "framework: {dispatcher: NAME, ...}, of tokens to experts", dispatchers},
      {"collectives", "chosen by size and ranks; stepcast collective --algorithm NAME", collectives},
      {"topologies", "of a node: interconnect: NAME; of a fabric: topology: NAME", topologies},
      {"families", "of a planned model: family: NAME", families},
      {"scaling-laws", "of a budget: scaling_law: NAME", list_presets},
      {"reliability", "of a plan: reliability: NAME, how often a cluster fails", list_presets},
      {"prices", "of a plan: price: NAME, of a GPU's time", list_presets},
      {"sites", "of a plan: site: NAME, where the machines stand", list_presets},
      {"flops", "flops_convention: NAME", flops},
      {"formats", "--format NAME", formats},
  };
  return table;
}

std::string overview() {
  TextTable table({{"kind"}, {"where it is named"}, {"how many", Align::right}});
  for (const Kind& kind : kinds())
    table.add_row({kind.name, kind.description, std::to_string(kind.rows(kind.name).size())});
  return table.to_string() + "\nstepcast list KIND prints their names.\n";
}

std::string as_text(const Rows& rows) {
  TextTable table({{"name"}, {"description"}});
  for (const PresetInfo& row : rows) table.add_row({row.name, row.description});
  return table.to_string();
}

std::string as_json(const Rows& rows) {
  nlohmann::ordered_json tree = nlohmann::ordered_json::array();
  for (const PresetInfo& row : rows) tree.push_back({{"name", row.name}, {"description", row.description}});
  return tree.dump(2) + "\n";
}

struct ListFormat {
  std::string_view name;
  std::string (*write)(const Rows&);
};
constexpr ListFormat list_formats[] = {{"text", as_text}, {"json", as_json}};

struct Options {
  std::string kind;
  std::string format = "text";
};

Exit list(const Options& options) {
  const ListFormat& format = chosen("format", options.format, list_formats);
  if (options.kind.empty()) {
    print_result(format.name == "text" ? overview() : format.write(rows_of(kinds())));
  } else {
    const Kind& kind = chosen("kind", options.kind, kinds());
    print_result(format.write(kind.rows(kind.name)));
  }
  return Exit::done;
}

}  // namespace

Action add_list(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("KIND", options->kind, names_of(kinds()))->type_name("");
  app.add_option("--format", options->format, names_of(list_formats))->type_name("FORMAT")->capture_default_str();
  app.footer("Examples:\n  stepcast list\n  stepcast list gpus\n  stepcast list models --format json");
  return [options] { return list(*options); };
}

}  // namespace stepcast::cli
