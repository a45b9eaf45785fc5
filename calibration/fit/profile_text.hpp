#pragma once
/// What was fitted, as the text of a profile that extends its base.

#include <string>

#include "calibration/fit/fit.hpp"

namespace stepcast {

/// @param base the preset that the rest comes from
std::string profile_text(const Fit& fit, const std::string& base, const std::string& description);

}  // namespace stepcast
