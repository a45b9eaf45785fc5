#include "simulator/budget/distribution.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

constexpr int histogram_cells = 40;

}  // namespace

Distribution distribution(std::vector<double> values) {
  CHECK(!values.empty(), "a distribution is of values");
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  Distribution of;
  for (const double value : values) of.mean += value / n;
  double squares = 0;
  for (const double value : values) squares += (value - of.mean) * (value - of.mean);
  of.deviation = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
  const auto quantile = [&](double share) {
    const double place = share * (n - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  of.lowest = values.front();
  of.p5 = quantile(0.05);
  of.p10 = quantile(0.10);
  of.p50 = quantile(0.50);
  of.p90 = quantile(0.90);
  of.p95 = quantile(0.95);
  of.highest = values.back();
  return of;
}

Histogram histogram(const std::vector<double>& values) {
  CHECK(!values.empty(), "a distribution is of values");
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  Histogram cells{*lowest, (*highest - *lowest) / histogram_cells, {}};
  if (cells.width <= 0) return {*lowest, 0, {static_cast<int>(values.size())}};
  cells.counts.resize(histogram_cells);
  for (const double value : values) {
    const auto cell = static_cast<int>((value - cells.from) / cells.width);
    ++cells.counts[static_cast<std::size_t>(std::min(cell, histogram_cells - 1))];
  }
  return cells;
}

}  // namespace stepcast
