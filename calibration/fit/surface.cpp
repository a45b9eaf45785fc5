#include "calibration/fit/surface.hpp"

#include <algorithm>
#include <cmath>

namespace stepcast {
namespace {

/// Weight of the pull to zero and to the neighbours, in measurements of average weight.
constexpr double ridge = 1;
constexpr double smoothness = 2;
constexpr double residuals_per_point = 6;  ///< of the grid, at least
constexpr double huber = 0.05;             ///< residuals beyond count linearly
constexpr int passes = 6;

/// From the second to the last but second percent of the weight: sizes that hardly count get no points of their own.
std::vector<double> axis_of(std::vector<std::pair<double, double>> values, int points) {
  std::sort(values.begin(), values.end());
  double total = 0;
  for (const auto& [value, weight] : values) total += weight;
  const auto quantile = [&](double share) {
    double below = 0;
    for (const auto& [value, weight] : values)
      if ((below += weight) >= share * total) return value;
    return values.back().first;
  };
  const double low = std::floor(2 * quantile(0.02)) / 2;
  const double high = std::ceil(2 * quantile(0.98)) / 2;
  // No finer than a factor of two.
  points = std::clamp(points, 1, 1 + static_cast<int>(high - low));
  std::vector<double> axis;
  for (int i = 0; i < points; ++i)
    axis.push_back(points == 1 ? (low + high) / 2 : std::round(10 * (low + (high - low) * i / (points - 1))) / 10);
  return axis;
}

struct Corner {
  std::size_t index;
  double share;
};

/// The grid points around a place and their shares: those of ResidualSurface::at().
std::array<Corner, 8> corners_of(const ResidualSurface& surface, const std::array<double, 3>& place) {
  std::array<std::size_t, 3> cell{};
  std::array<double, 3> share{};
  for (unsigned a = 0; a < 3; ++a) {
    const auto& axis = surface.axes[a];
    if (axis.size() < 2 || place[a] <= axis.front()) continue;
    const auto above = std::upper_bound(axis.begin(), axis.end() - 1, place[a]);
    cell[a] = static_cast<std::size_t>(above - axis.begin()) - 1;
    share[a] = std::min(1.0, (place[a] - axis[cell[a]]) / (axis[cell[a] + 1] - axis[cell[a]]));
  }
  std::array<Corner, 8> corners{};
  for (unsigned corner = 0; corner < 8; ++corner) {
    double weight = 1;
    std::size_t index = 0;
    for (unsigned a = 0; a < 3; ++a) {
      const bool upper = corner >> a & 1U;
      weight *= upper ? share[a] : 1 - share[a];
      index = index * surface.axes[a].size() + std::min(cell[a] + upper, surface.axes[a].size() - 1);
    }
    corners[corner] = {index, weight};
  }
  return corners;
}

/// Solves the symmetric positive definite system in place (Cholesky).
void solve(std::vector<double>& matrix, std::vector<double>& right) {
  const std::size_t n = right.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) matrix[j * n + j] -= matrix[j * n + k] * matrix[j * n + k];
    const double pivot = std::sqrt(std::max(matrix[j * n + j], 1e-12));
    matrix[j * n + j] = pivot;
    for (std::size_t i = j + 1; i < n; ++i) {
      double sum = matrix[i * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= matrix[i * n + k] * matrix[j * n + k];
      matrix[i * n + j] = sum / pivot;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) right[i] -= matrix[i * n + k] * right[k];
    right[i] /= matrix[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) right[i] -= matrix[k * n + i] * right[k];
    right[i] /= matrix[i * n + i];
  }
}

void add_neighbours(const ResidualSurface& surface, std::vector<double>& matrix, std::size_t n) {
  const std::array<std::size_t, 3> size{surface.axes[0].size(), surface.axes[1].size(), surface.axes[2].size()};
  const std::array<std::size_t, 3> stride{size[1] * size[2], size[2], 1};
  for (std::size_t index = 0; index < n; ++index) {
    for (unsigned a = 0; a < 3; ++a) {
      if (index / stride[a] % size[a] + 1 == size[a]) continue;
      const std::size_t next = index + stride[a];
      matrix[index * n + index] += smoothness;
      matrix[next * n + next] += smoothness;
      matrix[index * n + next] -= smoothness;
      matrix[next * n + index] -= smoothness;
    }
  }
}

}  // namespace

ResidualSurface fit_surface(const std::vector<Residual>& residuals, int most) {
  ResidualSurface surface;
  if (residuals.empty()) return surface;
  int points = most;
  while (points > 1 && points * points * points * residuals_per_point > static_cast<double>(residuals.size())) --points;
  for (unsigned a = 0; a < 3; ++a) {
    std::vector<std::pair<double, double>> values;
    for (const Residual& residual : residuals) values.emplace_back(residual.log2_size[a], residual.weight);
    surface.axes[a] = axis_of(std::move(values), points);
  }
  const std::size_t n = surface.axes[0].size() * surface.axes[1].size() * surface.axes[2].size();
  surface.log_ratio.assign(n, 0);
  surface.support.assign(n, 0);

  double total = 0;
  std::vector<std::array<Corner, 8>> corners;
  for (const Residual& residual : residuals) {
    total += residual.weight;
    corners.push_back(corners_of(surface, residual.log2_size));
    const auto nearest = std::max_element(corners.back().begin(), corners.back().end(),
                                          [](const Corner& a, const Corner& b) { return a.share < b.share; });
    ++surface.support[nearest->index];
  }
  const double mean_weight = total / static_cast<double>(residuals.size());

  for (int pass = 0; pass < passes; ++pass) {
    std::vector<double> matrix(n * n, 0), right(n, 0);
    for (std::size_t i = 0; i < residuals.size(); ++i) {
      double fitted = 0;
      for (const Corner& corner : corners[i]) fitted += corner.share * surface.log_ratio[corner.index];
      const double off = std::abs(residuals[i].log_ratio - fitted);
      const double weight =
          residuals[i].weight / mean_weight * (pass == 0 ? 1 : std::min(1.0, huber / std::max(off, 1e-9)));
      for (const Corner& a : corners[i]) {
        if (a.share == 0) continue;
        right[a.index] += weight * a.share * residuals[i].log_ratio;
        for (const Corner& b : corners[i]) matrix[a.index * n + b.index] += weight * a.share * b.share;
      }
    }
    add_neighbours(surface, matrix, n);
    for (std::size_t i = 0; i < n; ++i) matrix[i * n + i] += ridge;
    solve(matrix, right);
    surface.log_ratio = right;
  }
  for (double& value : surface.log_ratio) value = std::round(value * 1e3) / 1e3;
  return surface;
}

}  // namespace stepcast
