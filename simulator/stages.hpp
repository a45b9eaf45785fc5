#pragma once
/// What the stages of a job's pipeline exchange and hold.

#include <cstdint>
#include <vector>

#include "simulator/execution/costs.hpp"
#include "simulator/job.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/parallelism/shard.hpp"
#include "simulator/schedules/schedule.hpp"
#include "simulator/workload/model_graph.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// The model as the plan trains it. @pre the job is resolved and feasible
ModelGraph model_graph_of(const Job& job);

/// Products beside transfers by userbuffers lack the multiprocessors that these take; nothing under other overlaps.
void share_with_userbuffers(ShardedModel& model, const Sharding& sharding, const CostModel& costs, const Gpu& gpu);

/// Activation that one GPU sends to the next pipeline stage, and what its tensor-parallel group then gathers.
struct Boundary {
  Bytes sent, gathered;
};

Boundary boundary_of(const Job& job, const Sharding& sharding);

/// The shape of a job's pipeline, with the time of each pass where its schedule arranges itself by them.
PipelineShape timed_shape(const Job& job, const ShardedModel& model, const CostModel& costs, Bytes boundary);

/// Of every stage, at its peak.
std::vector<MemoryUse> memory_of(const Job& job, const ShardedModel& model, const std::vector<std::int64_t>& in_flight,
                                 Bytes boundary);

}  // namespace stepcast
