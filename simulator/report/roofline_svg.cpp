#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/svg.hpp"
#include "simulator/base/utf8.hpp"
#include "simulator/report/label_placement.hpp"
#include "simulator/report/operator_text.hpp"
#include "simulator/report/page.hpp"
#include "simulator/report/roofline.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

constexpr double page_w = 1120, page_h = 860;
constexpr PlotBox frame{86, 104, 850, 574};
constexpr double lists_top = 652;
constexpr std::size_t listed = 6;            // operators of each list below the plot
constexpr double smallest_labelled = 0.008;  // share of the step
constexpr double smallest_drawn = 1e-5;
constexpr double glyph = 6.1;  // mean advance of a 12 px letter

using svg::escaped, svg::faint_ink, svg::ink, svg::line;

struct PassColour {
  const char* pass;
  const char* colour;
};
constexpr std::array<PassColour, 5> colours{{{"forward", "#0072b2"},
                                             {"recompute", "#56b4e9"},
                                             {"backward_input", "#e69f00"},
                                             {"backward_weight", "#d55e00"},
                                             {"step", "#009e73"}}};

const char* colour_of(const std::string& pass) {
  for (const PassColour& row : colours)
    if (pass == row.pass) return row.colour;
  return faint_ink;
}

// --- axes ---------------------------------------------------------------------------------------------------------

struct Axes {
  svg::Axis x, y;
  PlotPoint at(double intensity, double rate) const { return {x(intensity), y(rate)}; }
};

/// What the plot shows: operators that multiply matrices.
std::vector<const OperatorTime*> plotted(const Report& r) {
  std::vector<const OperatorTime*> points;
  for (const OperatorTime& op : r.operators)
    if (op.flops > 0 && op.bytes > Bytes{} && op.total() / r.step_time > smallest_drawn) points.push_back(&op);
  return points;
}

double rate_of(const OperatorTime& op) { return op.flops / op.each.si(); }

Axes axes_of(const Report& r, const std::vector<const OperatorTime*>& points) {
  double least_x = r.roofs.ridge() / 8, most_x = r.roofs.ridge() * 8;
  double least_y = r.roofs.matrix.front().peak.si() / 10, most_y = least_y * 10;
  for (const OperatorTime* op : points) {
    least_x = std::min(least_x, op->intensity()), most_x = std::max(most_x, op->intensity());
    least_y = std::min(least_y, rate_of(*op)), most_y = std::max(most_y, rate_of(*op));
  }
  for (const Roofs::MatrixUnits& units : r.roofs.matrix) most_y = std::max(most_y, units.peak.si());
  return {{least_x / 1.6, most_x * 1.8, frame.left, frame.right, true},
          {least_y / 1.5, most_y * 1.9, frame.bottom, frame.top, true}};
}

std::string grid(const Axes& axes) {
  std::string drawing;
  for (double tick : axes.x.ticks()) {
    const double x = axes.x(tick);
    drawing += line({x, frame.top}, {x, frame.bottom}, svg::grid_ink, 1);
    drawing += svg::text(x, frame.bottom + 18, number_text(tick), {12, faint_ink, "middle"});
  }
  for (double tick : axes.y.ticks()) {
    const double y = axes.y(tick);
    drawing += line({frame.left, y}, {frame.right, y}, svg::grid_ink, 1);
    drawing += svg::text(frame.left - 8, y + 4, number_text(tick / 1e12), {12, faint_ink, "end"});
  }
  drawing += svg::text((frame.left + frame.right) / 2, frame.bottom + 40,
                       "arithmetic intensity: FLOP per byte of HBM traffic", {13, ink, "middle"});
  return drawing + svg::upright_text(30, (frame.top + frame.bottom) / 2, "TFLOP/s of one GPU", {13, ink});
}

// --- roofs --------------------------------------------------------------------------------------------------------

/// The corners of a roof inside the frame: up along HBM to the ridge, then level.
std::string roof_path(const Axes& axes, double peak, double bandwidth) {
  const double ridge = peak / bandwidth;
  const double start = std::max(axes.x.low, axes.y.low / bandwidth);
  const PlotPoint a = axes.at(start, start * bandwidth), b = axes.at(std::max(ridge, start), peak);
  return fmt::format("M{:.1f} {:.1f} L{:.1f} {:.1f} L{:.1f} {:.1f}", a.x, a.y, b.x, b.y, frame.right, b.y);
}

