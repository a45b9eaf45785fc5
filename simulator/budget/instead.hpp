#pragma once
/// What is possible, where a run is not.

#include <string>
#include <vector>

#include "simulator/budget/answer.hpp"

namespace stepcast {

/// The nearest that could be instead of a run that cannot.
std::vector<std::string> possible_instead(const Question& question, const ClusterOption& option,
                                          const ClusterAnswer& failed);

}  // namespace stepcast
