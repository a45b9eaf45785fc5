#pragma once
/// The middle of a pipeline's step, which repeats: shows that it does, and by how many ticks a further period shifts the rest.

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "simulator/execution/recurrence.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {

/// Where the repeating part of a stage's passes ends, and how many of them one repetition is.
struct Middle {
  std::int32_t end = 0, period = 0;
};

/// What the orders of a schedule of `shape` and of `every` microbatches more have in common, by stage.
std::vector<Middle> middles_of(const Schedule& schedule, const PipelineShape& shape, const PipelineOrder& order,
                               std::int64_t every);

/// Of evaluated programs; these may be evaluated again with other durations. All that is given must outlive it.
class SteadyState {
 public:
  /// @param middles  by stage, in passes
  SteadyState(const Programs& programs, const Recurrence& recurrence, const std::vector<SimTime>& durations,
              const Recurrence::Ends& ends, const std::vector<Middle>& middles)
      : programs_(programs), recurrence_(recurrence), durations_(durations), ends_(ends), middles_(middles) {}

  /// Ticks by which `repeat` repetitions, taken together, shift what follows; nothing when they do not.
  std::optional<std::int64_t> shift(std::int32_t repeat);

 private:
  std::int32_t stages() const { return static_cast<std::int32_t>(programs_.stages.size()); }
  const Program& stage(std::int32_t s) const { return programs_.stages[static_cast<std::size_t>(s)]; }
  std::int64_t end(std::int32_t s, std::int32_t i) const { return recurrence_.end(ends_, recurrence_.index(s, i)); }

  bool cut(std::int32_t repeat, std::int32_t back);
  std::int32_t period_of(std::int32_t s, std::int32_t i) const;
  std::int32_t lag() const;
  std::int32_t lag_of(std::int32_t repeat, std::int32_t back);
  template <class F>
  void for_each_wait(std::int32_t s, std::int32_t i, F&& f) const;
  bool repeats(std::int32_t periods, std::int64_t by) const;
  bool same(std::int32_t s, std::int32_t i) const;
  bool follows(std::int32_t periods) const;

  const Programs& programs_;
  const Recurrence& recurrence_;
  const std::vector<SimTime>& durations_;
  const Recurrence::Ends& ends_;
  const std::vector<Middle>& middles_;
  std::vector<Middle> cuts_;                                            ///< by stage, in instructions
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> lags_;  ///< known: they do not depend on durations
};

}  // namespace stepcast
