#pragma once
/// READ FIRST: the straight line from a job to its report.

#include <cstdint>
#include <functional>
#include <string>

#include "simulator/execution/options.hpp"
#include "simulator/execution/timeline.hpp"
#include "simulator/job.hpp"
#include "simulator/report/report.hpp"

namespace stepcast {

/// Predicts one training step: step time, memory, FLOP/s, and where every second goes.
///
/// A plan that cannot run (does not divide, does not fit) is an answer: `Report::feasible` is false and says why.
/// @param trace  when not null, receives every span of every simulated rank
/// @throws Unsupported when the job needs a mechanism that is not modelled yet
Report predict(const Job& job, const ExecutionOptions& options = {}, Timeline* trace = nullptr);

}  // namespace stepcast