std::string drawn_roofs(const Report& r, const Axes& axes) {
  const Roofs& roofs = r.roofs;
  std::string drawing;
  const std::string top = roof_path(axes, roofs.matrix.front().peak.si(), roofs.hbm.si());
  drawing += fmt::format("<path d=\"{} L{} {} L{} {} Z\" fill=\"#f0f4f8\" stroke=\"none\"/>\n", top, frame.right,
                         frame.bottom, frame.left, frame.bottom);
  drawing += grid(axes);
  for (const Roofs::MatrixUnits& units : roofs.matrix) {
    drawing +=
        fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>\n",
                    roof_path(axes, units.peak.si(), roofs.hbm.si()), ink);
    drawing +=
        fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" stroke-dasharray=\"6 5\"/>\n",
                    roof_path(axes, units.sustained.si(), roofs.hbm_sustained.si()), faint_ink);
  }
  return drawing;
}

/// Names of the roofs, beside their right ends and along the slope.
std::string roof_names(const Report& r, const Axes& axes) {
  const Roofs& roofs = r.roofs;
  const double x = frame.right + 10;
  std::string drawing;
  double lowest = 0;
  for (const Roofs::MatrixUnits& units : roofs.matrix) {
    const double peak = std::max(axes.y(units.peak.si()) + 4, lowest);
    const double sustained = std::max(axes.y(units.sustained.si()) + 4, peak + 32);
    drawing += svg::text(x, peak, to_text(units.peak), {13, ink, "start", "bold"});
    drawing += svg::text(x, peak + 15, "tensor cores, " + units.precision, {12, ink});
    drawing += svg::text(x, sustained, to_text(units.sustained), {13, faint_ink, "start", "bold"});
    drawing += svg::text(x, sustained + 15, "sustained by large tiles", {12, faint_ink});
    lowest = sustained + 34;
  }
  const double bandwidth = roofs.hbm.si(), peak = roofs.matrix.front().peak.si();
  const double start = std::max(axes.x.low, axes.y.low / bandwidth);
  const PlotPoint a = axes.at(start, start * bandwidth), b = axes.at(peak / bandwidth, peak);
  const double angle = std::atan2(b.y - a.y, b.x - a.x) * 180 / M_PI;
  return drawing +
         fmt::format(
             "<text transform=\"translate({:.1f} {:.1f}) rotate({:.1f})\" font-size=\"13\" font-weight=\"bold\" "
             "fill=\"{}\" text-anchor=\"middle\">HBM {}</text>\n",
             (a.x + b.x) / 2 - 7, (a.y + b.y) / 2 - 7, angle, ink, to_text(roofs.hbm));
}

// --- points -------------------------------------------------------------------------------------------------------

double radius_of(double share) { return std::max(3.0, 62 * std::sqrt(share)); }

std::string name_of(const OperatorTime& op) { return op.name + " " + pass_text(op.pass); }

std::string disc(const OperatorTime& op, const Report& r, PlotPoint at) {
  return fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\" fill-opacity=\"0.72\" stroke=\"#ffffff\" "
      "stroke-width=\"1.2\"><title>{}: {}, {} FLOP/byte, {} of the step, {}</title></circle>\n",
      at.x, at.y, radius_of(op.total() / r.step_time), colour_of(op.pass), escaped(name_of(op)), reaches_text(op),
      number_text(op.intensity()), percent_text(op.total() / r.step_time), op.bound);
}

std::string label(const OperatorTime& op, const Report& r, const PlotDisc& at, LabelPlacement& placement) {
  const std::string text = fmt::format("{}  {}", name_of(op), percent_text(op.total() / r.step_time));
  const auto placed = placement.place(at, static_cast<double>(display_width(text)) * glyph, 14);
  if (!placed) return "";
  std::string drawing;
  if (placed->leader) drawing += line(at.centre, *placed->leader, "#9aa5b1", 1);
  return drawing +
         fmt::format(
             "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"12\" fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"3\" "
             "stroke-linejoin=\"round\" paint-order=\"stroke\">{}</text>\n",
             placed->box.left, placed->box.bottom - 3, ink, escaped(text));
}

