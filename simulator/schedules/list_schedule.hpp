#pragma once
/// Arranges the passes of a pipeline in time, greedily: a rank that is free takes what is there, weight gradients fill
/// the gaps, and a limit on activations makes it catch up on them first. After the automatic scheduler of Qi et al. 2023
/// (arXiv 2401.10241, section 3.1).

#include "simulator/schedules/schedule.hpp"

namespace stepcast {

struct ListPolicy {
  ChunkPlacement placement = ChunkPlacement::loop;
  std::int64_t most_in_flight = 1;   ///< chunk activations of a rank, from forward to weight gradients
  bool backward_first = true;        ///< where a forward and a backward pass are both there; else they take turns
  bool weights_fill_any_gap = true;  ///< else only gaps that they fit in
  /// Forward and input-gradient passes of each stage in this order: weight gradients alone are placed, and the limit is
  /// kept where there are weight gradients to catch up on. An order that has weight gradients is timed as it is. Null: one
  /// chunk a rank, microbatches in turn.
  const PipelineOrder* given = nullptr;
};

struct Arranged {
  PipelineOrder order;
  double end = 0;  ///< of the last pass, in the unit of the shape's times
};

Arranged list_schedule(const PipelineShape& shape, const ListPolicy& policy);

}  // namespace stepcast
