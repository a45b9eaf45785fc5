#pragma once
/// The time of a step and nothing else, as `dataflow` finds it, at a cost that does not grow with the microbatches.

#include <cstdint>
#include <list>
#include <memory>

#include "simulator/execution/lower.hpp"
#include "simulator/execution/programs.hpp"

namespace stepcast {

/// The step of these programs, one rank a stage. Equals dataflow(programs).step.
SimTime folded_step(const Programs& programs);

struct StepTime {
  SimTime step;
  std::int64_t microbatches = 0;  ///< that were written down and evaluated
  std::int64_t instructions = 0;
};

/// Times the steps of many plans. Plans with the same order of passes have the same programs, durations apart, or nearly
/// so: programs are kept, and a plan that has them as well costs its durations and one evaluation. Not for several threads.
class StepTimer {
 public:
  StepTimer();
  ~StepTimer();

  /// The step of all the plan's microbatches; exact, to the tick.
  ///
  /// The middle of a pipeline's step repeats. Programs of fewer microbatches are evaluated, and their last repetitions
  /// compared: where every instruction of every stage repeats what one period before did, the same duration, waiting for
  /// the same and meeting the same, so many ticks later on every stage, then one period more shifts all that follows by those
  /// ticks, because an end is a maximum of ends plus a duration, on an integer clock without rounding. What follows must hang
  /// on the shifted part alone; nothing older may hold it up. Where that cannot be shown, more microbatches are tried, and
  /// all of them in the end.
  /// @param whole  the pipeline of the whole step; `input.order` is not looked at
  StepTime time(const LoweringInput& input, const PipelineShape& whole);

 private:
  struct Key;
  struct Lowered;

  Lowered& lowered(const LoweringInput& input, const PipelineShape& shape);

  std::list<std::unique_ptr<Lowered>> known_;  ///< the latest used first
  std::int64_t held_ = 0;                      ///< instructions of all of them
};

}  // namespace stepcast
