#include <cmath>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/csv.hpp"
#include "simulator/base/files.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/budget/compute_optimum.hpp"
#include "simulator/budget/law_fit.hpp"
#include "simulator/budget/law_plot.hpp"
#include "simulator/input/scaling_law_reader.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

constexpr double interval_of_optimum = 0.8;  // as the percentiles that Hoffmann et al. print

struct Options {
  std::string points;
  std::string out, plot;
  std::string format = "text";
  int drop_highest = 0;
  double max_loss = 0;
  FitSettings fit;
};

struct Answer {
  std::string file;
  std::size_t points = 0, left_out = 0;
  LawFit fit;
  ScalingLaw law;
};

std::string size_text(double value) { return fmt::format("{:.3g}", value); }

std::string meaning_of(const std::string& constant) {
  if (constant == "E") return "irreducible loss, nats";
  if (constant == "A") return "of A / N^alpha";
  if (constant == "B") return "of B / D^beta";
  if (constant == "a") return "best N grows with C^a";
  return "exponent of " + std::string(constant == "alpha" ? "N" : "D");
}

std::string constants_text(const Answer& answer, double confidence) {
  const bool resampled = answer.fit.resamplings > 0;
  std::vector<TextTable::Column> columns{{"constant"}, {"value", Align::right}};
  if (resampled)
    columns.insert(columns.end(), {{"standard error", Align::right},
                                   {fmt::format("{:.0f}% interval", 100 * confidence), Align::right}});
  columns.push_back({"meaning"});
  TextTable table(columns);
  for (const FittedConstant& constant : answer.fit.constants) {
    std::vector<std::string> cells{constant.name, fmt::format("{:.5g}", constant.value)};
    if (resampled) {
      cells.push_back(fmt::format("{:.3g}", constant.standard_error));
      cells.push_back(fmt::format("{:.4g} to {:.4g}", constant.low, constant.high));
    }
    cells.push_back(meaning_of(constant.name));
    table.add_row(std::move(cells));
  }
  return table.to_string();
}

std::string residuals_text(const LawFit& fit) {
  TextTable table({{"FLOPs"}, {"points", Align::right}, {"median error", Align::right}, {"bias", Align::right}});
  for (const ResidualClass& group : fit.classes)
    table.add_row({size_text(group.from) + " to " + size_text(group.to), std::to_string(group.points),
                   fmt::format("{:.2f}%", 100 * group.median), fmt::format("{:+.2f}%", 100 * group.bias)});
  std::string text = table.to_string();
  if (fit.outliers.empty()) return text;
  text += fmt::format("\nBeyond six times the median error ({:.2f}%): leave such points out when they are mistakes\n\n",
                      100 * fit.median_residual);
  TextTable outliers({{"line", Align::right},
                      {"parameters", Align::right},
                      {"tokens", Align::right},
                      {"loss", Align::right},
                      {"fitted", Align::right},
                      {"", Align::right}});
  constexpr std::size_t most = 12;
  for (std::size_t i = 0; i < std::min(most, fit.outliers.size()); ++i) {
    const Residual& far = fit.outliers[i];
    outliers.add_row({std::to_string(far.point.line), size_text(far.point.parameters), size_text(far.point.tokens),
                      fmt::format("{:.4f}", far.point.loss), fmt::format("{:.4f}", far.predicted),
                      fmt::format("{:+.1f}%", 100 * std::expm1(far.log_ratio))});
  }
  text += outliers.to_string();
  if (fit.outliers.size() > most) text += fmt::format("and {} more\n", fit.outliers.size() - most);
  return text;
}

/// Budgets from a round one inside of the points to four decades beyond them.
std::vector<double> budgets_of(const ScalingLaw& law) {
  std::vector<double> budgets;
  const double first = std::ceil(std::log10(law.fitted.compute.second)) - 1;
  for (int i = 0; i < 5; ++i) budgets.push_back(std::pow(10, first + i));
  return budgets;
}

