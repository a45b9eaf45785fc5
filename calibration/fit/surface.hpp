#pragma once
/// From residuals to the coarse surface that a profile carries.

#include <array>
#include <vector>

#include "simulator/profiles/residual_surface.hpp"

namespace stepcast {

/// What the formula left over at one place.
struct Residual {
  std::array<double, 3> log2_size;
  double log_ratio = 0;  ///< log(measured / model)
  double weight = 1;
};

/// Penalised least squares on the surface's own trilinear basis, robust against outliers (Huber): a ridge pulls
/// thinly supported points to zero and a penalty on differences to their neighbours.
/// The grid has at most `most` points an axis, and no more than the residuals support.
ResidualSurface fit_surface(const std::vector<Residual>& residuals, int most = 7);

}  // namespace stepcast
