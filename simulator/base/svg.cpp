#include "simulator/base/svg.hpp"

#include <cmath>

#include <fmt/format.h>

namespace stepcast::svg {
namespace {

constexpr double wanted_ticks = 6;

/// 1, 2 or 5 times a power of ten, such that about `wanted_ticks` of them fill the span.
double step_of(double span) {
  const double rough = span / wanted_ticks;
  const double decade = std::pow(10, std::floor(std::log10(rough)));
  for (double step : {1.0, 2.0, 5.0})
    if (decade * step >= rough) return decade * step;
  return decade * 10;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string safe;
  for (char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return safe;
}

std::string text(double x, double y, std::string_view words, const TextStyle& style) {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" fill=\"{}\" text-anchor=\"{}\" font-weight=\"{}\">{}</text>\n",
      x, y, style.size, style.colour, style.anchor, style.weight, escaped(words));
}

std::string upright_text(double x, double y, std::string_view words, const TextStyle& style) {
  return fmt::format(
      "<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\" font-size=\"{}\" fill=\"{}\" text-anchor=\"middle\" "
      "font-weight=\"{}\">{}</text>\n",
      x, y, style.size, style.colour, style.weight, escaped(words));
}

std::string line(Point a, Point b, const char* colour, double width, std::string_view more) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"{}\" {}/>\n", a.x,
      a.y, b.x, b.y, colour, width, more);
}

std::string path(const std::vector<Point>& points, const char* colour, double width, std::string_view more) {
  std::string d;
  for (const Point& p : points) d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : " L", p.x, p.y);
  return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\" {}/>\n",
                     d, colour, width, more);
}

double Axis::operator()(double value) const {
  const double share = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return from + (to - from) * share;
}

bool Axis::holds(double value) const {
  const double slack = 1e-9 * (logarithmic ? value : high - low);
  return value >= low - slack && value <= high + slack;
}

std::vector<double> Axis::ticks() const {
  std::vector<double> ticks;
  if (!logarithmic) {
    const double step = step_of(high - low);
    for (double tick = std::ceil(low / step - 1e-9) * step; holds(tick); tick += step) ticks.push_back(tick);
    return ticks;
  }
  for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10)
    for (double step : {1.0, 2.0, 5.0})
      if (holds(decade * step)) ticks.push_back(decade * step);
  return ticks;
}

std::string document(double width, double height, std::string_view content) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n{2}</svg>\n",
      width, height, content);
}

}  // namespace stepcast::svg
