#include "simulator/stages.hpp"

#include "simulator/schedules/schedule.hpp"

namespace stepcast {

Boundary boundary_of(const Job& job, const Sharding& sharding) {
  const Bytes whole(sharding.element * sharding.tokens * static_cast<double>(job.model.hidden));
  if (sharding.sequence_parallel) return {whole / sharding.tensor, Bytes(0)};
  if (*job.framework.p2p_scatter_gather && sharding.tensor > 1) return {whole / sharding.tensor, whole};
  return {whole, Bytes(0)};
}

std::vector<std::int64_t> chunks_in_flight(const ParallelPlan& plan) {
  std::vector<std::int64_t> counts;
  const PipelineShape shape = pipeline_shape(plan);
  for (int stage = 0; stage < plan.pipeline_parallel; ++stage) {
    counts.push_back(find_schedule(plan.schedule)->chunks_in_flight(shape, stage));
  }
  return counts;
}

std::vector<MemoryUse> memory_of(const Job& job, const ShardedModel& model, const std::vector<std::int64_t>& in_flight,
                                 Bytes boundary) {
  std::vector<MemoryUse> stages;
  for (int stage = 0; stage < job.plan.pipeline_parallel; ++stage) {
    stages.push_back(stage_memory(model, stage, job.plan, job.framework, job.cluster.gpu,
                                  in_flight[static_cast<std::size_t>(stage)], boundary));
  }
  return stages;
}

}  // namespace stepcast
