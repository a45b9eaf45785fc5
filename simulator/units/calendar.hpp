#pragma once
/// Stretches of time of the calendar.

#include "simulator/units/units.hpp"

namespace stepcast {

inline constexpr Seconds minute{60};
inline constexpr Seconds hour{3600};
inline constexpr Seconds day{86400};
inline constexpr Seconds week{7 * 86400.0};
inline constexpr Seconds year{365.25 * 86400.0};  ///< Julian
inline constexpr Joules kilowatt_hour{3.6e6};

}  // namespace stepcast
