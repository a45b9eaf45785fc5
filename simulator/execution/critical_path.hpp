#pragma once
/// The chain of operations, across ranks, that the step's length is made of: each began when the one before it ended.

#include <functional>
#include <vector>

#include "simulator/execution/account.hpp"
#include "simulator/execution/rank_layout.hpp"

namespace stepcast {

/// @param ran  when an operation of a rank ran; all of them have
/// @return from the start of the step to its end; neighbours of one rank and bucket are one
std::vector<PathStep> critical_path(const std::vector<Code>& stages, const RankLayout& layout,
                                    const std::function<Interval(std::int32_t rank, std::int32_t operation)>& ran);

}  // namespace stepcast
