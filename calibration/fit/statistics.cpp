#include "calibration/fit/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"

namespace stepcast {

ErrorSummary summary_of(const std::vector<double>& log_errors) {
  ErrorSummary summary;
  summary.n = log_errors.size();
  if (log_errors.empty()) return summary;
  std::vector<double> errors;
  double log_sum = 0, sum = 0;
  for (const double e : log_errors) {
    errors.push_back(std::abs(std::expm1(e)));
    sum += errors.back();
    log_sum += e;
  }
  std::sort(errors.begin(), errors.end());
  const double n = static_cast<double>(errors.size());
  summary.median = errors[errors.size() / 2];
  summary.p90 = errors[std::min(errors.size() - 1, errors.size() * 9 / 10)];
  summary.mean = sum / n;
  summary.bias = std::expm1(log_sum / n);
  return summary;
}

double weighted_median(std::vector<std::pair<double, double>> values) {
  CHECK(!values.empty(), "a median is taken of something");
  std::sort(values.begin(), values.end());
  double total = 0;
  for (const auto& [value, weight] : values) total += weight;
  double below = 0;
  for (const auto& [value, weight] : values) {
    below += weight;
    if (2 * below >= total) return value;
  }
  return values.back().first;
}

}  // namespace stepcast
