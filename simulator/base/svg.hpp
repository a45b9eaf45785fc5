#pragma once
/// Parts of drawings: text, lines, axes and the document around them.

#include <string>
#include <string_view>
#include <vector>

namespace stepcast::svg {

struct Point {
  double x = 0, y = 0;
};

inline constexpr const char* ink = "#1f2933";
inline constexpr const char* faint_ink = "#7b8794";
inline constexpr const char* grid_ink = "#e4e7eb";

/// Okabe and Ito's colours, which colour-blind readers tell apart.
inline constexpr const char* colours[] = {"#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#999999"};

/// Text that a file brought, as XML: no markup, no control characters.
std::string escaped(std::string_view text);

struct TextStyle {
  double size = 12;
  const char* colour = ink;
  const char* anchor = "start";
  const char* weight = "normal";
};
std::string text(double x, double y, std::string_view words, const TextStyle& style = {});
/// Reads upwards, its middle at (x, y).
std::string upright_text(double x, double y, std::string_view words, const TextStyle& style = {});
/// @param more  attributes
std::string line(Point a, Point b, const char* colour, double width, std::string_view more = "");
std::string path(const std::vector<Point>& points, const char* colour, double width, std::string_view more = "");

/// Values from `low` to `high` over a range of pixels.
struct Axis {
  double low = 0, high = 1, from = 0, to = 1;
  bool logarithmic = false;

  double operator()(double value) const;
  bool holds(double value) const;
  /// Round values inside the axis: 1, 2 and 5 of every decade, or steps of such.
  std::vector<double> ticks() const;
};

std::string document(double width, double height, std::string_view content);

}  // namespace stepcast::svg
