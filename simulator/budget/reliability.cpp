#include "simulator/budget/reliability.hpp"

#include <cmath>
#include <limits>

#include "simulator/base/error.hpp"

namespace stepcast {

Seconds mean_time_between_failures(const Reliability& reliability, std::int64_t gpus) {
  CHECK(gpus > 0, "a job runs on GPUs");
  const Hertz rate = reliability.failures_per_gpu.value * static_cast<double>(gpus);
  if (rate <= Hertz(0)) return Seconds(std::numeric_limits<double>::infinity());
  return 1.0 / rate;
}

Hertz per_thousand_node_days(double failures, int gpus_per_node) {
  CHECK(gpus_per_node > 0, "a node has GPUs");
  constexpr double seconds_of_thousand_days = 1000 * 86400.0;
  return Hertz(failures / (seconds_of_thousand_days * gpus_per_node));
}

std::int64_t spare_nodes_needed(const Reliability& reliability, std::int64_t nodes, int gpus_per_node,
                                double probability) {
  CHECK(probability > 0 && probability < 1, "a probability that can be reached");
  const Hertz leave =
      reliability.failures_per_gpu.value * reliability.takes_node.value * static_cast<double>(nodes * gpus_per_node);
  const double mean = leave * reliability.repair.value;
  if (!(mean > 0)) return 0;
  double within = 0;
  for (std::int64_t spares = 0;; ++spares) {
    const auto k = static_cast<double>(spares);
    within += std::exp(k * std::log(mean) - mean - std::lgamma(k + 1));
    if (1 - within <= probability || spares >= nodes) return spares;
  }
}

}  // namespace stepcast
