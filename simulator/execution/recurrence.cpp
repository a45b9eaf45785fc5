#include "simulator/execution/recurrence.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "simulator/base/error.hpp"
#include "simulator/execution/code.hpp"

namespace stepcast {
namespace {

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

constexpr std::int32_t none = -1;

}  // namespace

/// Puts instructions in an order: streams run until they wait for what has not run; what it waits for wakes it.
class Recurrence::Ordering {
 public:
  Ordering(const Programs& programs, Recurrence& recurrence) : programs_(programs), of_(recurrence) {
    const std::size_t size = of_.place_.size();
    posted_.assign(size, false);
    sleepers_.assign(size, 0);
    next_.resize(programs.stages.size());
    of_.instruction_.reserve(size);
    of_.first_wait_.reserve(size + 1);
    of_.waits_.reserve(2 * size);
    for (std::int32_t stage = 0; stage < stages(); ++stage) {
      next_[at(stage)].fill(0);
      for (std::size_t stream = 0; stream < stream_count; ++stream) {
        if (!programs.stages[at(stage)].streams[stream].empty()) work_.emplace_back(stage, stream);
      }
    }
    while (!work_.empty()) {
      const auto [stage, stream] = work_.back();
      work_.pop_back();
      advance(stage, stream);
    }
    of_.first_wait_.push_back(static_cast<std::int32_t>(of_.waits_.size()));
    CHECK(std::find(of_.place_.begin(), of_.place_.end(), none) == of_.place_.end(),
          "every instruction ran: a schedule is free of deadlock");
  }

 private:
  std::int32_t stages() const { return static_cast<std::int32_t>(programs_.stages.size()); }

  void advance(std::int32_t stage, std::size_t stream) {
    const Program& program = programs_.stages[at(stage)];
    const std::vector<std::int32_t>& order = program.streams[stream];
    const std::int32_t base = of_.offset_[at(stage)];
    std::int32_t& next = next_[at(stage)][stream];
    while (at(next) < order.size()) {
      if (next > 0 && of_.place_[at(base + order[at(next - 1)])] == none)
        return;  // in a rendezvous; the last to come wakes this stream
      const std::int32_t i = order[at(next)];
      const Instruction& instruction = program.instructions[at(i)];
      for (std::int32_t w = 0; w < instruction.wait_count; ++w) {
        const std::int32_t wait = base + program.waits[at(instruction.first_wait + w)];
        if (of_.place_[at(wait)] != none) continue;
        sleepers_[at(wait)] |= static_cast<StreamSet>(1U << stream);
        return;
      }
      ++next;
      issue(stage, i, instruction);
    }
  }

  void issue(std::int32_t stage, std::int32_t i, const Instruction& instruction) {
    const std::int32_t index = of_.index(stage, i);
    if (instruction.peer_stage >= 0) {
      posted_[at(index)] = true;
      const std::int32_t other = of_.index(instruction.peer_stage, instruction.peer);
      if (posted_[at(other)]) put({{instruction.peer_stage, instruction.peer}, {stage, i}});
      return;
    }
    if (instruction.kind == InstructionKind::collective && stages() > 1 &&
        (instruction.group == GroupKind::world || instruction.group == GroupKind::embedding)) {
      const bool world = instruction.group == GroupKind::world;
      std::vector<Member>& meeting = meetings_[world ? 0 : 1];
      meeting.emplace_back(stage, i);
      if (static_cast<std::int32_t>(meeting.size()) == (world ? stages() : 2)) put(std::exchange(meeting, {}));
      return;
    }
    put({{stage, i}});
  }

  using Member = std::pair<std::int32_t, std::int32_t>;  // stage, instruction

  /// Instructions that end together have the next place.
  void put(std::span<const Member> members) {
    const auto place = static_cast<std::int32_t>(of_.instruction_.size());
    const auto begin = static_cast<std::int32_t>(of_.waits_.size());
    of_.instruction_.push_back(of_.index(members.back().first, members.back().second));
    of_.first_wait_.push_back(begin);
    for (const auto& [stage, i] : members) {
      const Program& program = programs_.stages[at(stage)];
      const Instruction& instruction = program.instructions[at(i)];
      const std::int32_t base = of_.offset_[at(stage)];
      const auto wait_for = [&](std::int32_t wait) {
        const std::int32_t of = of_.place_[at(base + wait)];
        if (std::find(of_.waits_.begin() + begin, of_.waits_.end(), of) == of_.waits_.end()) of_.waits_.push_back(of);
      };
      for (std::int32_t w = 0; w < instruction.wait_count; ++w) wait_for(program.waits[at(instruction.first_wait + w)]);
      if (const std::int32_t before = of_.before_[at(base + i)]; before >= 0) wait_for(before);
    }
    for (const auto& [stage, i] : members) {
      const std::int32_t index = of_.index(stage, i);
      of_.place_[at(index)] = place;
      StreamSet sleepers = std::exchange(sleepers_[at(index)], StreamSet{0});
      for (std::size_t stream = 0; sleepers != 0; ++stream, sleepers >>= 1U) {
        if (sleepers & 1U) work_.emplace_back(stage, stream);
      }
      // The stream of one that met others may be waiting behind it.
      if (members.size() > 1)
        work_.emplace_back(stage, static_cast<std::size_t>(programs_.stages[at(stage)].instructions[at(i)].stream));
    }
  }
  void put(std::initializer_list<Member> members) { put(std::span<const Member>(members.begin(), members.size())); }

  const Programs& programs_;
  Recurrence& of_;
  std::vector<bool> posted_;
  std::vector<StreamSet> sleepers_;  ///< streams to wake, a bit each
  std::vector<std::array<std::int32_t, stream_count>> next_;
  std::vector<std::pair<std::int32_t, std::size_t>> work_;
  std::vector<Member> meetings_[2];
};

Recurrence::Recurrence(const Programs& programs) {
  std::int32_t size = 0;
  for (const Program& stage : programs.stages) {
    offset_.push_back(size);
    size += static_cast<std::int32_t>(stage.instructions.size());
  }
  before_.assign(at(size), none);
  place_.assign(at(size), none);
  for (std::size_t stage = 0; stage < programs.stages.size(); ++stage) {
    for (const std::vector<std::int32_t>& stream : programs.stages[stage].streams) {
      for (std::size_t i = 1; i < stream.size(); ++i) before_[at(offset_[stage] + stream[i])] = stream[i - 1];
    }
  }
  Ordering(programs, *this);
}

std::vector<SimTime> Recurrence::durations(const Programs& programs) {
  std::vector<SimTime> all;
  for (const Program& stage : programs.stages) {
    for (const Instruction& instruction : stage.instructions) all.push_back(instruction.duration);
  }
  return all;
}

void Recurrence::evaluate(std::span<const SimTime> durations, Ends& ends) const {
  const std::size_t places = instruction_.size();
  ends.of_place.resize(places);
  ends.step = 0;
  std::int64_t* const end = ends.of_place.data();
  const std::int32_t* wait = waits_.data();
  for (std::size_t place = 0; place < places; ++place) {
    std::int64_t ready = 0;
    for (const std::int32_t* const last = waits_.data() + first_wait_[place + 1]; wait != last; ++wait)
      ready = std::max(ready, end[*wait]);
    end[place] = ready + durations[at(instruction_[place])].ps;
    ends.step = std::max(ends.step, end[place]);
  }
}

}  // namespace stepcast
