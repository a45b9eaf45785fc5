#pragma once
/// Places the labels of a plot so that none covers a point, another label or a line that leads to one.

#include <optional>
#include <vector>

#include "simulator/base/svg.hpp"

namespace stepcast {

using PlotPoint = svg::Point;

/// Corners; y grows downwards, as on a screen.
struct PlotBox {
  double left = 0, top = 0, right = 0, bottom = 0;
};

struct PlotDisc {
  PlotPoint centre;
  double radius = 0;
};

/// Where a label went, and from where a line leads to its disc (none when it stands right beside it).
struct PlacedLabel {
  PlotBox box;
  std::optional<PlotPoint> leader;
};

class LabelPlacement {
 public:
  /// @param frame  labels stay inside
  /// @param discs  no label covers any of them
  LabelPlacement(PlotBox frame, std::vector<PlotDisc> discs) : frame_(frame), discs_(std::move(discs)) {}

  /// No label covers this either.
  void keep_free(PlotBox box) { boxes_.push_back(box); }

  /// Puts a label of that size near a disc, as near as what was placed before allows; none when there is no room.
  std::optional<PlacedLabel> place(const PlotDisc& disc, double width, double height);

 private:
  struct Segment {
    PlotPoint a, b;
  };
  bool is_free(const PlotBox& box) const;
  bool is_free(const Segment& line) const;

  PlotBox frame_;
  std::vector<PlotDisc> discs_;
  std::vector<PlotBox> boxes_;
  std::vector<Segment> leaders_;
};

}  // namespace stepcast
