#include "simulator/execution/step_time.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "simulator/execution/recurrence.hpp"
#include "simulator/execution/steady_state.hpp"

namespace stepcast {
namespace {

/// Instructions that are kept, at some 150 bytes each.
constexpr std::int64_t most_held = 250'000;
/// Programs of one shape that differ in more than durations: in what data parallelism launches among the passes.
constexpr int most_of_one_key = 3;

}  // namespace

SimTime folded_step(const Programs& programs) {
  Recurrence::Ends ends;
  Recurrence(programs).evaluate(Recurrence::durations(programs), ends);
  return {ends.step};
}

/// What the order of passes, and their exchanges, depend on.
struct StepTimer::Key {
  const Schedule* schedule = nullptr;
  int stages = 1, chunks = 1;
  std::int64_t microbatches = 1;
  bool paired = false, overlap_p2p = false;
  // What data parallelism launches; it may yet be something else.
  int zero = 0;
  bool overlap_reduction = false, overlap_gather = false, copies = false;

  bool operator==(const Key&) const = default;
};

/// Programs, and what they took in the plan that was looked at last.
struct StepTimer::Lowered {
  Key key;
  PipelineOrder order;
  std::vector<Middle> middles;
  Programs programs;
  Outline outline;
  std::optional<Recurrence> recurrence;
  std::vector<SimTime> durations;
  Recurrence::Ends ends;
  std::optional<SteadyState> steady;  ///< where it was looked for
};

StepTimer::StepTimer() = default;
StepTimer::~StepTimer() = default;

StepTimer::Lowered& StepTimer::lowered(const LoweringInput& input, const PipelineShape& shape) {
  const Schedule& schedule = *find_schedule(input.plan.schedule);
  const Key key{&schedule, shape.stages, shape.chunks, shape.microbatches, shape.paired, *input.plan.overlap_p2p,
                // Gradients are reduced or scattered at the same places.
                input.plan.zero >= 2 || *input.plan.overlap_param_gather ? input.plan.zero : 0,
                *input.plan.overlap_grad_reduce, *input.plan.overlap_param_gather && input.plan.zero >= 1,
                input.plan.dense_copies() > 1};
  const auto with = [&](const PipelineOrder& order) {
    return LoweringInput{input.model,
                         input.plan,
                         input.framework,
                         input.cluster,
                         input.costs,
                         input.passes,
                         order,
                         input.boundary,
                         input.boundary_gather,
                         input.hidden,
                         input.gradient_bytes,
                         input.parameter_bytes,
                         input.granularity,
                         shape.microbatches,
                         true};
  };
  // Orders that depend on more than the shape are not kept.
  const bool keeps = !schedule.arranges && shape.own == nullptr;
  int alike = 0;
  auto last_alike = known_.end();
  for (auto known = known_.begin(); keeps && known != known_.end(); ++known) {
    Lowered& one = **known;
    if (one.key != key) continue;
    ++alike;
    last_alike = known;
    if (!lower_again(with(one.order), one.programs, one.outline, one.durations)) continue;
    one.recurrence->evaluate(one.durations, one.ends);
    known_.splice(known_.begin(), known_, known);
    return one;
  }
  const auto forget = [&](std::list<std::unique_ptr<Lowered>>::iterator known) {
    held_ -= (*known)->recurrence->size();
    known_.erase(known);
  };
  if (alike >= most_of_one_key) forget(last_alike);
  auto made = std::make_unique<Lowered>();
  Lowered& one = *made;
  one.key = key;
  one.order = schedule.order(shape);
  one.programs = lower(with(one.order), &one.outline);
  for (Program& stage : one.programs.stages) stage.parts = {};  // nobody asks what the time is made of
  one.recurrence.emplace(one.programs);
  one.durations = Recurrence::durations(one.programs);
  one.recurrence->evaluate(one.durations, one.ends);
  if (!keeps) one.key = {};
  held_ += one.recurrence->size();
  known_.push_front(std::move(made));
  while (held_ > most_held && known_.size() > 1) forget(std::prev(known_.end()));
  return one;
}

StepTime StepTimer::time(const LoweringInput& input, const PipelineShape& whole) {
  const Schedule& schedule = *find_schedule(input.plan.schedule);
  const std::int64_t every = schedule.repeats != nullptr ? schedule.repeats(whole) : whole.microbatches;
  // Enough to fill the pipeline and to repeat a few times, with the remainder that the whole step has.
  std::int64_t least = (whole.stages / every + 3) * every;
  while (least + every < whole.microbatches) {
    least += (whole.microbatches - least) % every;
    PipelineShape shape = whole;
    shape.microbatches = least;
    if (!schedule.refuses(shape).empty()) {
      least += every;
      continue;
    }
    std::int64_t wanted = 0;  // microbatches at which a repetition found would end with the step
    Lowered& some = lowered(input, shape);
    if (!some.steady) {
      some.middles = middles_of(schedule, shape, some.order, every);
      some.steady.emplace(some.programs, *some.recurrence, some.durations, some.ends, some.middles);
    }
    for (std::int32_t repeat = 1; repeat <= 2 * whole.stages; ++repeat) {
      const auto by = some.steady->shift(repeat);
      if (!by) continue;
      const std::int64_t left = whole.microbatches - least, period = every * repeat;
      if (left % period == 0) return {{some.ends.step + left / period * *by}, least, some.recurrence->size()};
      wanted = least + left % period;
      break;
    }
    least = wanted > least ? wanted : least + std::max(every, least / 2 / every * every);
  }
  const Lowered& all = lowered(input, whole);
  return {{all.ends.step}, whole.microbatches, all.recurrence->size()};
}

}  // namespace stepcast
