#pragma once
/// What the stages of a job's pipeline exchange and hold.

#include <cstdint>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/parallelism/shard.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// Activation that one GPU sends to the next pipeline stage, and what its tensor-parallel group then gathers.
struct Boundary {
  Bytes sent, gathered;
};

Boundary boundary_of(const Job& job, const Sharding& sharding);

/// Chunk activations that each stage's schedule holds at its peak.
std::vector<std::int64_t> chunks_in_flight(const ParallelPlan& plan);

/// Of every stage, at its peak.
std::vector<MemoryUse> memory_of(const Job& job, const ShardedModel& model, const std::vector<std::int64_t>& in_flight,
                                 Bytes boundary);

}  // namespace stepcast
