#include "simulator/base/optimise.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlopt.hpp>

#include "simulator/base/error.hpp"

namespace stepcast {

std::vector<double> minimise(const std::function<double(const std::vector<double>&)>& objective,
                             const std::vector<Unknown>& unknowns, const Effort& effort, std::uint64_t seed) {
  const auto n = static_cast<unsigned>(unknowns.size());
  // The search sees the unit cube.
  const auto inside = [&](const std::vector<double>& unit) {
    std::vector<double> values(unit.size());
    for (std::size_t i = 0; i < unit.size(); ++i)
      values[i] = unknowns[i].low + unit[i] * (unknowns[i].high - unknowns[i].low);
    return values;
  };
  std::vector<double> best(n);
  for (unsigned i = 0; i < n; ++i) {
    CHECK(unknowns[i].low < unknowns[i].high, "an unknown has a range");
    best[i] = std::clamp((unknowns[i].start - unknowns[i].low) / (unknowns[i].high - unknowns[i].low), 0.0, 1.0);
  }
  if (n == 0) return best;

  double lowest = objective(inside(best));
  const nlopt::vfunc evaluate = [](const std::vector<double>& unit, std::vector<double>&, void* data) {
    return (*static_cast<std::function<double(const std::vector<double>&)>*>(data))(unit);
  };
  std::function<double(const std::vector<double>&)> remembered = [&](const std::vector<double>& unit) {
    const double value = objective(inside(unit));
    if (value < lowest) {
      lowest = value;
      best = unit;
    }
    return value;
  };
  const auto search = [&](nlopt::algorithm algorithm, int evaluations, double step) {
    if (evaluations <= 0) return;
    nlopt::srand(static_cast<unsigned long>(seed));
    nlopt::opt opt(algorithm, n);
    opt.set_lower_bounds(0.0);
    opt.set_upper_bounds(1.0);
    opt.set_min_objective(evaluate, &remembered);
    opt.set_maxeval(evaluations);
    opt.set_ftol_rel(1e-6);
    if (step > 0) opt.set_initial_step(step);
    std::vector<double> unit = best;
    double value = 0;
    try {
      opt.optimize(unit, value);
    } catch (const nlopt::roundoff_limited&) {
      // As near as it gets; `best` has it.
    }
  };
  search(nlopt::GN_CRS2_LM, effort.global, 0);
  search(nlopt::LN_SBPLX, effort.local, 0.1);
  return inside(best);
}

std::vector<double> minimise_smooth(const SmoothFunction& function, const std::vector<double>& start, int evaluations) {
  struct Lowest {
    const SmoothFunction& function;
    std::vector<double> at, gradient;
    double value;
  };
  Lowest lowest{function, start, std::vector<double>(start.size()), std::numeric_limits<double>::infinity()};
  nlopt::opt opt(nlopt::LD_LBFGS, static_cast<unsigned>(start.size()));
  opt.set_min_objective(
      [](const std::vector<double>& at, std::vector<double>& gradient, void* data) {
        Lowest& found = *static_cast<Lowest*>(data);
        const double value = found.function(at, found.gradient);
        if (value < found.value) found.value = value, found.at = at;
        if (!gradient.empty()) gradient = found.gradient;
        return value;
      },
      &lowest);
  opt.set_maxeval(evaluations);
  opt.set_ftol_rel(1e-12);
  opt.set_vector_storage(10);
  std::vector<double> at = start;
  double value = 0;
  try {
    opt.optimize(at, value);
  } catch (const nlopt::roundoff_limited&) {
    // As near as it gets.
  } catch (const std::runtime_error&) {
    // A line search that found nothing lower: `lowest` has what there is.
  }
  return lowest.at;
}

double lowest_point(const std::function<double(double)>& value, double from, double to) {
  CHECK(from < to, "a search has a range");
  constexpr int cells = 256;
  const double cell = (to - from) / cells;
  double best = from, lowest = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= cells; ++i) {
    const double x = from + i * cell, y = value(x);
    if (y < lowest) lowest = y, best = x;
  }
  constexpr double golden = 0.6180339887498949;
  double low = std::max(from, best - cell), high = std::min(to, best + cell);
  double a = high - golden * (high - low), b = low + golden * (high - low), at_a = value(a), at_b = value(b);
  while (high - low > 1e-10 * std::max(1.0, std::abs(best))) {
    if (at_a <= at_b) {
      high = b, b = a, at_b = at_a;
      a = high - golden * (high - low), at_a = value(a);
    } else {
      low = a, a = b, at_a = at_b;
      b = low + golden * (high - low), at_b = value(b);
    }
  }
  const double middle = 0.5 * (low + high);
  return value(middle) <= lowest ? middle : best;
}

}  // namespace stepcast
