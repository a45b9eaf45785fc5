#pragma once
/// A fitted law as a drawing: losses against FLOPs with the law's best, and what it misses them by.

#include <string>

#include "simulator/budget/law_fit.hpp"

namespace stepcast {

std::string law_plot_svg(const LawFit& fit, const ScalingLaw& law);

}  // namespace stepcast
