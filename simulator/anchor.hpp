#pragma once
/// Measured runs of one's own set the few constants that nobody can measure for another's cluster.

#include <vector>

#include "simulator/job.hpp"
#include "simulator/report/report.hpp"

namespace stepcast {

/// Re-estimates the sustained clock of the GPU, the host's time per operator and what the network between nodes
/// reaches, from measured runs; each stays inside its physical range.
///
/// The most likely multipliers m under Gaussian errors are those with the least
///
///   sum over runs (ln(predicted(m) / measured) / 0.04)^2 + sum over factors (ln(m_f) / w_f)^2
///
/// 0.04: how far repeated runs of one configuration differ (median over 53 groups of published runs); w_f: how far the
/// factor differs between machines of one kind. So a factor that no run depends on stays as it is, and one run does not
/// overturn what many told before.
/// @param job  the scenario to predict: the runs are of its GPU type and framework
/// @throws UserError for a run without a measured step time, of another GPU or framework, or that cannot be predicted
Anchor anchored(const std::vector<Job>& runs, const Job& job);

/// The job with the anchor's multipliers in its profiles.
Job with_anchor(const Anchor& anchor, Job job);

}  // namespace stepcast
