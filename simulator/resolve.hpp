#pragma once
/// Makes every choice that a job leaves open, and refuses what cannot run.

#include <string>

#include "simulator/job.hpp"
#include "simulator/parallelism/shard.hpp"
#include "simulator/workload/model_graph.hpp"

namespace stepcast {

/// Why this job needs a mechanism that Stepcast does not model yet; empty: it does.
std::string unsupported_reason(const Job& job);

/// Why this plan can never run, whatever its speed: degrees that do not divide; empty: it can.
std::string infeasible_reason(const Job& job);

/// The job with its framework's defaults in place of what it leaves open; each is named in `defaults_taken`.
Job resolve(const Job& job);

/// The same in place, without a note of each: for one plan of many.
void resolve_plan(Job& job);

/// Vocabulary with the framework's padding (Megatron: to a multiple of 128 x tensor_parallel).
std::int64_t padded_vocab(const Job& job);

/// What local shapes depend on, of a resolved job.
Sharding sharding_of(const Job& job);

}  // namespace stepcast
