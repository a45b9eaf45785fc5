#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/text_table.hpp"
#include "simulator/report/csv_field.hpp"
#include "simulator/report/page.hpp"
#include "simulator/report/ranking.hpp"
#include "simulator/report/validation.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t worst_rows = 15;
constexpr std::size_t id_width = 40;
constexpr std::size_t reason_width = 36;
constexpr std::size_t unsupported_width = 80;
constexpr double near_best = 0.03;

std::vector<TextTable::Column> error_columns(const std::string& title) {
  return {{title},
          {"n", Align::right},
          {"MAPE", Align::right},
          {"median", Align::right},
          {"p90", Align::right},
          {"max", Align::right},
          {"bias", Align::right}};
}

void add_errors(TextTable& table, const std::string& name, const ErrorSummary& e) {
  table.add_row({name, std::to_string(e.runs), error_text(e.mape), error_text(e.median), error_text(e.p90),
                 error_text(e.max), signed_error_text(e.bias)});
}

std::string groups_text(const std::string& title, const ErrorGroups& groups) {
  if (groups.empty()) return "";
  TextTable table(error_columns(title));
  for (const auto& [name, errors] : groups) add_errors(table, name, errors);
  return "\n" + table.to_string();
}

std::string totals_text(const ValidationSummary& summary) {
  TextTable table(error_columns("error"));
  add_errors(table, "step time", summary.step_time);
  if (summary.suspect.runs > 0) add_errors(table, "step time, suspect", summary.suspect);
  if (summary.memory.runs > 0) add_errors(table, "memory", summary.memory);
  return table.to_string();
}

std::string statuses_text(const ValidationSummary& summary) {
  std::string text = "\n";
  int runs = 0;
  for (const auto& [status, count] : summary.count) runs += count;
  text += fmt::format("{} runs:", runs);
  const char* separator = " ";
  for (const auto& [status, count] : summary.count) {
    text += fmt::format("{}{} {}", separator, count, name_of(status));
    separator = ", ";
  }
  text += "\n";
  if (summary.interval_coverage)
    text += fmt::format("the interval holds the published step time in {}\n", percent_text(*summary.interval_coverage));
  return text;
}

/// Whether plans come out in the order that was measured, by source.
std::string rankings_text(const std::vector<RankedSweep>& sweeps) {
  if (sweeps.empty()) return "";
  struct OfSource {
    int sweeps = 0, near_best = 0;
    double sum = 0, least = 1, lost = 0;
  };
  std::map<std::string, OfSource> sources;
  for (const RankedSweep& sweep : sweeps) {
    OfSource& of = sources[sweep.source];
    ++of.sweeps;
    of.near_best += sweep.lost <= near_best;
    of.sum += sweep.tau;
    of.least = std::min(of.least, sweep.tau);
    of.lost = std::max(of.lost, sweep.lost);
  }
  TextTable table({{"order of plans"},
                   {"sweeps", Align::right},
                   {"mean tau", Align::right},
                   {"least", Align::right},
                   {"best within 3%", Align::right},
                   {"most lost", Align::right}});
  for (const auto& [source, of] : sources)
    table.add_row({source, std::to_string(of.sweeps), fmt::format("{:.2f}", of.sum / of.sweeps),
                   fmt::format("{:.2f}", of.least), fmt::format("{} of {}", of.near_best, of.sweeps),
                   percent_text(of.lost)});
  return "\n" + table.to_string();
}

std::string unsupported_text(const ValidationSummary& summary) {
  if (summary.unsupported_by_reason.empty()) return "";
  TextTable table({{"runs", Align::right}, {"unsupported because"}});
  for (const auto& [reason, runs] : summary.unsupported_by_reason)
    table.add_row({std::to_string(runs), shortened(reason, unsupported_width)});
  return "\n" + table.to_string();
}

std::string value_text(const ValidationRow& row, const std::optional<double>& value) {
  if (!value) return "-";
  return number_text(*value, 4) + (row.metric == Metric::step_time ? " s" : " GiB");
}

std::string worst_text(const std::vector<ValidationRow>& rows, const Paint& paint) {
  std::vector<const ValidationRow*> worst;
  for (const ValidationRow& row : rows)
    if (row.status == ValidationStatus::ok && row.metric == Metric::step_time && row.error_percent())
      worst.push_back(&row);
  std::stable_sort(worst.begin(), worst.end(), [](const ValidationRow* a, const ValidationRow* b) {
    return std::abs(*a->error_percent()) > std::abs(*b->error_percent());
  });
  worst.resize(std::min(worst.size(), worst_rows));
  if (worst.empty()) return "";

  TextTable table(
      {{"run"}, {"GPU"}, {"published", Align::right}, {"predicted", Align::right}, {"error", Align::right}});
  for (const ValidationRow* row : worst)
    table.add_row({shortened(row->id, id_width), row->traits.gpu, value_text(*row, row->published),
                   value_text(*row, row->predicted), signed_error_text(row->error_percent())});
  return "\n" + paint.strong("Largest errors") + "\n" + table.to_string();
}

