/// The comparison with published runs as people look at it: predicted against published, and how errors are spread.

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "simulator/base/svg.hpp"
#include "simulator/report/ranking.hpp"
#include "simulator/report/validation.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

using svg::faint_ink, svg::ink;

constexpr double page_w = 1180, page_h = 640;
constexpr double band = 5;         // percent
constexpr double widest_bar = 40;  // percent: what lies beyond is in the outermost bars
constexpr double bar_percent = 2;
constexpr double top = 96, bottom = 560;

struct Point {
  const ValidationRow* row = nullptr;
  double error = 0;
};

std::vector<Point> points_of(const Validation& validation) {
  std::vector<Point> points;
  for (const ValidationRow& row : validation.rows) {
    if (row.metric != Metric::step_time || row.status != ValidationStatus::ok || !row.error_percent()) continue;
    points.push_back({&row, *row.error_percent()});
  }
  return points;
}

/// A colour for each family of frameworks, in order of their names.
std::map<std::string, const char*> colours_of(const std::vector<Point>& points) {
  std::map<std::string, const char*> colours;
  for (const Point& p : points) colours[p.row->traits.framework_family];
  std::size_t i = 0;
  for (auto& [family, colour] : colours) colour = svg::colours[i++ % std::size(svg::colours)];
  return colours;
}

std::string seconds_text(double seconds) {
  return seconds < 1 ? number_text(seconds * 1000) + " ms" : number_text(seconds) + " s";
}

std::string scatter(const std::vector<Point>& points, const std::map<std::string, const char*>& colours) {
  constexpr double left = 80, right = 80 + (bottom - top);
  double low = 1e30, high = 0;
  for (const Point& p : points) {
    low = std::min({low, *p.row->published, *p.row->predicted});
    high = std::max({high, *p.row->published, *p.row->predicted});
  }
  const svg::Axis x{low / 1.3, high * 1.3, left, right, true}, y{low / 1.3, high * 1.3, bottom, top, true};
  std::string drawing = svg::text(left, top - 18, "Step time, predicted against published", {14, ink, "start", "bold"});
  for (double tick : x.ticks()) {
    drawing += svg::line({x(tick), top}, {x(tick), bottom}, svg::grid_ink, 1);
    drawing += svg::line({left, y(tick)}, {right, y(tick)}, svg::grid_ink, 1);
    if (std::abs(std::log10(tick) - std::round(std::log10(tick))) > 1e-6) continue;  // decades alone are named
    const std::string name = tick < 0.999 ? fmt::format("{:g} ms", 1000 * tick) : fmt::format("{:g} s", tick);
    drawing += svg::text(x(tick), bottom + 18, name, {12, faint_ink, "middle"});
    drawing += svg::text(left - 8, y(tick) + 4, name, {12, faint_ink, "end"});
  }
  const double wide = 1 + band / 100;
  drawing += fmt::format(
      "<path d=\"M{:.1f} {:.1f} L{:.1f} {:.1f} L{:.1f} {:.1f} L{:.1f} {:.1f} Z\" fill=\"#009e73\" "
      "fill-opacity=\"0.16\"/>\n",
      x(x.low), y(x.low), x(x.high / wide), y(y.high), x(x.high), y(y.high / wide), x(x.low * wide), y(y.low));
  drawing += svg::line({x(x.low), y(x.low)}, {x(x.high), y(x.high)}, "#009e73", 1);
  for (const Point& p : points) {
    drawing += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\" fill-opacity=\"0.55\"><title>{}: published {}, "
        "predicted {}, {:+.1f}%</title></circle>\n",
        x(*p.row->published), y(*p.row->predicted), colours.at(p.row->traits.framework_family), svg::escaped(p.row->id),
        seconds_text(*p.row->published), seconds_text(*p.row->predicted), p.error);
  }
  drawing += svg::text((left + right) / 2, bottom + 42, "published", {13, ink, "middle"});
  drawing += svg::upright_text(22, (top + bottom) / 2, "predicted", {13, ink});
  double line = top + 18;
  for (const auto& [family, colour] : colours) {
    drawing += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" fill=\"{}\"/>\n", left + 16, line - 4, colour);
    drawing += svg::text(left + 28, line, family, {12, ink});
    line += 19;
  }
  return drawing + svg::text(left + 10, line, fmt::format("band: \u00b1{:.0f}%", band), {12, "#009e73"});
}

