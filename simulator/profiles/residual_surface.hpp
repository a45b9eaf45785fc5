#pragma once
/// What measurements say beyond a model's formula: a correction in log space on a coarse grid of sizes.

#include <array>
#include <string>
#include <vector>

#include "simulator/profiles/sourced.hpp"

namespace stepcast {

/// time = model * exp(surface(log2 m, log2 n, log2 k)), trilinear between grid points and constant beyond the grid.
struct ResidualSurface {
  std::array<std::vector<double>, 3> axes;  ///< log2 of m, n, k at the grid points, increasing
  std::vector<double> log_ratio;            ///< measured / model in natural log; k runs fastest, then n, then m
  std::vector<int> support;                 ///< measurements near each grid point; 0: an extrapolation
  Basis basis = Basis::fitted;
  std::string source;

  bool empty() const { return log_ratio.empty(); }

  /// The correction at a point, and whether measurements surround it.
  struct Value {
    double log_ratio = 0;
    bool supported = false;
  };
  Value at(double log2_m, double log2_n, double log2_k) const;
};

}  // namespace stepcast
