#pragma once
/// The event clock: integer picoseconds, so that ordering is exact and two machines agree to the last event.

#include <cmath>
#include <compare>
#include <cstdint>

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
inline SimTime to_ticks(Seconds time) { return {std::llround(time.si() * 1e12)}; }

}  // namespace stepcast
