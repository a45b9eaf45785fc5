#pragma once
/// The event clock: integer picoseconds, so that ordering is exact and two machines agree to the last event.

#include <cmath>
#include <compare>
#include <cstdint>

#include "simulator/base/error.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// A moment or a duration of one simulated step; 64 bits of picoseconds last 106 days.
struct SimTime {
  std::int64_t ps = 0;

  auto operator<=>(const SimTime&) const = default;
  SimTime& operator+=(SimTime other) { return ps += other.ps, *this; }
  friend SimTime operator+(SimTime a, SimTime b) { return {a.ps + b.ps}; }
  friend SimTime operator-(SimTime a, SimTime b) { return {a.ps - b.ps}; }

  Seconds seconds() const { return Seconds(static_cast<double>(ps) * 1e-12); }
};

/// The one place where a modelled duration becomes ticks: rounded to the nearest.
/// @throws UserError when one operation would take longer than the clock lasts (an input that is off by orders)
inline SimTime to_ticks(Seconds time) {
  const double ticks = time.si() * 1e12;
  if (!(ticks < 1e18))
    throw UserError("one operation of this scenario takes more than 11 days: check its sizes and rates");
  return {std::llround(ticks)};
}

}  // namespace stepcast
