#include "simulator/profiles/residual_surface.hpp"

#include <algorithm>

namespace stepcast {
namespace {

/// Cell of an axis and the place inside it, 0..1; beyond the ends the end itself.
struct Place {
  std::size_t cell;
  double share;
};

Place place_on(const std::vector<double>& axis, double x) {
  if (axis.size() < 2 || x <= axis.front()) return {0, 0};
  if (x >= axis.back()) return {axis.size() - 2, 1};
  const auto above = std::upper_bound(axis.begin(), axis.end(), x);
  const auto cell = static_cast<std::size_t>(above - axis.begin()) - 1;
  return {cell, (x - axis[cell]) / (axis[cell + 1] - axis[cell])};
}

}  // namespace

ResidualSurface::Value ResidualSurface::at(double log2_m, double log2_n, double log2_k) const {
  if (empty()) return {};
  const Place place[3] = {place_on(axes[0], log2_m), place_on(axes[1], log2_n), place_on(axes[2], log2_k)};
  Value value{0, true};
  for (unsigned corner = 0; corner < 8; ++corner) {
    double weight = 1;
    std::size_t index = 0;
    for (unsigned axis = 0; axis < 3; ++axis) {
      const bool upper = corner >> axis & 1U;
      weight *= upper ? place[axis].share : 1 - place[axis].share;
      index = index * axes[axis].size() + std::min(place[axis].cell + upper, axes[axis].size() - 1);
    }
    if (weight == 0) continue;
    value.log_ratio += weight * log_ratio[index];
    if (weight > 0.1 && !support.empty() && support[index] == 0) value.supported = false;
  }
  return value;
}

}  // namespace stepcast