std::string points(const Report& r, const Axes& axes) {
  const std::vector<const OperatorTime*> operators = plotted(r);  // largest first: small discs lie on top
  std::vector<PlotDisc> discs;
  for (const OperatorTime* op : operators)
    discs.push_back({axes.at(op->intensity(), rate_of(*op)), radius_of(op->total() / r.step_time)});
  LabelPlacement placement(frame, discs);
  std::string below, above;
  for (std::size_t i = 0; i < operators.size(); ++i) {
    below += disc(*operators[i], r, discs[i].centre);
    if (operators[i]->total() / r.step_time >= smallest_labelled) above += label(*operators[i], r, discs[i], placement);
  }
  return below + above;
}

// --- around the plot ----------------------------------------------------------------------------------------------

std::string legend(const Report& r) {
  const double x = frame.right + 10;
  double y = 360;
  std::string drawing = svg::text(x, y, "colour: pass", {12, faint_ink});
  for (const PassColour& row : colours) {
    const auto has = [&](const OperatorTime& op) { return op.pass == row.pass; };
    if (std::none_of(r.operators.begin(), r.operators.end(), has)) continue;
    y += 21;
    drawing += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\" fill=\"{}\"/>\n", x + 7, y - 4, row.colour);
    drawing += svg::text(x + 22, y, row.pass == std::string("step") ? "once a step" : pass_text(row.pass), {13, ink});
  }
  y += 34;
  drawing += svg::text(x, y, "area: share of the step", {12, faint_ink});
  double left = x;
  for (double share : {0.01, 0.03, 0.1}) {
    const double radius = radius_of(share);
    drawing += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"none\" stroke=\"{}\"/>\n",
                           left + radius, y + 30, radius, faint_ink);
    drawing += svg::text(left + radius, y + 68, fmt::format("{:.0f}%", 100 * share), {12, faint_ink, "middle"});
    left += 2 * radius + 22;
  }
  return drawing;
}

/// The largest operators without a place on the plot: a bar each, as long as its share of the step.
std::string bars(const Report& r, double x, const std::string& title, bool network) {
  std::vector<const OperatorTime*> rows;
  for (const OperatorTime& op : r.operators)
    if ((op.bound == "network") == network && (network || op.flops == 0) && rows.size() < listed) rows.push_back(&op);
  if (rows.empty()) return "";
  const double longest = rows.front()->total() / r.step_time;
  double y = lists_top + 12;
  std::string drawing = svg::text(x, y, title, {13, ink, "start", "bold"});
  for (const OperatorTime* op : rows) {
    y += 24;
    const double share = op->total() / r.step_time;
    const double width = std::max(1.0, 120 * share / longest);
    drawing += svg::text(x, y, shortened(name_of(*op), 34), {12, ink});
    drawing += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"12\" rx=\"2\" fill=\"{}\" fill-opacity=\"0.8\"/>\n",
        x + 218, y - 10, width, colour_of(op->pass));
    const auto roof = share_of_roof(*op, r.roofs.hbm);
    drawing +=
        svg::text(x + 224 + width, y,
                  percent_text(share) + "  " + reaches_text(*op) + (roof ? fmt::format(", {:.0f}%", 100 * *roof) : ""),
                  {12, faint_ink});
  }
  return drawing;
}

std::string heading(const Report& r) {
  return svg::text(frame.left, 40, shortened(r.scenario, 90), {20, ink, "start", "bold"}) +
         svg::text(frame.left, 64, shortened(fmt::format("{}; {}", r.model_name, r.cluster_text), 130),
                   {13, faint_ink}) +
         svg::text(frame.left, 84, shortened(fmt::format("{}; step {}", r.plan_text, to_text(r.step_time)), 150),
                   {12, faint_ink});
}

std::string document(const std::string& content) { return svg::document(page_w, page_h, content); }

}  // namespace

std::string roofline_svg(const Report& r, const ReportStyle&) {
  if (!r.has_time() || r.roofs.matrix.empty())
    return document(svg::text(frame.left, 60, "Cannot run: " + r.infeasible_reason, {16}));
  const Axes axes = axes_of(r, plotted(r));
  return document(heading(r) + drawn_roofs(r, axes) + roof_names(r, axes) + points(r, axes) + legend(r) +
                  bars(r, frame.left, "Kernels without matrix products: share of the step, of HBM's bandwidth", false) +
                  bars(r, frame.left + 520, "Tensor-parallel communication, hidden or not", true));
}

}  // namespace stepcast
