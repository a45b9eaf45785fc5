#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "calibration/fit/fit.hpp"
#include "calibration/fit/plot.hpp"
#include "calibration/fit/profile_text.hpp"
#include "simulator/base/files.hpp"
#include "simulator/base/text_table.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string gpu, node, fabric;
  std::string out;
  std::string plot;
  std::string format = "text";
  std::vector<std::string> hold_out;
  FitOptions fit;
};

std::string percent(double share) { return fmt::format("{:.1f}%", 100 * share); }
std::string signed_percent(double share) { return fmt::format("{:+.1f}%", 100 * share); }

std::string text_of(const Fit& fit) {
  std::string text = "Error on what was held out (never fitted): of the formula, and with the surface of residuals\n\n";
  TextTable table({{"operator"},
                   {"held out"},
                   {"size"},
                   {"n", Align::right},
                   {"median", Align::right},
                   {"mean", Align::right},
                   {"p90", Align::right},
                   {"bias", Align::right},
                   {"median", Align::right},
                   {"mean", Align::right},
                   {"p90", Align::right},
                   {"bias", Align::right}});
  for (const HoldOutRow& row : fit.rows) {
    const ErrorSummary& f = row.formula;
    std::vector<std::string> cells{row.what,          row.held_out,    row.size_class, fmt::format("{}", f.n),
                                   percent(f.median), percent(f.mean), percent(f.p90), signed_percent(f.bias)};
    if (row.with_surface) {
      const ErrorSummary& s = *row.with_surface;
      cells.insert(cells.end(), {percent(s.median), percent(s.mean), percent(s.p90), signed_percent(s.bias)});
    } else {
      cells.insert(cells.end(), 4, "");
    }
    table.add_row(std::move(cells));
  }
  text += table.to_string();
  if (!fit.ratios.empty()) text += "\nTimes of each source over the fitted ones (its clock, its inputs, its timer)\n\n";
  TextTable ratios({{"operator"}, {"source"}, {"n", Align::right}, {"ratio", Align::right}, {""}});
  for (const SourceRatio& ratio : fit.ratios)
    ratios.add_row({ratio.what, ratio.source, fmt::format("{}", ratio.n), fmt::format("{:.3f}", ratio.time_ratio),
                    ratio.held_out ? "held out" : ""});
  if (!fit.ratios.empty()) text += ratios.to_string();
  text += "\n";
  TextTable numbers({{"fitted"}, {"value"}});
  for (const FittedNumber& number : fit.numbers) numbers.add_row({number.path, number.value});
  text += numbers.to_string();
  for (const std::string& note : fit.notes) text += "\n" + note + "\n";
  return text;
}

nlohmann::ordered_json json_of(const ErrorSummary& error) {
  return {{"n", error.n}, {"median", error.median}, {"mean", error.mean}, {"p90", error.p90}, {"bias", error.bias}};
}

std::string json_of(const Fit& fit) {
  nlohmann::ordered_json json{{"schema_version", 1},
                              {"hold_out", nlohmann::json::array()},
                              {"sources", nlohmann::json::array()},
                              {"fitted", nlohmann::json::array()},
                              {"notes", fit.notes}};
  for (const HoldOutRow& row : fit.rows) {
    nlohmann::ordered_json entry{{"operator", row.what},
                                 {"held_out", row.held_out},
                                 {"size", row.size_class},
                                 {"formula", json_of(row.formula)},
                                 {"with_surface", nullptr}};
    if (row.with_surface) entry["with_surface"] = json_of(*row.with_surface);
    json["hold_out"].push_back(std::move(entry));
  }
  for (const SourceRatio& ratio : fit.ratios)
    json["sources"].push_back({{"operator", ratio.what},
                               {"source", ratio.source},
                               {"n", ratio.n},
                               {"time_ratio", ratio.time_ratio},
                               {"held_out", ratio.held_out}});
  for (const FittedNumber& number : fit.numbers)
    json["fitted"].push_back({{"path", number.path}, {"value", number.value}, {"source", number.source}});
  return json.dump(2) + "\n";
}

void read_hold_out(Options& options) {
  for (const std::string& text : options.hold_out) {
    constexpr std::string_view source = "source=";
    if (text == "family") continue;  // always
    if (text.rfind(source, 0) != 0 || text.size() == source.size())
      throw UserError("--hold-out is family or source=NAME, not '" + text + "'");
    options.fit.held_out_source = text.substr(source.size());
  }
}

struct Answer {
  Fit fit;
  std::string base, description;
};

/// Which of the three profiles was asked for.
Answer answer(const Options& options, const std::vector<Measurement>& measurements) {
  if (!options.gpu.empty()) {
    const Gpu base = load_gpu(options.gpu);
    return {fit_gpu(measurements, base, options.fit), options.gpu, base.description};
  }
  Cluster cluster;
  cluster.node = load_node(options.node);
  if (options.fabric.empty())
    return {fit_links(measurements, cluster, Tier::node, options.fit), options.node, cluster.node.description};
  cluster.fabric = load_fabric(options.fabric);
  return {fit_links(measurements, cluster, Tier::network, options.fit), options.fabric, cluster.fabric.description};
}

void check(const Options& options) {
  if (options.files.empty()) throw UserError("calibrate fit needs a file of MEASUREMENTS");
  if (options.gpu.empty() && options.node.empty())
    throw UserError(
        "calibrate fit needs the preset to start from: --gpu GPU, --node NODE, or --node NODE --fabric FABRIC "
        "(stepcast list)");
  if (!options.gpu.empty() && !options.node.empty())
    throw UserError("--gpu or --node: a profile is of one or the other");
  if (options.out.empty()) throw UserError("calibrate fit needs --out NAME.yaml");
  if (options.format != "text" && options.format != "json")
    throw UserError(unknown_name("format", options.format, {"text", "json"}));
}

Exit run(Options options) {
  check(options);
  read_hold_out(options);
  std::vector<Measurement> measurements;
  for (const std::string& file : options.files) {
    std::vector<Measurement> more = read_measurements(file);
    measurements.insert(measurements.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  options.fit.note = print_note;
  const auto [fit, base, description] = answer(options, measurements);
  write_file_atomically(options.out, profile_text(fit, base, description + ", fitted"));
  if (!options.plot.empty()) write_file_atomically(options.plot, plot_svg(fit, description));
  print_result(options.format == "json" ? json_of(fit) : text_of(fit));
  return Exit::done;
}

}  // namespace

Action add_calibrate_fit(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("MEASUREMENTS", options->files, "Files of measurements (JSONL)")->type_name("");
  app.add_option("--gpu", options->gpu, "Preset that the profile starts from")->type_name("GPU");
  app.add_option("--node", options->node, "Preset of the node whose links are fitted")->type_name("NODE");
  app.add_option("--fabric", options->fabric, "Preset of the network between such nodes, fitted instead")
      ->type_name("FABRIC");
  app.add_option("--out", options->out, "The profile")->type_name("NAME.yaml");
  app.add_option("--hold-out", options->hold_out, "family, always; or source=NAME, a whole source besides")
      ->type_name("WHAT")
      ->take_all();
  app.add_option("--reference", options->fit.reference_source,
                 "Source whose clock the speeds have; else the middle of all")
      ->type_name("SOURCE");
  app.add_option("--relative", options->fit.relative_gpu, "Another GPU whose measurements count but for their speed")
      ->type_name("GPU");
  app.add_option("--plot", options->plot, "Measured against fitted")->type_name("FILE.svg");
  app.add_option("--format", options->format, "text|json")->type_name("FORMAT")->capture_default_str();
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
