#include "simulator/predict.hpp"

#include <chrono>

#include "simulator/execution/lower.hpp"
#include "simulator/report/memory_over_time.hpp"
#include "simulator/report/summarize.hpp"
#include "simulator/resolve.hpp"
#include "simulator/schedules/schedule.hpp"
#include "simulator/simulate.hpp"
#include "simulator/stages.hpp"
#include "simulator/workload/gradients.hpp"

namespace stepcast {
Report predict(const Job& given, const ExecutionOptions& asked, Timeline* trace) {
  const auto began = std::chrono::steady_clock::now();
  const Job job = resolve(given);
  const ExecutionOptions options = needed_options(job, asked);
  Report report = describe(job);
  report.infeasible_reason = infeasible_reason(job);
  if (const std::string missing = unsupported_reason(job); !missing.empty()) {
    report.infeasible_reason = "not modelled yet: " + missing;
  }
  if (report.infeasible_reason.empty()) report.infeasible_reason = broken_reason(job);
  if (!report.infeasible_reason.empty()) return report;

  const Sharding sharding = sharding_of(job);
  const ModelGraph graph = model_graph_of(job);
  ShardedModel model = shard(graph, job.plan, sharding, chunk_placement(job.plan));
  const Boundary boundary = boundary_of(job, sharding);
  // The events executor samples the spread of speed when it simulates every rank; else its expectation is added.
  const bool expected = options.jitter && !(options.executor == Executor::events && !options.fold);
  CostModel costs(job.cluster, job.plan, expected);
  if (job.plan.zero >= 3) costs.limit_sharding_nics(*job.framework.sharding_nics);

  share_with_userbuffers(model, sharding, costs, job.cluster.gpu);
  const PipelineOrder order = find_schedule(job.plan.schedule)->order(timed_shape(job, model, costs, boundary.sent));
  const std::vector<std::int64_t> in_flight = chunks_in_flight(order);
  const SummaryInput summary{job,
                             graph,
                             model,
                             costs,
                             static_cast<double>(padded_vocab(job)),
                             memory_of(job, model, in_flight, boundary.sent),
                             in_flight};
  summarize_model(summary, report);
  const PassCosts passes(model, job.plan, job.framework, job.cluster.gpu, costs);
  const Programs programs = lower({model, job.plan, job.framework, job.cluster, costs, passes, order, boundary.sent,
                                   boundary.gathered, static_cast<double>(job.model.hidden), reduced_bytes(job.plan),
                                   element_bytes(job.plan.precision), options.granularity});
  Simulated simulated = simulate(programs, job, options);
  summarize(summary, simulated.timeline, report);
  summarize_disturbances(simulated.timeline, simulated.steps, simulated.undisturbed, report);

  report.simulation.executor = options.executor == Executor::events ? "events" : "dataflow";
  report.simulation.folded = options.fold;
  report.simulation.jitter = options.jitter;
  report.simulation.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (trace != nullptr) {
    *trace = std::move(simulated.timeline);
    trace->memory = memory_over_time(*trace, summary.memory, in_flight);
    report.memory_over_time = summarize_memory(*trace, summary.memory);
  }
  return report;
}

}  // namespace stepcast
