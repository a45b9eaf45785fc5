#pragma once
/// The run that a budget buys on one cluster.

#include "simulator/budget/cluster_run.hpp"

namespace stepcast {

/// Of a run that is only compared with, the mean alone counts.
inline constexpr int trials_of_comparisons = 1000;

/// @throws UserError for what no cluster could change
ClusterAnswer run_on(const Question& question, const ClusterOption& option, const Start& start, const Told& told);

}  // namespace stepcast
