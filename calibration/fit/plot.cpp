#include "calibration/fit/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "simulator/base/svg.hpp"

namespace stepcast {
namespace {

constexpr double width = 760, height = 720;
constexpr double left = 84, right = 24, top = 64, bottom = 64;
constexpr double side_x = width - left - right, side_y = height - top - bottom;
constexpr std::size_t most_points = 2500;  ///< of one kind: more only make the file larger

/// Colours that remain apart for colour-blind readers (Okabe and Ito 2008).
constexpr std::array<const char*, 7> colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                             "#e69f00", "#56b4e9", "#555555"};

std::string decade_label(int exponent) {  // of microseconds
  static constexpr std::array units{"ns", "us", "ms", "s"};
  const int group = static_cast<int>(std::floor(exponent / 3.0));
  const int unit = group + 1;
  if (unit < 0 || unit >= static_cast<int>(units.size())) return fmt::format("1e{} us", exponent);
  return fmt::format("{} {}", static_cast<int>(std::round(std::pow(10, exponent - 3 * group))),
                     units[static_cast<std::size_t>(unit)]);
}

}  // namespace

std::string plot_svg(const Fit& fit, const std::string& title) {
  std::map<std::string, std::vector<const PlotPoint*>> kinds;
  for (const PlotPoint& point : fit.points)
    if (point.held_out) kinds[point.what].push_back(&point);
  double low = 1e30, high = 0;
  for (const auto& [what, points] : kinds) {
    for (const PlotPoint* point : points) {
      low = std::min({low, point->measured_us, point->fitted_us});
      high = std::max({high, point->measured_us, point->fitted_us});
    }
  }
  if (kinds.empty()) low = 1, high = 10;
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = std::max(first + 1, static_cast<int>(std::ceil(std::log10(high))));
  const double span = last - first;
  const auto x_of = [&](double log10_us) { return left + (log10_us - first) / span * side_x; };
  const auto y_of = [&](double log10_us) { return top + side_y - (log10_us - first) / span * side_y; };

  std::string svg = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222">
<title>{2}</title>
<rect width="{0}" height="{1}" fill="#fff"/>
<clipPath id="frame"><rect x="{3}" y="{4}" width="{5}" height="{6}"/></clipPath>
<text x="{3}" y="30" font-size="17" font-weight="bold">{2}</text>
<text x="{3}" y="50" fill="#666">time of one kernel, measured against fitted; only measurements that were held out of the fit; band: 10%</text>
)",
      width, height, svg::escaped(title), left, top, side_x, side_y);
  for (int decade = first; decade <= last; ++decade) {
    if (decade < last)
      for (int i = 2; i < 10; ++i) {
        const double minor = decade + std::log10(i);
        svg += fmt::format(R"(<path d="M{0:.1f} {1}V{2}M{3} {4:.1f}H{5}" stroke="#f3f3f3"/>)", x_of(minor), top,
                           top + side_y, left, y_of(minor), left + side_x);
      }
    svg += fmt::format(R"(
<path d="M{0:.1f} {1}V{2}M{3} {4:.1f}H{5}" stroke="#dcdcdc"/>
<text x="{0:.1f}" y="{6}" text-anchor="middle">{8}</text>
<text x="{7}" y="{9:.1f}" text-anchor="end">{8}</text>
)",
                       x_of(decade), top, top + side_y, left, y_of(decade), left + side_x, top + side_y + 20, left - 8,
                       decade_label(decade), y_of(decade) + 4);
  }
  const double band = std::log10(1.1);
  svg += fmt::format(
      R"svg(<g clip-path="url(#frame)">
<path d="M{0:.1f} {1:.1f}L{2:.1f} {3:.1f}L{2:.1f} {4:.1f}L{0:.1f} {5:.1f}Z" fill="#000" fill-opacity="0.08"/>
<path d="M{0:.1f} {6:.1f}L{2:.1f} {7:.1f}" stroke="#888"/>
)svg",
      x_of(first), y_of(first + band), x_of(last), y_of(last + band), y_of(last - band), y_of(first - band),
      y_of(first), y_of(last));

  std::size_t colour = 0;
  std::string legend;
  double y = top + 22;
  for (const auto& [what, points] : kinds) {
    const char* const fill = colours[colour++ % colours.size()];
    svg += fmt::format(R"(<g fill="{}" fill-opacity="{}">)", fill, points.size() > 400 ? 0.3 : 0.6);
    const std::size_t stride = std::max<std::size_t>(1, (points.size() + most_points - 1) / most_points);
    std::vector<double> errors;
    for (std::size_t i = 0; i < points.size(); ++i) {
      errors.push_back(std::log(points[i]->fitted_us / points[i]->measured_us));
      if (i % stride == 0)
        svg += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="2"/>)", x_of(std::log10(points[i]->measured_us)),
                           y_of(std::log10(points[i]->fitted_us)));
    }
    svg += "</g>\n";
    const ErrorSummary summary = summary_of(errors);
    legend +=
        fmt::format(R"(<circle cx="{}" cy="{}" r="5" fill="{}"/><text x="{}" y="{}">{}: {} points, median {:.1f}%</text>
)",
                    left + 18, y - 4, fill, left + 30, y, svg::escaped(what), summary.n, 100 * summary.median);
    y += 20;
  }
  svg += "</g>\n";
  svg += fmt::format(R"(<rect x="{}" y="{}" width="310" height="{}" fill="#fff" fill-opacity="0.85" stroke="#dcdcdc"/>
)",
                     left + 6, top + 6, y - top - 12) +
         legend;
  svg += fmt::format(R"svg(<rect x="{0}" y="{1}" width="{2}" height="{3}" fill="none" stroke="#888"/>
<text x="{4}" y="{5}" text-anchor="middle">measured</text>
<text transform="translate(22 {6}) rotate(-90)" text-anchor="middle">fitted</text>
</svg>
)svg",
                     left, top, side_x, side_y, left + side_x / 2, height - 18, top + side_y / 2);
  return svg;
}

}  // namespace stepcast
