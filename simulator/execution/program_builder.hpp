#pragma once
/// Appends instructions to one rank's program.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/execution/costs.hpp"
#include "simulator/execution/programs.hpp"

namespace stepcast {

/// Names of instructions, each stored once.
class Labels {
 public:
  std::int32_t operator[](std::string_view name);
  std::vector<std::string> take() && { return std::move(names_); }

 private:
  std::map<std::string, std::int32_t, std::less<>> index_;
  std::vector<std::string> names_;
};

class ProgramBuilder {
 public:
  ProgramBuilder(const CostModel& costs, Granularity granularity, Labels& labels)
      : costs_(costs), granularity_(granularity), labels_(labels) {}

  /// Appends an instruction that waits for the given ones (-1: none) besides its stream's order. @return its index
  std::int32_t add(Instruction instruction, const std::vector<std::int32_t>& waits);
  std::int32_t local(Stream stream, Bucket bucket, std::string_view name, Seconds duration,
                     const std::vector<std::int32_t>& waits);
  std::int32_t collective(Stream stream, Bucket bucket, const Collective& work, std::string_view name,
                          const std::vector<std::int32_t>& waits);

  /// The next compute instruction waits for this one too.
  void wait_next(std::int32_t instruction) {
    if (instruction >= 0) next_waits_.push_back(instruction);
  }

  /// A pass over blocks. Folded into one instruction, unless `split` asks for one a block or the granularity for
  /// one a kernel.
  void begin_pass(std::string_view name, std::int32_t microbatch, bool split);
  void block(const OpList& ops, Seconds host_time, int count);
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
  const FoldedPass& folded(const OpList& ops, Seconds host_time);
  void emit_folded(const FoldedPass& pass);
  void emit_kernels(const OpList& ops, const FoldedPass& pass);

  const CostModel& costs_;
  const Granularity granularity_;
  Labels& labels_;
  Program program_;
  std::array<std::int32_t, stream_count> last_ = none();
  std::vector<std::int32_t> next_waits_;
  std::map<std::pair<const OpList*, double>, FoldedPass> folds_;  ///< a block's pass is folded once

  std::string_view pass_name_;
  std::int32_t pass_microbatch_ = -1;
  bool pass_split_ = false;
  FoldedPass pass_sum_;
};

}  // namespace stepcast
