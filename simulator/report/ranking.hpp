#pragma once
/// Whether predictions put plans in the order that measurements put them in: what a search for the best one needs.

#include <string>
#include <vector>

#include "simulator/report/validation.hpp"

namespace stepcast {

/// Runs of one model on one cluster by one framework, from one source.
struct RankedSweep {
  std::string source;
  std::string name;  ///< "GPT 181B, 384 x a100-80gb-sxm"
  int runs = 0;
  /// Kendall's tau-b of predicted and measured tokens/s: 1: the same order, 0: none in common, -1: reversed
  /// (Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945).
  double tau = 0;
  /// What is lost by taking the plan that is predicted best: 1 - its measured tokens/s / the best measured.
  double lost = 0;
};

/// Sweeps of at least six compared runs, in order of source and name.
std::vector<RankedSweep> ranked_sweeps(const std::vector<ValidationRow>& rows);

}  // namespace stepcast
