#pragma once
/// The two executors. Without contention, jitter or asymmetry they agree to the last tick.

#include <map>

#include "simulator/execution/interconnect.hpp"
#include "simulator/execution/options.hpp"
#include "simulator/execution/programs.hpp"

namespace stepcast {

/// What makes one GPU's step unlike another's; `events` knows it when it simulates every rank.
struct Disturbances {
  double speed = 0;   ///< standard deviation of a GPU's clock
  double launch = 0;  ///< standard deviation of one kernel's time
  std::uint64_t seed = 1;
  std::int64_t step = 0;                ///< clocks stay as they are from step to step, launches do not
  std::map<std::int64_t, double> slow;  ///< by rank: its GPU's clock, of what it should be

  bool any() const { return speed > 0 || launch > 0 || !slow.empty(); }
};

/// One pass in topological order; no event queue. O(instructions).
Timeline dataflow(const Programs& programs, const ExecutionOptions& options);

/// Discrete-event simulation on an integer clock; ties are broken by insertion order.
///
/// @param interconnect  whose links concurrent transfers share; none: each has what it has alone
Timeline events(const Programs& programs, const ExecutionOptions& options, const Disturbances& disturbances = {},
                const Interconnect* interconnect = nullptr);

}  // namespace stepcast
