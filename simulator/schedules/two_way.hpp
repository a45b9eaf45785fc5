#pragma once
/// The passes of a rank that two streams of microbatches cross, as deepseek-ai/DualPipe runs them (dualpipe.py and
/// dualpipev.py have the same eight phases).

#include <vector>

#include "simulator/workload/pipeline_order.hpp"

namespace stepcast {

/// Where a rank stands. Direction 0 is the one that reaches it first.
struct TwoWayRank {
  int place = 0;                          ///< ranks between it and the end where direction 0 enters
  int inward = 0;                         ///< ranks between it and where the two directions meet
  int passes = 0;                         ///< forward passes of each direction
  bool swapped = false;                   ///< direction 0 is chunk 1
  std::int32_t chunk_1_microbatches = 0;  ///< chunk 1's first microbatch
};

std::vector<PassStep> two_way_passes(const TwoWayRank& rank);

}  // namespace stepcast