/// Runs that ran and that we say cannot, and the other way round: each is a mistake of ours to look into.
std::string contradictions_text(const std::vector<ValidationRow>& rows, const Paint& paint) {
  TextTable table({{"run"}, {"verdict"}, {"because"}});
  for (const ValidationRow& row : rows) {
    const bool contradicts =
        row.status == ValidationStatus::infeasible_predicted || row.status == ValidationStatus::oom_missed;
    if (contradicts)
      table.add_row(
          {shortened(row.id, id_width), std::string(name_of(row.status)), shortened(row.reason, reason_width)});
  }
  return table.empty() ? "" : "\n" + paint.strong("Contradicted by the measurement") + "\n" + table.to_string();
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json errors_tree(const ErrorSummary& e) {
  return {{"runs", e.runs},
          {"mape_percent", or_null(e.mape)},
          {"median_ape_percent", or_null(e.median)},
          {"p90_ape_percent", or_null(e.p90)},
          {"max_ape_percent", or_null(e.max)},
          {"bias_percent", or_null(e.bias)}};
}

Json groups_tree(const ErrorGroups& groups) {
  Json tree = Json::object();
  for (const auto& [name, errors] : groups) tree[name] = errors_tree(errors);
  return tree;
}

Json row_tree(const ValidationRow& row) {
  const auto covered = row.covered();
  return {{"id", row.id},
          {"file", row.file},
          {"metric", name_of(row.metric)},
          {"published", or_null(row.published)},
          {"predicted", or_null(row.predicted)},
          {"error_percent", or_null(row.error_percent())},
          {"interval_s", row.interval ? Json{row.interval->first, row.interval->second} : Json(nullptr)},
          {"covered_by_interval", covered ? Json(*covered) : Json(nullptr)},
          {"status", name_of(row.status)},
          {"reason", row.reason.empty() ? Json(nullptr) : Json(row.reason)}};
}

int count_of(const ValidationSummary& summary, ValidationStatus status) {
  const auto found = summary.count.find(status);
  return found == summary.count.end() ? 0 : found->second;
}

constexpr ValidationFormat format_table[] = {
    {"text", "the summary by group, then the largest errors", validation_text},
    {"json", "every run and the summary; the keys are a contract", validation_json},
    {"csv", "a row for each run and metric", validation_csv},
    {"svg", "predicted against published, and how errors are spread", validation_svg},
    {"html", "the same drawing, every table and every run on one page", validation_html},
};

}  // namespace

std::string validation_text(const Validation& validation, const ValidationStyle& style) {
  const Paint paint(style.colour);
  const ValidationSummary summary = summarise(validation.rows);
  std::string page;
  for (const Grouping& grouping : groupings())
    page += groups_text(std::string(grouping.name), summary.*grouping.groups);
  page += "\n" + totals_text(summary) + statuses_text(summary) + rankings_text(ranked_sweeps(validation.rows)) +
          unsupported_text(summary);
  if (!style.quiet) page += contradictions_text(validation.rows, paint) + worst_text(validation.rows, paint);
  return page.substr(page.find_first_not_of('\n'));
}

std::string validation_json(const Validation& validation, const ValidationStyle&) {
  const ValidationSummary summary = summarise(validation.rows);
  Json tree = {{"runs", Json::array()}, {"summary", errors_tree(summary.step_time)}};
  for (const ValidationRow& row : validation.rows) tree["runs"].push_back(row_tree(row));

  tree["sweeps"] = Json::array();
  for (const RankedSweep& sweep : ranked_sweeps(validation.rows))
    tree["sweeps"].push_back({{"source", sweep.source},
                              {"name", sweep.name},
                              {"runs", sweep.runs},
                              {"tau", sweep.tau},
                              {"lost_by_predicted_best", sweep.lost}});
  Json& sums = tree["summary"];
  sums["interval_coverage"] = or_null(summary.interval_coverage);
  sums["unsupported"] = count_of(summary, ValidationStatus::unsupported);
  for (const Grouping& grouping : groupings()) sums[std::string(grouping.key)] = groups_tree(summary.*grouping.groups);
  sums["memory"] = errors_tree(summary.memory);
  sums["memory"]["oom_agreed"] = count_of(summary, ValidationStatus::oom_agreed);
  sums["memory"]["oom_missed"] = count_of(summary, ValidationStatus::oom_missed);
  return tree.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string validation_csv(const Validation& validation, const ValidationStyle&) {
  // Five digits: more would change with every compiler, and the table is kept (scenarios/published/accuracy.csv).
  const auto number = [](const std::optional<double>& value) { return value ? fmt::format("{:.5g}", *value) : ""; };
  std::string text =
      "id,file,gpu,generation,framework,framework_family,model_family,parallelism,gpus,precision,metric,published,"
      "predicted,"
      "error_percent,status,reason,confidence\n";
  for (const ValidationRow& row : validation.rows) {
    const RunTraits& t = row.traits;
    text +=
        fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(row.id), csv_field(row.file),
                    csv_field(t.gpu), csv_field(t.generation), csv_field(t.framework), csv_field(t.framework_family),
                    csv_field(t.model_family), csv_field(t.parallelism), t.gpus, t.precision, name_of(row.metric),
                    number(row.published), number(row.predicted), number(row.error_percent()), name_of(row.status),
                    csv_field(row.reason), csv_field(row.confidence));
  }
  return text;
}

std::span<const ValidationFormat> validation_formats() { return format_table; }

}  // namespace stepcast
