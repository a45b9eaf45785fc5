#include "simulator/base/optimise.hpp"

#include <algorithm>

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

}  // namespace stepcast