std::string histogram(const std::vector<Point>& points) {
  constexpr double left = 660, right = 1140;
  constexpr int bars = static_cast<int>(2 * widest_bar / bar_percent);
  std::array<int, bars> count{};
  for (const Point& p : points) {
    const int at = static_cast<int>(std::floor((p.error + widest_bar) / bar_percent));
    ++count[static_cast<std::size_t>(std::clamp(at, 0, bars - 1))];
  }
  const int most = *std::max_element(count.begin(), count.end());
  const svg::Axis x{-widest_bar, widest_bar, left, right}, y{0, most * 1.08, bottom, top};
  std::string drawing = svg::text(left, top - 18, "Error of the step time", {14, ink, "start", "bold"});
  for (double tick : y.ticks()) {
    drawing += svg::line({left, y(tick)}, {right, y(tick)}, svg::grid_ink, 1);
    drawing += svg::text(left - 8, y(tick) + 4, fmt::format("{:g}", tick), {12, faint_ink, "end"});
  }
  for (int i = 0; i < bars; ++i) {
    const double from = -widest_bar + i * bar_percent;
    const bool inside = from >= -band && from + bar_percent <= band;
    const int runs = count[static_cast<std::size_t>(i)];
    drawing += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\" fill-opacity=\"0.8\"><title>{} "
        "runs from {:+.0f}% to {:+.0f}%</title></rect>\n",
        x(from) + 0.5, y(runs), x(bar_percent) - x(0) - 1, y(0) - y(runs), inside ? "#009e73" : "#0072b2", runs, from,
        from + bar_percent);
  }
  for (double tick : x.ticks())
    drawing +=
        svg::text(x(tick), bottom + 18, tick == 0 ? "0%" : fmt::format("{:+.0f}%", tick), {12, faint_ink, "middle"});
  drawing += svg::line({x(0), top}, {x(0), bottom}, ink, 1, "stroke-dasharray=\"3 4\"");
  return drawing + svg::text((left + right) / 2, bottom + 42, "predicted too fast  \u2190  error  \u2192  too slow",
                             {13, ink, "middle"});
}

std::string cell(const std::string& text, bool number = true) {
  return fmt::format("<td{}>{}</td>", number ? " class=\"n\"" : "", svg::escaped(text));
}

std::string heads(std::initializer_list<const char*> names) {
  std::string row = "<tr>";
  for (const char* name : names) row += fmt::format("<th>{}</th>", name);
  return row + "</tr>\n";
}

std::string group_table(const Grouping& grouping, const ErrorGroups& groups) {
  std::string table = "<table>" + heads({grouping.name.data(), "runs", "mean", "median", "p90", "max", "bias"});
  for (const auto& [name, e] : groups)
    table += "<tr>" + cell(name, false) + cell(std::to_string(e.runs)) + cell(error_text(e.mape)) +
             cell(error_text(e.median)) + cell(error_text(e.p90)) + cell(error_text(e.max)) +
             cell(signed_error_text(e.bias)) + "</tr>\n";
  return table + "</table>\n";
}

std::string ranking_table(const std::vector<RankedSweep>& sweeps) {
  if (sweeps.empty()) return "";
  std::string table =
      "<h2>Are plans put in the right order?</h2><p>Runs of one model on one cluster. Tau: Kendall's, of "
      "predicted and measured throughput. Lost: what the plan that is predicted best lacks of the "
      "best measured one.</p><table>" +
      heads({"source", "sweep", "runs", "tau", "lost"});
  for (const RankedSweep& sweep : sweeps)
    table += "<tr>" + cell(sweep.source, false) + cell(sweep.name, false) + cell(std::to_string(sweep.runs)) +
             cell(fmt::format("{:.2f}", sweep.tau)) + cell(percent_text(sweep.lost)) + "</tr>\n";
  return table + "</table>\n";
}

