#pragma once
/// The state that both executors keep: which rank runs which program, who meets whom, and when everything ran.

#include <cstdint>
#include <vector>

#include "simulator/execution/programs.hpp"
#include "simulator/execution/timeline.hpp"

namespace stepcast {

class Machine {
 public:
  /// @param fold  one rank a pipeline stage stands for all that do the same at the same time
  Machine(const Programs& programs, bool fold);

  std::int32_t ranks() const { return ranks_; }
  const Program& program(std::int32_t rank) const { return programs_.stages[static_cast<std::size_t>(stage(rank))]; }
  int stage(std::int32_t rank) const;
  std::int32_t peer_rank(std::int32_t rank, std::int32_t peer_stage) const;

  /// How many simulated ranks meet in a collective of that group, and an identifier of the meeting.
  std::int32_t group_size(GroupKind group) const;
  std::int32_t group_instance(std::int32_t rank, GroupKind group) const;
  std::int32_t group_instances() const;

  /// When an instruction started and ended; negative: not yet.
  std::int64_t& start(std::int32_t rank, std::int32_t instruction) { return start_[slot(rank, instruction)]; }
  std::int64_t& end(std::int32_t rank, std::int32_t instruction) { return end_[slot(rank, instruction)]; }
  std::int64_t end(std::int32_t rank, std::int32_t instruction) const { return end_[slot(rank, instruction)]; }

  /// What both executors report once everything has run. Checks that every rank's buckets sum to the step.
  Timeline account(bool record_spans) const;

 private:
  std::size_t slot(std::int32_t rank, std::int32_t instruction) const {
    return offset_[static_cast<std::size_t>(rank)] + static_cast<std::size_t>(instruction);
  }
  void attribute(std::int32_t rank, std::int32_t instruction, std::int64_t from, std::int64_t to,
                 BucketTimes& buckets) const;

  const Programs& programs_;
  const bool fold_;
  std::int32_t ranks_ = 0;
  std::vector<std::size_t> offset_;
  std::vector<std::int64_t> start_, end_;
  std::vector<std::vector<std::int32_t>> predecessor_;  ///< per stage: previous instruction of the same stream
};

}  // namespace stepcast
