#pragma once
/// How unevenly tokens choose their experts.

#include <string_view>

#include "simulator/workload/plan.hpp"

namespace stepcast {

/// The exponent of "zipf-<exponent>"; empty when the text is none of those.
std::optional<double> zipf_exponent(std::string_view load);

/// Rows of the busiest rank over those of the mean one: every rank of the group waits for it.
///
/// balanced: each row chooses its expert at random, so that the counts of `rows` rows a rank scatter by sqrt(rows), and
/// the busiest of n ranks has 1 + E[max of n normals] / sqrt(rows). zipf: the i-th expert is chosen in proportion to
/// i^-s, and experts are dealt to the ranks one by one. A histogram counts by expert; ranks hold them in order.
/// @param rows  of the mean rank: one microbatch
double expert_imbalance(const ParallelPlan& plan, std::int64_t experts, double rows);

}  // namespace stepcast
