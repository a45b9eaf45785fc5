#pragma once
/// What a run without failures has done by when: steps, checkpoints and evaluations in their order.

#include <cstdint>
#include <optional>
#include <vector>

#include "simulator/budget/campaign.hpp"

namespace stepcast {

/// Where a checkpoint goes.
enum class CheckpointLevel { storage, memory };

/// Undisturbed time as a function of steps done, and back. A checkpoint follows the step in which another interval of
/// productive time is full, and one in storage the last step; an evaluation comes before them.
class Timetable {
 public:
  /// @param interval         of productive time between two checkpoints in storage
  /// @param memory_interval  between two in memory; none: there are none
  Timetable(const CampaignInput& input, Seconds interval, std::optional<Seconds> memory_interval = std::nullopt);

  std::int64_t steps() const { return steps_; }

  /// Productive time of the first `steps` steps.
  Seconds productive(std::int64_t steps) const;
  /// Checkpoints that have been taken when so many steps and what follows them are over.
  std::int64_t checkpoints(std::int64_t steps, CheckpointLevel level = CheckpointLevel::storage) const;
  /// Until so many steps, with the evaluation and checkpoint after them, are over.
  Seconds time(std::int64_t steps) const;

  /// The steps that are over at a time, what follows them included; searched for from `from` on, which is.
  std::int64_t steps_at(Seconds time, std::int64_t from) const;
  /// The last step at or before `steps` that a checkpoint follows; 0: none.
  std::int64_t last_checkpoint(std::int64_t steps, CheckpointLevel level = CheckpointLevel::storage) const;

  Seconds evaluation_time() const;  ///< of the whole run
  Seconds data_time() const;
  Seconds checkpoint_time() const;

 private:
  struct Stretch {
    std::int64_t first = 0;  ///< steps before it
    double begin = 0;        ///< productive seconds before it
    double step = 0;         ///< seconds
  };

  struct Level {
    double interval = 0;  ///< 0: none
    double stall = 0;
  };

  const Level& of(CheckpointLevel level) const { return level == CheckpointLevel::storage ? storage_ : memory_; }
  std::int64_t evaluations(std::int64_t steps) const;
  double intervals(std::int64_t steps, const Level& level) const;

  std::vector<Stretch> stretches_;
  std::int64_t steps_ = 0;
  Level storage_, memory_;
  double data_share_ = 0;
  std::int64_t evaluate_every_ = 0;
  double evaluation_ = 0;
};

}  // namespace stepcast
