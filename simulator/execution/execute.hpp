#pragma once
/// The two executors. Without contention, jitter or asymmetry they agree to the last tick.

#include "simulator/execution/interconnect.hpp"
#include "simulator/execution/options.hpp"
#include "simulator/execution/programs.hpp"

namespace stepcast {

/// Spread of speed that `events` samples when it simulates every rank; zero: none.
struct SampledSpread {
  double speed = 0;   ///< standard deviation of a GPU's clock
  double launch = 0;  ///< standard deviation of one instruction
  std::uint64_t seed = 1;
};

/// One pass in topological order; no event queue. O(instructions).
Timeline dataflow(const Programs& programs, const ExecutionOptions& options);

/// Discrete-event simulation on an integer clock; ties are broken by insertion order.
///
/// @param interconnect  whose links concurrent transfers share; none: each has what it has alone
Timeline events(const Programs& programs, const ExecutionOptions& options, const SampledSpread& spread = {},
                const Interconnect* interconnect = nullptr);

}  // namespace stepcast
