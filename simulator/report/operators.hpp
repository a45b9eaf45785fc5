#pragma once
/// The account of a step by operator: what `predict --explain` and `roofline` print.

#include <map>
#include <string>
#include <vector>

#include "simulator/report/summarize.hpp"

namespace stepcast {

/// Every operator of every block, summed over the step, largest share first. Layers are those of `busiest`, and so is
/// the work done once a step; the embedding is on the first stage, the head on the last.
std::vector<OperatorTime> operator_times(const SummaryInput& in, int busiest);

/// Of the GPU, in the precisions that `operators` multiply in.
Roofs roofs_of(const Gpu& gpu, Precision own, const std::vector<OperatorTime>& operators);

/// Shares of the kernels' time on one stage by how it was obtained; communication apart.
std::map<std::string, double> leans_on(const std::vector<OperatorTime>& operators, int stage);

}  // namespace stepcast
