#pragma once
/// Layers of a plan moved between its pipeline stages, and recomputed where memory needs it, so that the step is shortest.
///
/// Stages of equal layers are not equally slow: one has the embedding, one the head, some have less memory left. Where a rank
/// holds one part of the model, parts are chosen by dynamic programming over the stages, as Alpa does (arXiv 2201.12023,
/// section 5.2): the least sum of the stages' times plus (m - 1) times the slowest, for every time that the slowest
/// may take. What that finds is simulated, and then every other way to place the layers whose slowest stage alone does not take
/// longer than the best step found: so the answer is the best of all, unless there are too many to simulate. A stage
/// recomputes as few layers as make it fit: each further one only slows it down. Where a rank holds several parts, layers
/// are moved one by one as long as the simulated step falls.

#include <cstdint>

#include "simulator/job.hpp"

namespace stepcast {

struct RefineOptions {
  std::uint64_t most_simulated = 3000;
  double memory_headroom_bytes = 0;  ///< of each GPU, that stay free
};

struct Refined {
  ParallelPlan plan;        ///< as it was given where nothing is better
  double given_s = 0;       ///< the step of the plan that was given
  double step_s = 0;        ///< of the refined one; never more
  std::uint64_t tried = 0;  ///< placements that were simulated
  bool proven = false;      ///< no other placement of the layers is better
  std::vector<int> layers;  ///< of each part in the model's order, in the refined plan
  std::vector<int>
      recomputed;  ///< of these, where the plan recomputes layer by layer; empty: as the plan's policy says
};

/// @pre the job's plan is feasible, and fits
Refined refine_layers(const Job& job, const RefineOptions& options);

}  // namespace stepcast