std::string optima_text(const ScalingLaw& law) {
  std::vector<TextTable::Column> columns{{"FLOPs"},
                                         {"parameters", Align::right},
                                         {"tokens", Align::right},
                                         {"tokens a parameter", Align::right},
                                         {"loss", Align::right}};
  if (law.uncertainty) columns.push_back({fmt::format("parameters, {:.0f}%", 100 * interval_of_optimum), Align::right});
  TextTable table(columns);
  for (const double budget : budgets_of(law)) {
    const TrainingSize size = optimum(law, Flops(budget));
    std::vector<std::string> cells{size_text(budget), size_text(size.parameters), size_text(size.tokens),
                                   fmt::format("{:.1f}", size.tokens / size.parameters),
                                   fmt::format("{:.4f}", loss(law, size.parameters, size.tokens))};
    if (const auto range = optimum_interval(law, Flops(budget), interval_of_optimum))
      cells.push_back(size_text(range->parameters.first) + " to " + size_text(range->parameters.second));
    table.add_row(std::move(cells));
  }
  return table.to_string();
}

std::string text_of(const Answer& answer, const Options& options) {
  const LawFit& fit = answer.fit;
  std::string text =
      fmt::format("L = E + A / N^alpha + B / D^beta through {} points of {}", answer.points, answer.file);
  if (answer.left_out > 0) text += fmt::format(" ({} of the highest loss left out)", answer.left_out);
  text += fmt::format("\nHuber delta {:g}, median error of a loss {:.2f}%", options.fit.huber_delta,
                      100 * fit.median_residual);
  if (fit.resamplings > 0)
    text += fmt::format("; {} resamplings, seed {}", count_text(fit.resamplings), options.fit.seed);
  text += "\n\n" + constants_text(answer, options.fit.confidence);
  text += "\nErrors by budget, measured over fitted\n\n" + residuals_text(fit);
  text += "\nBest sizes by this law\n\n" + optima_text(answer.law);
  return text;
}

nlohmann::ordered_json json_of(const Residual& residual) {
  return {{"line", residual.point.line}, {"parameters", residual.point.parameters}, {"tokens", residual.point.tokens},
          {"loss", residual.point.loss}, {"fitted_loss", residual.predicted},       {"log_ratio", residual.log_ratio}};
}

std::string json_of(const Answer& answer, const Options& options) {
  const LawFit& fit = answer.fit;
  nlohmann::ordered_json json{{"schema_version", 1},
                              {"file", answer.file},
                              {"points", answer.points},
                              {"left_out", answer.left_out},
                              {"huber_delta", options.fit.huber_delta},
                              {"resamplings", fit.resamplings},
                              {"seed", options.fit.seed},
                              {"confidence", options.fit.confidence},
                              {"objective", fit.objective},
                              {"median_log_error", fit.median_residual},
                              {"constants", nlohmann::json::object()},
                              {"correlation", nullptr},
                              {"errors_by_budget", nlohmann::json::array()},
                              {"outliers", nlohmann::json::array()},
                              {"optima", nlohmann::json::array()}};
  for (const FittedConstant& constant : fit.constants) {
    auto& entry = json["constants"][constant.name];
    entry["value"] = constant.value;
    entry["standard_error"] = fit.resamplings > 0 ? nlohmann::json(constant.standard_error) : nullptr;
    entry["interval"] = fit.resamplings > 0 ? nlohmann::json{constant.low, constant.high} : nlohmann::json(nullptr);
  }
  if (fit.resamplings > 0)
    json["correlation"] = {{"of", {"log_E", "log_A", "log_B", "alpha", "beta"}}, {"rows", fit.uncertainty.correlation}};
  for (const ResidualClass& group : fit.classes)
    json["errors_by_budget"].push_back({{"flops", {group.from, group.to}},
                                        {"points", group.points},
                                        {"median_log_error", group.median},
                                        {"bias", group.bias}});
  for (const Residual& far : fit.outliers) json["outliers"].push_back(json_of(far));
  for (const double budget : budgets_of(answer.law)) {
    const TrainingSize size = optimum(answer.law, Flops(budget));
    nlohmann::ordered_json entry{{"flops", budget},
                                 {"parameters", size.parameters},
                                 {"tokens", size.tokens},
                                 {"loss", loss(answer.law, size.parameters, size.tokens)},
                                 {"parameters_interval", nullptr},
                                 {"confidence", interval_of_optimum}};
    if (const auto range = optimum_interval(answer.law, Flops(budget), interval_of_optimum))
      entry["parameters_interval"] = {range->parameters.first, range->parameters.second};
    json["optima"].push_back(std::move(entry));
  }
  return json.dump(2) + "\n";
}

