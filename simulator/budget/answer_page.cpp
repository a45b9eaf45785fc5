/// The answer as a page with drawings: loss against size, days against GPUs, dollars against days, the date it ends.

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "simulator/base/svg.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/report/page.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

using svg::faint_ink, svg::ink;

constexpr double panel_w = 560, panel_h = 380;
constexpr double left = 78, right = 20, top = 52, bottom = 54;

/// One drawing of the four, with its own axes.
class Panel {
 public:
  Panel(double x0, double y0, std::string title, svg::Axis x, svg::Axis y) : x0_(x0), y0_(y0), x_(x), y_(y) {
    x_.from = x0 + left, x_.to = x0 + panel_w - right;
    y_.from = y0 + panel_h - bottom, y_.to = y0 + top;
    drawing_ = svg::text(x_.from, y0 + 30, title, {14, ink, "start", "bold"});
  }

  void axes(const std::string& x_title, const std::string& y_title, const std::function<std::string(double)>& x_text,
            const std::function<std::string(double)>& y_text) {
    for (double tick : thinned(x_.ticks(), 8)) {
      drawing_ += svg::line({x_(tick), y_.from}, {x_(tick), y_.to}, svg::grid_ink, 1);
      drawing_ += svg::text(x_(tick), y_.from + 17, x_text(tick), {11, faint_ink, "middle"});
    }
    for (double tick : thinned(y_.ticks(), 8)) {
      drawing_ += svg::line({x_.from, y_(tick)}, {x_.to, y_(tick)}, svg::grid_ink, 1);
      drawing_ += svg::text(x_.from - 7, y_(tick) + 4, y_text(tick), {11, faint_ink, "end"});
    }
    drawing_ += svg::text((x_.from + x_.to) / 2, y0_ + panel_h - 14, x_title, {12, ink, "middle"});
    drawing_ += svg::upright_text(x0_ + 14, (y_.from + y_.to) / 2, y_title, {12, ink});
  }

  void curve(const std::vector<svg::Point>& points, const char* colour) {
    std::vector<svg::Point> drawn;
    for (const svg::Point& p : points) drawn.push_back({x_(p.x), y_(p.y)});
    if (drawn.size() > 1) drawing_ += svg::path(drawn, colour, 2);
  }

  void mark(svg::Point p, const char* colour, const std::string& tip, const std::string& label = "",
            bool below = false) {
    drawing_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" fill=\"{}\"><title>{}</title></circle>\n",
                            x_(p.x), y_(p.y), colour, svg::escaped(tip));
    if (label.empty()) return;
    const bool at_right = x_(p.x) > x_.from + 0.7 * (x_.to - x_.from);
    drawing_ += svg::text(x_(p.x) + (at_right ? -8 : 8), y_(p.y) + (below ? 18 : -8), label,
                          {11, ink, at_right ? "end" : "start"});
  }

  void column(double from, double to, double height, const char* colour, const std::string& tip) {
    drawing_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\" "
        "fill-opacity=\"0.8\"><title>{}</title></rect>\n",
        x_(from) + 0.5, y_(height), std::max(0.5, x_(to) - x_(from) - 1), y_.from - y_(height), colour,
        svg::escaped(tip));
  }

  void upright(double x, const char* colour, const std::string& label, bool at_left = false) {
    drawing_ += svg::line({x_(x), y_.from}, {x_(x), y_.to}, colour, 1.5, "stroke-dasharray=\"4 4\"");
    drawing_ += svg::text(x_(x) + (at_left ? -4 : 4), y_.to + 12, label, {11, colour, at_left ? "end" : "start"});
  }

  void key(std::size_t place, const char* colour, const std::string& words) {
    const double y = y_.to + 14 + 17 * static_cast<double>(place);
    drawing_ +=
        fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" fill=\"{}\"/>\n", x_.to - 150, y - 4, colour);
    drawing_ += svg::text(x_.to - 140, y, words, {11, ink});
  }

  std::string text() && { return std::move(drawing_); }

 private:
  static std::vector<double> thinned(std::vector<double> ticks, std::size_t most) {
    while (ticks.size() > most) {
      std::vector<double> half;
      for (std::size_t i = 0; i < ticks.size(); i += 2) half.push_back(ticks[i]);
      ticks = std::move(half);
    }
    return ticks;
  }

  double x0_, y0_;
  svg::Axis x_, y_;
  std::string drawing_;
};

