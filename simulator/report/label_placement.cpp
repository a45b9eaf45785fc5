#include "simulator/report/label_placement.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace stepcast {
namespace {

constexpr double margin = 3;   // between a label and anything else
constexpr double grid = 7;     // of the places that are tried
constexpr double beside = 14;  // nearer than this a label needs no line

bool overlap(const PlotBox& a, const PlotBox& b) {
  return a.left < b.right + margin && b.left < a.right + margin && a.top < b.bottom + margin &&
         b.top < a.bottom + margin;
}

PlotPoint nearest(const PlotBox& box, PlotPoint p) {
  return {std::clamp(p.x, box.left, box.right), std::clamp(p.y, box.top, box.bottom)};
}

double distance(PlotPoint a, PlotPoint b) { return std::hypot(a.x - b.x, a.y - b.y); }

/// On which side of the line from `a` to `b` the point lies.
double side(PlotPoint a, PlotPoint b, PlotPoint p) { return (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x); }

bool cross(PlotPoint a, PlotPoint b, PlotPoint c, PlotPoint d) {
  return side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
}

bool crosses(PlotPoint a, PlotPoint b, const PlotBox& box) {
  const std::array<PlotPoint, 4> corners{
      {{box.left, box.top}, {box.right, box.top}, {box.right, box.bottom}, {box.left, box.bottom}}};
  for (std::size_t i = 0; i < corners.size(); ++i)
    if (cross(a, b, corners[i], corners[(i + 1) % corners.size()])) return true;
  return false;
}

}  // namespace

bool LabelPlacement::is_free(const PlotBox& box) const {
  if (box.left < frame_.left || box.right > frame_.right || box.top < frame_.top || box.bottom > frame_.bottom)
    return false;
  for (const PlotBox& other : boxes_)
    if (overlap(box, other)) return false;
  for (const PlotDisc& disc : discs_)
    if (distance(nearest(box, disc.centre), disc.centre) < disc.radius + margin) return false;
  for (const Segment& line : leaders_)
    if (crosses(line.a, line.b, box)) return false;
  return true;
}

bool LabelPlacement::is_free(const Segment& line) const {
  for (const PlotBox& box : boxes_)
    if (crosses(line.a, line.b, box)) return false;
  for (const Segment& other : leaders_)
    if (cross(line.a, line.b, other.a, other.b)) return false;
  return true;
}

std::optional<PlacedLabel> LabelPlacement::place(const PlotDisc& disc, double width, double height) {
  std::optional<PlacedLabel> best;
  double shortest = 0;
  for (double top = frame_.top; top + height <= frame_.bottom; top += grid) {
    for (double left = frame_.left; left + width <= frame_.right; left += grid) {
      const PlotBox box{left, top, left + width, top + height};
      const PlotPoint end = nearest(box, disc.centre);
      const double gap = distance(end, disc.centre) - disc.radius;
      if (gap < margin || (best && gap >= shortest) || !is_free(box)) continue;
      const double share = disc.radius / (disc.radius + gap);
      const PlotPoint edge{disc.centre.x + (end.x - disc.centre.x) * share,
                           disc.centre.y + (end.y - disc.centre.y) * share};
      if (gap > beside && !is_free(Segment{edge, end})) continue;
      best = PlacedLabel{box, gap > beside ? std::optional(end) : std::nullopt};
      shortest = gap;
    }
  }
  if (best) {
    boxes_.push_back(best->box);
    if (best->leader) leaders_.push_back({disc.centre, *best->leader});
  }
  return best;
}

}  // namespace stepcast
