#pragma once
/// Carries programs out as the options ask: one step or many, with what is wrong with the cluster.

#include <optional>
#include <string>
#include <vector>

#include "simulator/execution/options.hpp"
#include "simulator/execution/programs.hpp"
#include "simulator/execution/timeline.hpp"
#include "simulator/job.hpp"

namespace stepcast {

/// Faults and many steps are simulated with every rank, link by link.
ExecutionOptions needed_options(const Job& job, ExecutionOptions options);

/// Why faults keep the job from running at all; empty: they do not.
std::string broken_reason(const Job& job);

struct Simulated {
  Timeline timeline;                   ///< of the step, or of the median of many
  std::vector<Seconds> steps;          ///< of each, when there are many
  std::optional<Seconds> undisturbed;  ///< the step without faults and spread; when every rank was simulated with them
};

Simulated simulate(const Programs& programs, const Job& job, const ExecutionOptions& options);

}  // namespace stepcast
