#pragma once
/// What would change the answer: the same question with one thing different, answered.

#include <vector>

#include "simulator/budget/answer.hpp"

namespace stepcast {

std::vector<WhatIf> what_ifs(const Question& question, const ClusterOption& option, const ClusterAnswer& run,
                             const Told& told);

}  // namespace stepcast
