#pragma once
/// Measured against fitted times, as a picture.

#include <string>

#include "calibration/fit/fit.hpp"

namespace stepcast {

/// An SVG: one point a measurement, both axes logarithmic, a band of 10% on either side of the diagonal. Kinds have
/// colours; what was held out is drawn, what was fitted is left out.
std::string plot_svg(const Fit& fit, const std::string& title);

}  // namespace stepcast
