#include <algorithm>
#include <utility>

#include "simulator/execution/execute.hpp"
#include "simulator/execution/machine.hpp"

namespace stepcast {
namespace {

/// Evaluates streams until they wait for something that has not been evaluated yet; whoever provides it wakes them.
class Dataflow {
 public:
  Dataflow(const Programs& programs, bool fold) : machine_(programs, fold) {
    const auto ranks = static_cast<std::size_t>(machine_.ranks());
    next_.assign(ranks * stream_count, 0);
    meetings_.resize(static_cast<std::size_t>(machine_.group_instances()));
    for (std::int32_t rank = 0; rank < machine_.ranks(); ++rank) {
      sleepers_.emplace_back(machine_.program(rank).instructions.size(), std::uint8_t{0});
    }
  }

  Timeline run(bool record_spans) {
    for (std::int32_t rank = 0; rank < machine_.ranks(); ++rank) {
      for (std::size_t stream = 0; stream < stream_count; ++stream) work_.emplace_back(rank, stream);
    }
    while (!work_.empty()) {
      const auto [rank, stream] = work_.back();
      work_.pop_back();
      advance(rank, stream);
    }
    return machine_.account(record_spans);
  }

 private:
  struct Meeting {
    std::int32_t arrived = 0;
    std::int64_t latest = 0;
    std::vector<std::pair<std::int32_t, std::int32_t>> members;  ///< rank, instruction
  };

  void advance(std::int32_t rank, std::size_t stream) {
    const Program& code = machine_.program(rank);
    const auto& order = code.streams[stream];
    std::size_t& next = next_[static_cast<std::size_t>(rank) * stream_count + stream];
    while (next < order.size()) {
      const std::int32_t index = order[next];
      const Instruction& instruction = code.instructions[static_cast<std::size_t>(index)];
      std::int64_t ready = next > 0 ? machine_.end(rank, order[next - 1]) : 0;
      if (ready < 0) return;  // the head is in a rendezvous; its partner wakes this stream
      for (std::int32_t w = 0; w < instruction.wait_count; ++w) {
        const std::int32_t wait = code.waits[static_cast<std::size_t>(instruction.first_wait + w)];
        const std::int64_t end = machine_.end(rank, wait);
        if (end < 0) {
          sleepers_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(wait)] |=
              static_cast<std::uint8_t>(1U << stream);
          return;
        }
        ready = std::max(ready, end);
      }
      ++next;
      issue(rank, index, instruction, ready);
    }
  }

  void issue(std::int32_t rank, std::int32_t index, const Instruction& instruction, std::int64_t ready) {
    switch (instruction.kind) {
      case InstructionKind::local: complete(rank, index, ready, instruction.duration.ps); return;
      case InstructionKind::send:
      case InstructionKind::receive: {
        machine_.start(rank, index) = ready;  // posted
        const std::int32_t peer = machine_.peer_rank(rank, instruction.peer_stage);
        const std::int64_t posted = machine_.start(peer, instruction.peer);
        if (posted < 0) return;
        const std::int64_t begin = std::max(ready, posted);
        complete(peer, instruction.peer, begin, instruction.duration.ps);
        complete(rank, index, begin, instruction.duration.ps);
        return;
      }
      case InstructionKind::collective: {
        Meeting& meeting = meetings_[static_cast<std::size_t>(machine_.group_instance(rank, instruction.group))];
        meeting.latest = std::max(meeting.latest, ready);
        meeting.members.emplace_back(rank, index);
        if (++meeting.arrived < machine_.group_size(instruction.group)) return;
        const Meeting done = std::exchange(meeting, {});
        for (const auto& [member, at] : done.members) complete(member, at, done.latest, instruction.duration.ps);
        return;
      }
    }
  }

  void complete(std::int32_t rank, std::int32_t index, std::int64_t begin, std::int64_t duration) {
    machine_.start(rank, index) = begin;
    machine_.end(rank, index) = begin + duration;
    std::uint8_t& sleepers = sleepers_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(index)];
    const Instruction& instruction = machine_.program(rank).instructions[static_cast<std::size_t>(index)];
    // A rendezvous may end an instruction that is the head of a stream which is not being advanced just now.
    if (instruction.kind != InstructionKind::local)
      sleepers |= static_cast<std::uint8_t>(1U << static_cast<int>(instruction.stream));
    for (std::size_t stream = 0; stream < stream_count; ++stream) {
      if (sleepers >> stream & 1U) work_.emplace_back(rank, stream);
    }
    sleepers = 0;
  }

  Machine machine_;
  std::vector<std::size_t> next_;
  std::vector<std::vector<std::uint8_t>> sleepers_;  ///< per instruction: streams to wake, a bit each
  std::vector<Meeting> meetings_;
  std::vector<std::pair<std::int32_t, std::size_t>> work_;
};

}  // namespace

Timeline dataflow(const Programs& programs, const ExecutionOptions& options) {
  return Dataflow(programs, options.fold).run(options.record_spans);
}

}  // namespace stepcast