struct Range {
  double low = 1e300, high = -1e300;
  void add(double value) { low = std::min(low, value), high = std::max(high, value); }
  bool empty() const { return high < low; }
  svg::Axis logarithmic(double margin) const { return {low / margin, high * margin, 0, 1, true}; }
  svg::Axis linear(double margin) const {
    const double more = std::max((high - low) * margin, 1e-9 * std::max(1.0, std::abs(high)));
    return {low - more, high + more, 0, 1};
  }
};

const char* colour_of(std::size_t i) { return svg::colours[i % std::size(svg::colours)]; }

std::string plain(double value) { return fmt::format("{:g}", std::abs(value) < 1e-12 ? 0 : value); }
std::string short_dollars(double dollars) { return "$" + short_size_text(dollars); }

std::string loss_panel(const Answer& answer, double x0, double y0) {
  const ClusterAnswer& run = answer.clusters[answer.best];
  if (answer.iso_flop.empty()) return "";
  Range n, loss;
  std::vector<svg::Point> curve;
  for (const IsoFlopPoint& point : answer.iso_flop) {
    n.add(point.size.parameters), loss.add(point.loss);
    curve.push_back({point.size.parameters, point.loss});
  }
  if (run.loss) n.add(run.active_parameters), loss.add(*run.loss);
  Panel panel(x0, y0, "Loss of other sizes for the same compute", n.logarithmic(1.1), loss.linear(0.06));
  panel.axes("parameters", "loss (nats a token)", short_size_text, plain);
  panel.curve(curve, colour_of(0));
  if (run.loss) {
    panel.mark({run.active_parameters, *run.loss}, colour_of(3),
               fmt::format("{} parameters, loss {:.4f}", size_text(run.active_parameters), *run.loss), "this run");
  }
  return std::move(panel).text();
}

/// Points of every cluster: a curve over its sizes.
std::string sizes_panel(const Answer& answer, double x0, double y0, bool money) {
  Range x, y;
  for (const ClusterAnswer& run : answer.clusters) {
    for (const ClusterAnswer::Size& size : run.sizes) {
      if (!size.problem.empty() || (money && !size.dollars)) continue;
      x.add(money ? size.days : static_cast<double>(size.gpus));
      y.add(money ? *size.dollars : size.days);
    }
  }
  if (x.empty()) return "";
  Panel panel(x0, y0, money ? "Dollars against days" : "Days against GPUs", x.logarithmic(1.3),
              money ? svg::Axis{0.6 * y.low, 1.15 * y.high, 0, 1} : y.logarithmic(1.3));
  panel.axes(
      money ? "days on the calendar" : "GPUs", money ? "cost" : "days on the calendar",
      money ? std::function<std::string(double)>(plain) : [](double v) { return count_text(v); },
      money ? std::function<std::string(double)>(short_dollars) : plain);
  std::size_t i = 0, drawn = 0;
  for (const ClusterAnswer& run : answer.clusters) {
    std::vector<svg::Point> points;
    for (const ClusterAnswer::Size& size : run.sizes) {
      if (!size.problem.empty() || (money && !size.dollars)) continue;
      points.push_back(money ? svg::Point{size.days, *size.dollars}
                             : svg::Point{static_cast<double>(size.gpus), size.days});
    }
    panel.curve(points, colour_of(i));
    std::size_t at = 0;
    for (const ClusterAnswer::Size& size : run.sizes) {
      if (!size.problem.empty() || (money && !size.dollars)) continue;
      panel.mark(points[at++], size.gpus == run.gpus ? ink : colour_of(i),
                 fmt::format("{}: {} GPUs, {} days, MFU {}{}", run.name, count_text(static_cast<double>(size.gpus)),
                             number_text(size.days), percent_text(size.mfu),
                             size.dollars ? ", " + dollars_text(*size.dollars) : ""),
                 money ? count_text(static_cast<double>(size.gpus)) : "", i % 2 == 1);
    }
    if (!points.empty() && answer.clusters.size() > 1) panel.key(drawn++, colour_of(i), shortened(run.name, 24));
    ++i;
  }
  return std::move(panel).text();
}

std::string date_panel(const Answer& answer, double x0, double y0) {
  const ClusterAnswer& run = answer.clusters[answer.best];
  const Histogram& histogram = run.campaign.histogram;
  if (histogram.counts.empty() || histogram.width <= 0) return "";
  const double width = histogram.width;
  Range x, y;
  y.add(0);
  for (const int count : histogram.counts) y.add(count);
  x.add(histogram.from), x.add(histogram.from + width * static_cast<double>(histogram.counts.size()));
  Panel panel(x0, y0, fmt::format("When it ends: {} simulated runs", count_text(run.campaign.trials)), x.linear(0.03),
              {0, y.high * 1.15, 0, 1});
  panel.axes("days on the calendar", "runs", plain, plain);
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const double from = histogram.from + width * static_cast<double>(i);
    panel.column(from, from + width, histogram.counts[i], colour_of(0),
                 fmt::format("{} runs between {} and {} days", histogram.counts[i], number_text(from, 4),
                             number_text(from + width, 4)));
  }
  panel.upright(run.campaign.days.p10, svg::colours[2], "10%", true);
  panel.upright(run.campaign.days.p90, svg::colours[3], "90%");
  return std::move(panel).text();
}

