#pragma once
/// Appends instructions to one rank's program.

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/execution/costs.hpp"
#include "simulator/execution/pass_costs.hpp"
#include "simulator/execution/programs.hpp"

namespace stepcast {

/// Names of instructions, each stored once.
class Labels {
 public:
  std::int32_t operator[](std::string_view name);
  std::vector<std::string> take() && { return std::move(names_); }

 private:
  std::vector<std::string> names_;  ///< a dozen
};

/// Instructions to wait for; -1: none.
class Waits {
 public:
  Waits(std::initializer_list<std::int32_t> list) : list_(list.begin(), list.size()) {}
  Waits(const std::vector<std::int32_t>& list) : list_(list) {}

  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }

 private:
  std::span<const std::int32_t> list_;
};

class ProgramBuilder {
 public:
  /// @param room  for so many instructions
  ProgramBuilder(const CostModel& costs, Granularity granularity, Labels& labels, std::size_t room)
      : costs_(costs), granularity_(granularity), labels_(labels), room_(room) {}

  /// Writes no program: goes through a known one and notes how long its instructions take now.
  /// @param durations  of the known program's instructions, to be filled in
  void go_through(const Program& known, std::span<SimTime> durations) { known_ = &known, durations_ = durations; }
  /// Whether what was added since is the known program, durations apart, so far.
  bool agrees() const { return agrees_; }
  bool agrees_to_the_end() const { return agrees_ && cursor_ == static_cast<std::int32_t>(durations_.size()); }
  /// Leaves out instructions of the known program, up to `end`; `last` of each stream are then these (-1: as before).
  void leave_out(std::int32_t end, const std::array<std::int32_t, stream_count>& last);
  /// Where the next instruction goes.
  std::int32_t size() const { return known_ ? cursor_ : static_cast<std::int32_t>(program_.instructions.size()); }

  /// Appends an instruction that waits for the given ones (-1: none) besides its stream's order. @return its index
  std::int32_t add(Instruction instruction, Waits waits);
  std::int32_t local(Stream stream, Bucket bucket, std::string_view name, Seconds duration, Waits waits);
  /// A collective that moves nothing and takes no time.
  std::int32_t nothing(Stream stream, GroupKind group, Waits waits) {
    return add({.kind = InstructionKind::collective, .stream = stream, .bucket = Bucket::dp_comm, .group = group},
               waits);
  }
  std::int32_t collective(Stream stream, Bucket bucket, const Collective& work, std::string_view name, Waits waits);

  /// So many passes of the schedule follow, between one exchange and the next.
  void begin_group(std::size_t passes) {
    if (known_) return;
    program_.passes.insert(program_.passes.end(), passes, static_cast<std::int32_t>(program_.instructions.size()));
  }

  /// The next compute instruction waits for this one too.
  void wait_next(std::int32_t instruction) {
    if (instruction >= 0) next_waits_.push_back(instruction);
  }

  /// A pass over blocks. Folded into one instruction, unless `split` asks for one a block or the granularity for
  /// one a kernel.
  void begin_pass(std::string_view name, std::int32_t microbatch, bool split);
  void block(const BlockPass& pass, int count);
  std::int32_t end_pass();

  std::int32_t last(Stream stream) const { return last_[static_cast<std::size_t>(stream)]; }
  std::int32_t label(std::string_view name) { return labels_[name]; }
  Program take() { return std::move(program_); }

 private:
  static std::array<std::int32_t, stream_count> none() {
    std::array<std::int32_t, stream_count> last;
    last.fill(-1);
    return last;
  }
  std::int32_t compare(const Instruction& instruction, Waits waits);
  void emit_folded(const FoldedPass& pass);
  void emit_kernels(const OpList& ops, const FoldedPass& pass);

  const CostModel& costs_;
  const Granularity granularity_;
  Labels& labels_;
  std::size_t room_;
  Program program_;
  std::array<std::int32_t, stream_count> last_ = none();
  std::vector<std::int32_t> next_waits_;
  struct Timed {
    Collective work;
    Instruction instruction;
  };
  std::vector<Timed> timed_;  ///< collectives of before: a stage launches a few, over and over

  const Program* known_ = nullptr;
  std::span<SimTime> durations_;
  std::int32_t cursor_ = 0;
  bool agrees_ = true;

  std::string_view pass_name_;
  std::int32_t pass_microbatch_ = -1;
  bool pass_split_ = false;
  FoldedPass pass_sum_;
};

}  // namespace stepcast
