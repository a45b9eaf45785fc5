#pragma once
/// How long the passes of a job take, for schedules that arrange themselves by it.

#include "simulator/execution/costs.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {

/// [stage][chunk], in seconds: a microbatch's forward pass, its input gradients, its weight gradients. What waits for the
/// host or for data parallelism is left out, as in the profile that Qi et al. 2023 arrange by.
std::vector<std::vector<PassTimes>> pass_times(const ShardedModel& model, const CostModel& costs);

}  // namespace stepcast
