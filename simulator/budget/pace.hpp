#pragma once
/// How fast a training run goes: each of its phases with the best plan for it, simulated.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "simulator/report/report.hpp"
#include "simulator/search/search.hpp"

namespace stepcast {

/// A stretch of a run with one batch and one sequence length.
struct RecipePhase {
  double tokens = 0;
  double batch_tokens = 0;  ///< of a step, as asked
  std::int64_t sequence_length = 0;

  bool operator==(const RecipePhase&) const = default;
};

/// The plans to look through for a job: of its model on its cluster, with its batch.
using PlanSpace = std::function<Sweep(const Job&)>;

struct PacedPhase {
  RecipePhase phase;
  Job job;  ///< as simulated, with its plan
  Report report;
  double batch_tokens = 0;  ///< as it came out: whole sequences that divide among the replicas

  double steps() const { return phase.tokens / batch_tokens; }
  Seconds time() const { return report.step_time * steps(); }
};

struct Pace {
  std::vector<PacedPhase> phases;
  std::string problem;  ///< why there is no plan; empty: there is one for every phase
  std::string reason;   ///< the one that decides, in a few words

  /// Of all steps, when nothing ever goes wrong.
  Seconds productive() const;
  double steps() const;
  /// The phase that takes longest.
  const PacedPhase& main() const;
};

/// @param base   the model on its cluster; batch and sequence length are those of the phases
/// @param known  the pace of nearly the same run, whose plans are taken over without a search where they still divide
Pace pace_of(const Job& base, const std::vector<RecipePhase>& phases, const PlanSpace& space,
             const Pace* known = nullptr);

}  // namespace stepcast
