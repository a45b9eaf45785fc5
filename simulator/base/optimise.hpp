#pragma once
/// Minimum of a function that is not smooth, over a box.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace stepcast {

/// A constant to be found, inside its physical range.
struct Unknown {
  std::string name;
  double low = 0, high = 1;
  double start = 0;
};

struct Effort {
  int global = 0;   ///< evaluations of the global search (controlled random search); 0: none
  int local = 400;  ///< evaluations of the local search that follows (Sbplx)
};

/// The unknowns' values at the lowest point found. The same seed finds the same point.
std::vector<double> minimise(const std::function<double(const std::vector<double>&)>& objective,
                             const std::vector<Unknown>& unknowns, const Effort& effort, std::uint64_t seed);

/// Writes the gradient at a point and returns the value there.
using SmoothFunction = std::function<double(const std::vector<double>& at, std::vector<double>& gradient)>;

/// Downhill from `start` to where a smooth function is level (L-BFGS); the lowest point found on the way.
std::vector<double> minimise_smooth(const SmoothFunction& function, const std::vector<double>& start,
                                    int evaluations = 500);

/// The lowest point of a function of one number with one valley, perhaps between plateaus: the best of a grid, then golden
/// section. Infinity stands for where there is no value.
double lowest_point(const std::function<double(double)>& value, double from, double to);

}  // namespace stepcast
