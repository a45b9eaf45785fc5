#include "simulator/simulate.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "simulator/execution/execute.hpp"

namespace stepcast {
namespace {

/// Where ranks sit when the plan places them in another order than that of their numbers (Megatron's).
std::vector<std::int64_t> gpus_of_ranks(const Job& job) {
  const ParallelPlan& plan = job.plan;
  if (plan.placement == "megatron") return {};
  const std::int64_t degrees[] = {plan.tensor_parallel, plan.context_parallel, plan.data_parallel,
                                  plan.pipeline_parallel};
  constexpr RankDimension dimensions[] = {RankDimension::tensor, RankDimension::context, RankDimension::data,
                                          RankDimension::pipeline};
  const Placement placement(parse_rank_order(plan.placement), {degrees[0], degrees[1], 1, degrees[2], degrees[3]});
  std::vector<std::int64_t> gpus(static_cast<std::size_t>(plan.gpus()));
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    auto rest = static_cast<std::int64_t>(rank);
    for (std::size_t i = 0; i < std::size(degrees); ++i) {
      gpus[rank] += rest % degrees[i] * placement.stride(dimensions[i]);
      rest /= degrees[i];
    }
  }
  return gpus;
}

Disturbances disturbances_of(const Job& job, const ExecutionOptions& options) {
  if (options.fold) return {};
  Disturbances found;
  found.seed = options.seed;
  if (options.jitter) {
    found.speed = *job.cluster.gpu.speed_spread;
    found.launch = *job.cluster.gpu.launch_spread;
  }
  std::vector<std::int64_t> rank_of_gpu;
  const std::vector<std::int64_t> gpus = gpus_of_ranks(job);
  rank_of_gpu.resize(gpus.size());
  for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
    rank_of_gpu[static_cast<std::size_t>(gpus[rank])] = static_cast<std::int64_t>(rank);
  }
  for (const Fault& fault : job.faults) {
    if (fault.of_nic() || fault.failed) continue;
    const std::int64_t node_gpus = std::max(1, job.cluster.gpus_per_node);
    const std::int64_t first = fault.gpu ? *fault.gpu : *fault.node * node_gpus;
    const std::int64_t last = fault.gpu ? first : std::min(first + node_gpus, job.cluster.gpus) - 1;
    for (std::int64_t gpu = first; gpu <= last; ++gpu)
      found.slow.try_emplace(rank_of_gpu.empty() ? gpu : rank_of_gpu[static_cast<std::size_t>(gpu)], 1).first->second *=
          fault.speed;
  }
  return found;
}

Timeline run_events(const Programs& programs, const Job& job, const ExecutionOptions& options,
                    const Disturbances& disturbances, std::span<const Fault> faults) {
  if (!options.contention) return events(programs, options, disturbances);
  Interconnect interconnect = ports_of(job.cluster, options.fold, faults);
  interconnect.gpu_of_rank = gpus_of_ranks(job);
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