std::string cell(const std::string& text, bool number = true) {
  return fmt::format("<td{}>{}</td>", number ? " class=\"n\"" : "", svg::escaped(text));
}

constexpr const char* style =
    "body{font:14px/1.5 Inter,'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif;color:#1f2933;margin:32px "
    "auto;max-width:1140px}h1{font-size:24px}pre{font:12px/1.45 'DejaVu Sans Mono',Menlo,monospace;overflow-x:auto}"
    "svg{max-width:100%;height:auto}table{border-collapse:collapse;margin:12px 0 24px}"
    "th{text-align:left;border-bottom:1px solid #9aa5b1;padding:3px 16px 3px 0}"
    "td{padding:3px 16px 3px 0;border-bottom:1px solid "
    "#f0f4f8}td.n{text-align:right;font-variant-numeric:tabular-nums}";

/// The figures that everybody asks for first.
std::string headline(const Answer& answer) {
  std::string table =
      "<table><tr><th>cluster</th><th>GPUs</th><th>model</th><th>tokens</th><th>loss</th><th>MFU</th><th>days</th>"
      "<th>80% of runs</th><th>GPU-hours</th><th>cost</th><th>MWh</th><th>t CO2e</th></tr>\n";
  for (const ClusterAnswer& run : answer.clusters) {
    table += "<tr>" + cell(run.name, false) + cell(count_text(static_cast<double>(run.gpus))) +
             cell(short_size_text(run.parameters)) + cell(short_size_text(run.tokens)) +
             cell(run.loss ? fmt::format("{:.4f}", *run.loss) : "-");
    if (!run.problem.empty()) {
      table += "<td colspan=\"7\">" + svg::escaped(run.problem) + "</td></tr>\n";
      continue;
    }
    const CampaignOutcome& c = run.campaign;
    table += cell(percent_text(run.mfu)) + cell(number_text(c.days.mean)) +
             cell(number_text(c.days.p10) + " to " + number_text(c.days.p90)) + cell(short_size_text(run.gpu_hours)) +
             cell(run.dollars() ? dollars_text(*run.dollars()) : "-") +
             cell(number_text(run.energy.facility.si() / 3.6e9)) +
             cell(run.energy.tonnes_co2e > 0 ? number_text(run.energy.tonnes_co2e) : "-") + "</tr>\n";
  }
  return table + "</table>\n";
}

}  // namespace

std::string answer_svg(const Answer& answer, const AnswerStyle&) {
  std::string drawing = svg::text(left, 34, answer.name, {18, ink, "start", "bold"});
  int place = 0;
  for (const std::function<std::string(double, double)>&panel :
       {std::function<std::string(double, double)>([&](double x, double y) { return loss_panel(answer, x, y); }),
        std::function<std::string(double, double)>([&](double x, double y) { return date_panel(answer, x, y); }),
        std::function<std::string(double, double)>(
            [&](double x, double y) { return sizes_panel(answer, x, y, false); }),
        std::function<std::string(double, double)>(
            [&](double x, double y) { return sizes_panel(answer, x, y, true); })}) {
    const std::string drawn = panel(place % 2 * panel_w, 50 + place / 2 * panel_h);
    if (drawn.empty()) continue;
    drawing += drawn;
    ++place;
  }
  return svg::document(2 * panel_w, 60 + std::max(1, (place + 1) / 2) * panel_h, drawing);
}

std::string answer_html(const Answer& answer, const AnswerStyle& given) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{1}</style></head>\n"
      "<body><h1>{0}</h1>\n{2}{3}<h2>In words</h2>\n<pre>{4}</pre></body></html>\n",
      svg::escaped(answer.name), style, headline(answer), answer_svg(answer, given),
      svg::escaped(answer_text(answer, {false})));
}

std::span<const AnswerForm> answer_forms() {
  static constexpr AnswerForm forms[] = {{"text", "one page for a terminal", answer_text},
                                         {"json", "every number, SI units", answer_json},
                                         {"csv", "a line for each cluster", answer_csv},
                                         {"html", "a page with drawings", answer_html},
                                         {"svg", "the drawings", answer_svg}};
  return forms;
}

}  // namespace stepcast
