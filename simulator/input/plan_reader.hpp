#pragma once
/// The `plan:` and `framework:` of a scenario.

#include "simulator/input/defaults.hpp"
#include "simulator/workload/architecture.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// @throws UserError also for degrees that do not multiply to the GPUs and a batch that does not divide
ParallelPlan read_plan(const YamlValue& plan, const Architecture& model, std::int64_t gpus, Defaults& defaults);

/// Adapters that are trained in place of the weights: {rank, alpha, targets, dropout}.
LowRankAdaptation read_lora(const YamlValue& value);

/// What a run says of its software; what it leaves out stays absent.
void read_software_flags(YamlMap& framework, ParallelPlan& plan);

}  // namespace stepcast
