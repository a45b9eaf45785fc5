#include "simulator/simulate.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "simulator/execution/execute.hpp"

namespace stepcast {
namespace {

Disturbances disturbances_of(const Job& job, const ExecutionOptions& options) {
  if (options.fold) return {};
  Disturbances found;
  found.seed = options.seed;
  if (options.jitter) {
    found.speed = *job.cluster.gpu.speed_spread;
    found.launch = *job.cluster.gpu.launch_spread;
  }
  for (const Fault& fault : job.faults) {
    if (fault.of_nic() || fault.failed) continue;
    const std::int64_t node_gpus = std::max(1, job.cluster.gpus_per_node);
    const std::int64_t first = fault.gpu ? *fault.gpu : *fault.node * node_gpus;
    const std::int64_t last = fault.gpu ? first : std::min(first + node_gpus, job.cluster.gpus) - 1;
    for (std::int64_t gpu = first; gpu <= last; ++gpu) found.slow.try_emplace(gpu, 1).first->second *= fault.speed;
  }
  return found;
}

Timeline run_events(const Programs& programs, const Job& job, const ExecutionOptions& options,
                    const Disturbances& disturbances, std::span<const Fault> faults) {
  if (!options.contention) return events(programs, options, disturbances);
  const Interconnect interconnect = ports_of(job.cluster, options.fold, faults);
  return events(programs, options, disturbances, &interconnect);
}

}  // namespace

ExecutionOptions needed_options(const Job& job, ExecutionOptions options) {
  if (job.faults.empty() && options.steps <= 1) return options;
  options.executor = Executor::events;
  options.fold = false;
  const bool links = std::any_of(job.faults.begin(), job.faults.end(), [](const Fault& f) { return f.of_nic(); });
  options.contention = options.contention || links;
  return options;
}

std::string broken_reason(const Job& job) {
  std::map<std::int64_t, int> failed_nics;
  for (const Fault& fault : job.faults) {
    if (!fault.failed) continue;
    if (fault.gpu) {
      return fmt::format("GPU {} (node {}) has failed and the job uses all {}: go on without its node", *fault.gpu,
                         *fault.gpu / std::max(1, job.cluster.gpus_per_node), job.cluster.gpus);
    }
    if (!fault.of_nic()) {
      return fmt::format("node {} has failed and the job uses all {} GPUs: go on without it", *fault.node,
                         job.cluster.gpus);
    }
    if (++failed_nics[*fault.node] == job.cluster.fabric.nics_per_node) {
      return fmt::format("every NIC of node {} has failed: nothing reaches it", *fault.node);
    }
  }
  return "";
}

Simulated simulate(const Programs& programs, const Job& job, const ExecutionOptions& options) {
  if (options.executor == Executor::dataflow) return {dataflow(programs, options), {}, {}};
  Disturbances disturbances = disturbances_of(job, options);
  Simulated result;
  if (options.steps > 1) {
    ExecutionOptions quiet = options;
    quiet.record_spans = quiet.critical_path = false;
    std::vector<std::pair<Seconds, std::int64_t>> order;
    for (disturbances.step = 0; disturbances.step < options.steps; ++disturbances.step) {
      result.steps.push_back(run_events(programs, job, quiet, disturbances, job.faults).step.seconds());
      order.emplace_back(result.steps.back(), disturbances.step);
    }
    std::nth_element(order.begin(), order.begin() + (options.steps - 1) / 2, order.end());
    disturbances.step = order[static_cast<std::size_t>(options.steps - 1) / 2].second;
  }
  result.timeline = run_events(programs, job, options, disturbances, job.faults);
  if (disturbances.any() || !job.faults.empty()) {
    ExecutionOptions whole = options;
    whole.record_spans = whole.critical_path = false;
    // One rank stands for all of its stage again, where stages do not share nodes.
    whole.fold = programs.grid.ranks_per_stage() % std::max(1, job.cluster.gpus_per_node) == 0;
    result.undisturbed = run_events(programs, job, whole, {}, {}).step.seconds();
  }
  return result;
}

}  // namespace stepcast
