#include "simulator/budget/law_plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/svg.hpp"
#include "simulator/budget/compute_optimum.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

constexpr double width = 900, height = 860;
constexpr double left = 84, right = 868;
constexpr double loss_top = 92, loss_bottom = 520, error_top = 590, error_bottom = 790;
constexpr std::array shades{"#56b4e9", "#0072b2", "#009e73", "#e69f00", "#d55e00"};  ///< small models to large

double budget_of(const Residual& residual) { return 6 * residual.point.parameters * residual.point.tokens; }

std::string dot(double x, double y, const char* colour, const std::string& title) {
  return fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\" fill-opacity=\"0.7\"><title>{}</title></circle>\n", x, y,
      colour, title);
}

std::string power_text(double value) { return fmt::format("{:.0e}", value); }

/// Grid and labels of a panel.
std::string grid(const svg::Axis& x, const svg::Axis& y, bool signed_percent) {
  std::string drawing;
  for (const double tick : x.ticks()) {
    drawing += svg::line({x(tick), y.from}, {x(tick), y.to}, svg::grid_ink, 1);
    const bool decade = std::abs(std::log10(tick) - std::round(std::log10(tick))) < 1e-9;
    if (decade) drawing += svg::text(x(tick), y.from + 18, power_text(tick), {12, svg::faint_ink, "middle"});
  }
  for (const double tick : y.ticks()) {
    drawing += svg::line({left, y(tick)}, {right, y(tick)}, svg::grid_ink, 1);
    drawing +=
        svg::text(left - 8, y(tick) + 4, signed_percent ? fmt::format("{:+g}%", tick) : fmt::format("{:g}", tick),
                  {12, svg::faint_ink, "end"});
  }
  return drawing;
}

/// Fifths of the points by size of the model.
std::array<double, shades.size()> size_bounds(const LawFit& fit) {
  std::vector<double> sizes;
  for (const Residual& residual : fit.residuals) sizes.push_back(residual.point.parameters);
  std::sort(sizes.begin(), sizes.end());
  std::array<double, shades.size()> bounds{};
  for (std::size_t i = 0; i < shades.size(); ++i) bounds[i] = sizes[(sizes.size() - 1) * (i + 1) / shades.size()];
  return bounds;
}

}  // namespace

std::string law_plot_svg(const LawFit& fit, const ScalingLaw& law) {
  const auto [first, last] = law.fitted.compute;
  double lowest = 1e300, highest = 0, farthest = 0;
  for (const Residual& residual : fit.residuals) {
    lowest = std::min(lowest, residual.point.loss);
    highest = std::max(highest, residual.point.loss);
    farthest = std::max(farthest, std::abs(std::expm1(residual.log_ratio)));
  }
  const TrainingSize best = optimum(law, Flops(last));
  lowest = std::min(lowest, loss(law, best.parameters, best.tokens));
  const svg::Axis x{first / 1.2, last * 1.2, left, right, true};
  const svg::Axis y{lowest * 0.98, highest * 1.02, loss_bottom, loss_top};
  const double most = 100 * std::max(0.005, farthest) * 1.05;
  const svg::Axis error{-most, most, error_bottom, error_top};

  const auto bounds = size_bounds(fit);
  const auto colour_of = [&](const Residual& residual) {
    const auto place = std::lower_bound(bounds.begin(), bounds.end() - 1, residual.point.parameters) - bounds.begin();
    return shades[static_cast<std::size_t>(place)];
  };
  std::string drawing = svg::text(left, 36, "Scaling law: " + (law.description.empty() ? law.name : law.description),
                                  {20, svg::ink, "start", "bold"});
  drawing +=
      svg::text(left, 60,
                fmt::format("L = {:.4f} + {:.4g} / N^{:.4f} + {:.4g} / D^{:.4f}; {} points, median error {:.2f}%",
                            fit.loss.E, fit.loss.A, fit.loss.alpha, fit.loss.B, fit.loss.beta, fit.residuals.size(),
                            100 * fit.median_residual),
                {13, svg::faint_ink});
  drawing += grid(x, y, false) + grid(x, error, true);
  std::vector<svg::Point> curve;
  constexpr int steps = 60;
  for (int i = 0; i <= steps; ++i) {
    const double budget = first * std::pow(last / first, static_cast<double>(i) / steps);
    const TrainingSize size = optimum(law, Flops(budget));
    const double value = loss(law, size.parameters, size.tokens);
    if (y.holds(value)) curve.push_back({x(budget), y(value)});
  }
  for (const Residual& residual : fit.residuals) {
    const std::string title =
        fmt::format("{:.3g} parameters, {:.3g} tokens: {:.4f}, fitted {:.4f}", residual.point.parameters,
                    residual.point.tokens, residual.point.loss, residual.predicted);
    drawing += dot(x(budget_of(residual)), y(residual.point.loss), colour_of(residual), title);
    drawing += dot(x(budget_of(residual)), error(100 * std::expm1(residual.log_ratio)), colour_of(residual), title);
  }
  drawing += svg::path(curve, svg::ink, 2);
  drawing += svg::line({left, error(0)}, {right, error(0)}, svg::ink, 1);
  drawing += svg::upright_text(30, (loss_top + loss_bottom) / 2, "loss, nats a token", {13, svg::ink});
  drawing += svg::upright_text(30, (error_top + error_bottom) / 2, "measured over fitted", {13, svg::ink});
  drawing += svg::text((left + right) / 2, error_bottom + 44,
                       "FLOPs of training (6 N D); line: the best sizes of each budget", {13, svg::ink, "middle"});
  double at = left;
  for (std::size_t i = 0; i < shades.size(); ++i) {
    drawing += fmt::format("<circle cx=\"{:.0f}\" cy=\"{:.0f}\" r=\"5\" fill=\"{}\"/>\n", at + 6, 76.0, shades[i]);
    drawing += svg::text(at + 16, 80, fmt::format("N up to {:.2g}", bounds[i]), {12, svg::faint_ink});
    at += 130;
  }
  return svg::document(width, height, drawing);
}

}  // namespace stepcast
