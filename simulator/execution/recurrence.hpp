#pragma once
/// Programs as a recurrence, one rank a stage: an instruction ends its duration after the latest of the ends that it waits
/// for. Which ends these are has nothing to do with durations: it is found once, and evaluated for any of them.

#include <cstdint>
#include <span>
#include <vector>

#include "simulator/execution/programs.hpp"

namespace stepcast {

class Recurrence {
 public:
  explicit Recurrence(const Programs& programs);

  /// Instructions of all stages are numbered one stage after the other.
  std::int32_t index(std::int32_t stage, std::int32_t instruction) const {
    return offset_[static_cast<std::size_t>(stage)] + instruction;
  }
  std::int32_t size() const { return static_cast<std::int32_t>(place_.size()); }
  /// What comes before an instruction in its stream, in its own program; -1: nothing.
  std::int32_t before(std::int32_t index) const { return before_[static_cast<std::size_t>(index)]; }
  /// Durations as the programs have them.
  static std::vector<SimTime> durations(const Programs& programs);

  /// Ends of all instructions, and the latest of them.
  struct Ends {
    std::vector<std::int64_t> of_place;
    std::int64_t step = 0;
  };
  void evaluate(std::span<const SimTime> durations, Ends& ends) const;
  std::int64_t end(const Ends& ends, std::int32_t index) const {
    return ends.of_place[static_cast<std::size_t>(place_[static_cast<std::size_t>(index)])];
  }

 private:
  class Ordering;

  std::vector<std::int32_t> offset_;  ///< of each stage
  std::vector<std::int32_t> place_;   ///< of an instruction: those that meet share one
  std::vector<std::int32_t> before_;
  // By place, each behind all that it waits for:
  std::vector<std::int32_t> instruction_;  ///< one of those that meet
  std::vector<std::int32_t> first_wait_, waits_;
};

}  // namespace stepcast
