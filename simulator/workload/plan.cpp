#include "simulator/workload/plan.hpp"

#include <cmath>

namespace stepcast {

int ParallelPlan::tensor_side() const {
  const auto root = [&](double of, double power) { return static_cast<int>(std::lround(std::pow(of, 1 / power))); };
  if (tensor_grid == "1d") return 1;
  return tensor_grid == "3d" ? root(tensor_parallel, 3) : root(static_cast<double>(tensor_parallel) / tensor_depth, 2);
}

}  // namespace stepcast
