#include <algorithm>
#include <utility>

#include "simulator/base/error.hpp"
#include "simulator/execution/account.hpp"
#include "simulator/execution/critical_path.hpp"
#include "simulator/execution/execute.hpp"
#include "simulator/execution/rank_layout.hpp"

namespace stepcast {
namespace {

/// Evaluates streams until they wait for something that has not been evaluated yet; whoever provides it wakes them.
class Dataflow {
 public:
  Dataflow(const Programs& programs, bool fold)
      : programs_(programs), code_(compile(programs)), layout_(programs.grid, fold) {
    const auto ranks = static_cast<std::size_t>(layout_.ranks());
    next_.assign(ranks * stream_count, 0);
    meetings_.resize(static_cast<std::size_t>(layout_.group_ids()));
    std::size_t slots = 0;
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      offset_.push_back(slots);
      slots += code(rank).operations.size();
    }
    ran_.resize(slots);
    sleepers_.resize(slots);
  }

  Timeline run(const ExecutionOptions& options) {
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      for (std::size_t stream = 0; stream < stream_count; ++stream) work_.emplace_back(rank, stream);
    }
    while (!work_.empty()) {
      const auto [rank, stream] = work_.back();
      work_.pop_back();
      advance(rank, stream);
    }
    Timeline timeline = account(options);
    if (options.critical_path) {
      timeline.critical_path = critical_path(
          code_, layout_, [&](std::int32_t rank, std::int32_t operation) { return ran_[slot(rank, operation)]; });
    }
    return timeline;
  }

 private:
  struct Meeting {
    std::int32_t arrived = 0;
    std::int64_t latest = 0;
    std::vector<std::pair<std::int32_t, std::int32_t>> members;  ///< rank, operation
  };

  const Code& code(std::int32_t rank) const { return code_[static_cast<std::size_t>(layout_.stage(rank))]; }
  std::size_t slot(std::int32_t rank, std::int32_t operation) const {
    return offset_[static_cast<std::size_t>(rank)] + static_cast<std::size_t>(operation);
  }

  void advance(std::int32_t rank, std::size_t stream) {
    const Code& program = code(rank);
    std::int32_t& next = next_[static_cast<std::size_t>(rank) * stream_count + stream];
    const std::int32_t first = program.begin[stream], size = program.begin[stream + 1] - first;
    while (next < size) {
      const std::int32_t index = first + next;
      const Operation& operation = program.operation(index);
      std::int64_t ready = next > 0 ? ran_[slot(rank, index - 1)].end : 0;
      if (ready < 0) return;  // the head is in a rendezvous; its partner wakes this stream
      for (std::int32_t w = 0; w < operation.wait_count; ++w) {
        const std::int32_t wait = program.awaited(program.waits[static_cast<std::size_t>(operation.first_wait + w)]);
        const std::int64_t end = ran_[slot(rank, wait)].end;
        if (end < 0) {
          sleepers_[slot(rank, wait)] |= static_cast<StreamSet>(1U << stream);
          return;
        }
        ready = std::max(ready, end);
      }
      ++next;
      issue(rank, index, operation, ready);
    }
  }

  void issue(std::int32_t rank, std::int32_t index, const Operation& operation, std::int64_t ready) {
    switch (operation.kind) {
      case InstructionKind::local: complete(rank, index, ready, operation.duration.ps); return;
      case InstructionKind::send:
      case InstructionKind::receive: {
        ran_[slot(rank, index)].start = ready;  // posted
        const std::int32_t peer = layout_.peer(rank, operation.peer_stage);
        const std::int64_t posted = ran_[slot(peer, operation.peer)].start;
        if (posted < 0) return;
        const std::int64_t begin = std::max(ready, posted);
        complete(peer, operation.peer, begin, operation.duration.ps);
        complete(rank, index, begin, operation.duration.ps);
        return;
      }
      case InstructionKind::collective: {
        const RankGroup group = layout_.group(rank, operation.group);
        Meeting& meeting = meetings_[static_cast<std::size_t>(group.id)];
        meeting.latest = std::max(meeting.latest, ready);
        meeting.members.emplace_back(rank, index);
        if (++meeting.arrived < group.count) return;
        const Meeting done = std::exchange(meeting, {});
        for (const auto& [member, at] : done.members) complete(member, at, done.latest, operation.duration.ps);
        return;
      }
    }
  }

  void complete(std::int32_t rank, std::int32_t index, std::int64_t begin, std::int64_t duration) {
    const std::size_t at = slot(rank, index);
    ran_[at] = {begin, begin + duration};
    StreamSet sleepers = std::exchange(sleepers_[at], StreamSet{0});
    const Operation& operation = code(rank).operation(index);
    // A rendezvous may end an operation that is the head of a stream which is not being advanced just now.
    if (operation.kind != InstructionKind::local) {
      sleepers |= static_cast<StreamSet>(1U << static_cast<int>(operation.stream));
    }
    for (std::size_t stream = 0; stream < stream_count; ++stream) {
      if (sleepers >> stream & 1U) work_.emplace_back(rank, stream);
    }
  }

  Timeline account(const ExecutionOptions& options) const {
    Timeline timeline;
    timeline.labels = programs_.labels;
    for (const Interval& interval : ran_) {
      CHECK(interval.end >= 0, "every instruction ran: a schedule is free of deadlock");
      timeline.step = std::max(timeline.step, SimTime{interval.end});
    }
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      const Code& program = code(rank);
      BucketTimes buckets{};
      std::int64_t free = 0;
      for (std::int32_t i = program.first(Stream::compute); i < program.begin[1]; ++i) {
        const auto [start, end] = ran_[slot(rank, i)];
        charge_idle(
            program, i, free, start, [&](std::int32_t other) { return ran_[slot(rank, other)]; }, buckets);
        charge_busy(program, program.operation(i), {end - start}, buckets);
        free = end;
      }
      timeline.buckets.push_back(close_account(buckets, free, timeline.step));
      timeline.stage_of_rank.push_back(layout_.stage(rank));
      timeline.instructions += static_cast<std::int64_t>(program.instructions.size());
      for (std::int32_t i = 0; options.record_spans && i < program.size(); ++i) {
        if (!is_traced(options, rank, ran_[slot(rank, i)])) continue;
        append_spans(programs_, program, layout_.stage(rank), rank, i, ran_[slot(rank, i)], message(rank, i),
                     timeline.spans);
      }
    }
    return timeline;
  }

  /// The same for a send and its receive.
  std::int64_t message(std::int32_t rank, std::int32_t index) const {
    const Operation& operation = code(rank).operation(index);
    if (operation.kind == InstructionKind::send) return static_cast<std::int64_t>(slot(rank, index));
    if (operation.kind != InstructionKind::receive) return -1;
    return static_cast<std::int64_t>(slot(layout_.peer(rank, operation.peer_stage), operation.peer));
  }

  const Programs& programs_;
  const std::vector<Code> code_;
  const RankLayout layout_;
  std::vector<std::int32_t> next_;
  std::vector<std::size_t> offset_;  ///< of each rank in the following
  std::vector<Interval> ran_;        ///< when; negative: not yet
  std::vector<StreamSet> sleepers_;  ///< streams to wake at the end, a bit each
  std::vector<Meeting> meetings_;
  std::vector<std::pair<std::int32_t, std::size_t>> work_;
};

}  // namespace

Timeline dataflow(const Programs& programs, const ExecutionOptions& options) {
  return Dataflow(programs, options.fold).run(options);
}

}  // namespace stepcast
