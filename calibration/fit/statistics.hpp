#pragma once
/// How far predictions are from measurements.

#include <cmath>
#include <cstddef>
#include <vector>

namespace stepcast {

/// Of relative errors |predicted / measured - 1|; bias is the mean of log(predicted / measured), as a relative error.
struct ErrorSummary {
  std::size_t n = 0;
  double median = 0, mean = 0, p90 = 0, bias = 0;
};

/// @param log_errors log(predicted / measured)
ErrorSummary summary_of(const std::vector<double>& log_errors);

/// The weighted mean of |log_error(sample)| over the samples that are not held out: what a fit minimises.
template <class Samples, class LogError>
double fitted_error(const Samples& samples, const LogError& log_error) {
  double sum = 0, weight = 0;
  for (const auto& sample : samples) {
    if (sample.held_out) continue;
    sum += sample.weight * std::abs(log_error(sample));
    weight += sample.weight;
  }
  return sum / weight;
}

/// The value below which half of the weight lies. @param values value and weight; at least one
double weighted_median(std::vector<std::pair<double, double>> values);

}  // namespace stepcast
