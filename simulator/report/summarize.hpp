#pragma once
/// From a timeline to the answer.

#include "simulator/execution/costs.hpp"
#include "simulator/execution/timeline.hpp"
#include "simulator/report/report.hpp"
#include "simulator/workload/model_graph.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// What the account of a step draws on.
struct SummaryInput {
  const Job& job;
  const ModelGraph& graph;
  const ShardedModel& model;
  const CostModel& costs;
  double padded_vocab = 0;
  std::vector<MemoryUse> memory;               ///< per stage
  std::vector<std::int64_t> chunks_in_flight;  ///< per stage
};

/// What a report says of the scenario itself, whatever comes of it.
Report describe(const Job& job);

/// Adds what needs no simulation: the model's size and the memory of each stage.
void summarize_model(const SummaryInput& input, Report& report);

/// Adds times, rates and the account of every second.
void summarize(const SummaryInput& input, const Timeline& timeline, Report& report);

/// How steps differ, what that costs, who keeps whom waiting, and the critical path.
/// @param steps  the length of each, when many were simulated
/// @param undisturbed  of the step without faults and spread, when that was simulated
void summarize_disturbances(const Timeline& timeline, std::vector<Seconds> steps, std::optional<Seconds> undisturbed,
                            Report& report);

}  // namespace stepcast