/// A row a point, for tools that plot.
std::string csv_of(const LawFit& fit) {
  std::string text = "line,parameters,tokens,loss,fitted_loss,log_ratio\n";
  for (const Residual& residual : fit.residuals)
    text += fmt::format("{},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g}\n", residual.point.line, residual.point.parameters,
                        residual.point.tokens, residual.point.loss, residual.predicted, residual.log_ratio);
  return text;
}

void print_progress(int done, int of) {
  if (done % 16 != 0 && done != of) return;
  std::string bar(static_cast<std::size_t>(20.0 * done / of), '#');
  bar.resize(20, '.');
  std::fprintf(stderr, "\r[%s] %d of %d resamplings", bar.c_str(), done, of);
  if (done == of) std::fprintf(stderr, "\r%-60s\r", "");
}

Exit run(Options options) {
  if (options.points.empty()) throw UserError("plan fit needs the POINTS of a CSV file; --help has an example");
  chosen("format", options.format, answer_formats);
  Answer answer;
  answer.file = options.points;
  std::vector<LossPoint> points = read_loss_points(options.points);
  const std::size_t all = points.size();
  if (options.max_loss != 0) {
    if (!(options.max_loss > 0)) throw UserError(fmt::format("--max-loss is above zero, not {}", options.max_loss));
    std::erase_if(points, [&](const LossPoint& point) { return point.loss > options.max_loss; });
  }
  points = without_highest(std::move(points), options.drop_highest);
  answer.points = points.size();
  answer.left_out = all - points.size();
  if (is_terminal(stderr)) options.fit.progress = print_progress;
  answer.fit = fit_law(points, options.fit);
  const std::string stem = std::filesystem::path(options.out.empty() ? options.points : options.out).stem().string();
  answer.law = answer.fit.law(
      stem, fmt::format("stepcast plan fit: {} of {} points of {}", answer.points, all, file_name_of(options.points)));
  answer.law.description = fmt::format("fitted to {} points of {}", answer.points, file_name_of(options.points));
  if (!options.out.empty())
    write_file_atomically(options.out,
                          scaling_law_text(answer.law, fmt::format("Huber delta {:g}", options.fit.huber_delta)));
  if (!options.plot.empty()) write_file_atomically(options.plot, law_plot_svg(answer.fit, answer.law));
  if (options.format == "json") {
    print_result(json_of(answer, options));
  } else if (options.format == "csv") {
    print_result(csv_of(answer.fit));
  } else {
    print_result(text_of(answer, options));
  }
  return Exit::done;
}

constexpr const char* examples =
    R"(POINTS is a table of trained models with a header: loss, and two of parameters (params, N), tokens (D) and
FLOPs (train_flop, C), by these and other usual names; others are not read.

Examples:
  stepcast plan fit models/scaling_laws/points/chinchilla-figure-4.csv --drop-highest 5
  stepcast plan fit runs.csv --max-loss 4 --bootstrap 4000 --out my-law.yaml --plot my-law.svg
  stepcast plan fit runs.csv --format csv > residuals.csv)";

}  // namespace

Action add_plan_fit(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->fit.bootstrap = 1000;
  app.add_option("POINTS", options->points, "CSV file")->type_name("");
  app.add_option("--drop-highest", options->drop_highest, "Leave out that many points of the highest loss")
      ->type_name("K");
  app.add_option("--max-loss", options->max_loss, "Leave out points above this loss")->type_name("NATS");
  app.add_option("--bootstrap", options->fit.bootstrap, "Resamplings for standard errors; 0: none")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--seed", options->fit.seed, "Of the resampling")->type_name("N")->capture_default_str();
  app.add_option("--huber-delta", options->fit.huber_delta, "Log-loss residual beyond which a point counts less")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--confidence", options->fit.confidence, "Of the intervals of the constants")
      ->type_name("SHARE")
      ->check(CLI::Range(0.01, 0.999))
      ->capture_default_str();
  app.add_option("--out", options->out, "The law as a file that scaling_law: takes")->type_name("LAW.yaml");
  app.add_option("--plot", options->plot, "Points, law and errors")->type_name("FILE.svg");
  app.add_option("--format", options->format, names_of(answer_formats))->type_name("FORMAT")->capture_default_str();
  app.footer(examples);
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
