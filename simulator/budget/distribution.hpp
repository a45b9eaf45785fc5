#pragma once
/// Values of one quantity over many trials, in few numbers.

#include <vector>

namespace stepcast {

/// Values of one quantity over the trials.
struct Distribution {
  double mean = 0;
  double deviation = 0;  ///< of one trial
  double lowest = 0, p5 = 0, p10 = 0, p50 = 0, p90 = 0, p95 = 0, highest = 0;
};

/// Equal cells from `from` on.
struct Histogram {
  double from = 0;
  double width = 0;
  std::vector<int> counts;
};

/// Quantiles lie on the line between the two nearest values. @param values at least one
Distribution distribution(std::vector<double> values);

/// Forty cells from the lowest to the highest value; one where these are the same.
Histogram histogram(const std::vector<double>& values);

}  // namespace stepcast