std::string run_table(const Validation& validation) {
  std::string table = "<table>" + heads({"run", "source", "GPU", "framework", "metric", "published", "predicted",
                                         "error", "90% interval", "verdict"});
  for (const ValidationRow& row : validation.rows) {
    const bool time = row.metric == Metric::step_time;
    const auto value = [time](const std::optional<double>& v) {
      return v ? (time ? seconds_text(*v) : number_text(*v) + " GiB") : std::string("-");
    };
    const std::string interval =
        row.interval ? fmt::format("{} to {}", seconds_text(row.interval->first), seconds_text(row.interval->second))
                     : "-";
    std::string verdict(name_of(row.status));
    if (!row.reason.empty()) verdict += ": " + row.reason;
    table += "<tr>" + cell(row.id, false) + cell(source_of(row), false) + cell(row.traits.gpu, false) +
             cell(row.traits.framework, false) + cell(time ? "step time" : "memory", false) +
             cell(value(row.published)) + cell(value(row.predicted)) + cell(signed_error_text(row.error_percent())) +
             cell(interval) + cell(verdict, false) + "</tr>\n";
  }
  return table + "</table>\n";
}

constexpr const char* style =
    "body{font:14px/1.45 Inter,'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif;color:#1f2933;margin:32px "
    "auto;max-width:1180px}"
    "h1{font-size:24px}h2{font-size:17px;margin-top:32px}table{border-collapse:collapse;margin:8px 0 "
    "20px;font-size:13px}"
    "th{text-align:left;border-bottom:1px solid #9aa5b1;padding:3px 12px 3px 0}"
    "td{padding:2px 12px 2px 0;border-bottom:1px solid #f0f4f8}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "svg{max-width:100%;height:auto}summary{cursor:pointer;font-weight:bold;margin:20px 0}";

}  // namespace

std::string validation_svg(const Validation& validation, const ValidationStyle&) {
  const std::vector<Point> points = points_of(validation);
  if (points.empty()) return svg::document(page_w, 120, svg::text(80, 64, "No step time could be compared.", {16}));
  const ErrorSummary errors = summarise(validation.rows).step_time;
  const std::string title =
      fmt::format("{} published runs: mean error {}, median {}, bias {}", errors.runs, error_text(errors.mape),
                  error_text(errors.median), signed_error_text(errors.bias));
  return svg::document(
      page_w, page_h,
      svg::text(80, 44, title, {18, ink, "start", "bold"}) + scatter(points, colours_of(points)) + histogram(points));
}

std::string validation_html(const Validation& validation, const ValidationStyle& given) {
  const ValidationSummary summary = summarise(validation.rows);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Stepcast against published "
      "runs</title><style>{}</style></head><body>\n<h1>Stepcast against published runs</h1>\n",
      style);
  page += validation_svg(validation, given);
  if (summary.interval_coverage)
    page += fmt::format(
        "<p>The 90% intervals, each learned without the run's own source, hold the published step time "
        "in {} of runs.</p>\n",
        percent_text(*summary.interval_coverage));
  if (summary.memory.runs > 0)
    page += fmt::format("<p>Memory: {} runs, mean error {}, median {}, bias {}.</p>\n", summary.memory.runs,
                        error_text(summary.memory.mape), error_text(summary.memory.median),
                        signed_error_text(summary.memory.bias));
  page += "<h2>Error of the step time by group</h2>\n";
  for (const Grouping& grouping : groupings()) page += group_table(grouping, summary.*grouping.groups);
  page += ranking_table(ranked_sweeps(validation.rows));
  page += "<details><summary>Every run</summary>\n" + run_table(validation) + "</details>\n";
  return page + "</body></html>\n";
}

}  // namespace stepcast
