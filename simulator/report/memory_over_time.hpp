#pragma once
/// What a rank holds while a step runs.

#include <cstdint>
#include <vector>

#include "simulator/execution/timeline.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/report/report.hpp"

namespace stepcast {

/// Bytes of tensors of every rank in the timeline: model states and buffers all the time, the activations of a pass
/// from the end of its forward until the end of its backward (of its second part, where the backward pass has two).
/// The fullest moment of a stage is what memory_use.hpp counts for it. Ranks without pass spans are left out: at kernel
/// granularity, and where passes run side by side.
/// @param memory           per stage
/// @param chunks_in_flight per stage, at its peak
std::vector<MemoryOverTime> memory_over_time(const Timeline& timeline, const std::vector<MemoryUse>& memory,
                                             const std::vector<std::int64_t>& chunks_in_flight);

/// The same for a report: with the pass, block and operator of each rank's fullest moment.
std::vector<MemoryTimeline> summarize_memory(const Timeline& timeline, const std::vector<MemoryUse>& memory);

}  // namespace stepcast
