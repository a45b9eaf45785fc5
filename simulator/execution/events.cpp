#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <random>
#include <utility>

#include "simulator/engine/expected_slowest.hpp"
#include "simulator/execution/execute.hpp"
#include "simulator/execution/machine.hpp"

namespace stepcast {
namespace {

/// Streams start their head instruction once it is ready; ends are events on the queue.
class Events {
 public:
  Events(const Programs& programs, bool fold, const SampledSpread& spread)
      : machine_(programs, fold), spread_(spread), random_(spread.seed) {
    const auto ranks = static_cast<std::size_t>(machine_.ranks());
    next_.assign(ranks * stream_count, 0);
    running_.assign(ranks * stream_count, false);
    meetings_.resize(static_cast<std::size_t>(machine_.group_instances()));
    for (std::int32_t rank = 0; rank < machine_.ranks(); ++rank) {
      sleepers_.emplace_back(machine_.program(rank).instructions.size(), std::uint8_t{0});
      slowness_.push_back(spread.speed > 0 ? spread.speed * normal() : 0);
    }
  }

  Timeline run(bool record_spans) {
    for (std::int32_t rank = 0; rank < machine_.ranks(); ++rank) {
      for (std::size_t stream = 0; stream < stream_count; ++stream) advance(rank, stream);
    }
    while (!queue_.empty()) {
      const End event = queue_.top();
      queue_.pop();
      now_ = event.time;
      ++events_;
      finish(event.rank, event.instruction);
    }
    Timeline timeline = machine_.account(record_spans);
    timeline.events = events_;
    return timeline;
  }

 private:
  struct End {
    std::int64_t time;
    std::int64_t order;  ///< ties: first scheduled, first served
    std::int32_t rank, instruction;
    bool operator>(const End& other) const { return time != other.time ? time > other.time : order > other.order; }
  };
  struct Meeting {
    std::vector<std::pair<std::int32_t, std::int32_t>> members;  ///< rank, instruction
  };

  std::size_t slot(std::int32_t rank, std::size_t stream) const {
    return static_cast<std::size_t>(rank) * stream_count + stream;
  }

  void advance(std::int32_t rank, std::size_t stream) {
    const Program& code = machine_.program(rank);
    const auto& order = code.streams[stream];
    std::size_t& next = next_[slot(rank, stream)];
    if (running_[slot(rank, stream)] || next == order.size()) return;
    const std::int32_t index = order[next];
    const Instruction& instruction = code.instructions[static_cast<std::size_t>(index)];
    for (std::int32_t w = 0; w < instruction.wait_count; ++w) {
      const std::int32_t wait = code.waits[static_cast<std::size_t>(instruction.first_wait + w)];
      if (machine_.end(rank, wait) < 0 || machine_.end(rank, wait) > now_) {
        sleepers_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(wait)] |=
            static_cast<std::uint8_t>(1U << stream);
        return;
      }
    }
    running_[slot(rank, stream)] = true;
    ++next;
    issue(rank, index, instruction);
  }

  void issue(std::int32_t rank, std::int32_t index, const Instruction& instruction) {
    switch (instruction.kind) {
      case InstructionKind::local: begin(rank, index, sampled(rank, instruction)); return;
      case InstructionKind::send:
      case InstructionKind::receive: {
        machine_.start(rank, index) = now_;  // posted
        const std::int32_t peer = machine_.peer_rank(rank, instruction.peer_stage);
        if (machine_.start(peer, instruction.peer) < 0) return;
        begin(peer, instruction.peer, instruction.duration.ps);
        begin(rank, index, instruction.duration.ps);
        return;
      }
      case InstructionKind::collective: {
        Meeting& meeting = meetings_[static_cast<std::size_t>(machine_.group_instance(rank, instruction.group))];
        meeting.members.emplace_back(rank, index);
        if (static_cast<std::int32_t>(meeting.members.size()) < machine_.group_size(instruction.group)) return;
        const Meeting complete = std::exchange(meeting, {});
        for (const auto& [member, at] : complete.members) begin(member, at, instruction.duration.ps);
        return;
      }
    }
  }

  /// A standard normal value; by the quantile, so that every standard library draws the same.
  double normal() {
    return normal_quantile((static_cast<double>(random_() >> 11) + 0.5) / 9007199254740992.0);  // 2^53
  }

  std::int64_t sampled(std::int32_t rank, const Instruction& instruction) {
    if (spread_.speed <= 0 && spread_.launch <= 0) return instruction.duration.ps;
    const double speed = slowness_[static_cast<std::size_t>(rank)] * static_cast<double>(instruction.clocked.ps);
    const double launch = instruction.bucket == Bucket::compute
                              ? spread_.launch * normal() * static_cast<double>(instruction.duration.ps)
                              : 0;
    return std::max<std::int64_t>(0, instruction.duration.ps + std::llround(speed + launch));
  }

  void begin(std::int32_t rank, std::int32_t index, std::int64_t duration) {
    machine_.start(rank, index) = now_;
    machine_.end(rank, index) = now_ + duration;
    queue_.push({now_ + duration, scheduled_++, rank, index});
  }

  void finish(std::int32_t rank, std::int32_t index) {
    const Instruction& instruction = machine_.program(rank).instructions[static_cast<std::size_t>(index)];
    const auto own = static_cast<std::size_t>(instruction.stream);
    running_[slot(rank, own)] = false;
    const std::uint8_t sleepers =
        std::exchange(sleepers_[static_cast<std::size_t>(rank)][static_cast<std::size_t>(index)], std::uint8_t{0});
    advance(rank, own);
    for (std::size_t stream = 0; stream < stream_count; ++stream) {
      if (stream != own && (sleepers >> stream & 1U)) advance(rank, stream);
    }
  }

  Machine machine_;
  const SampledSpread spread_;
  std::mt19937_64 random_;
  std::vector<double> slowness_;  ///< per rank: share by which clocked work takes longer
  std::vector<std::size_t> next_;
  std::vector<bool> running_;
  std::vector<std::vector<std::uint8_t>> sleepers_;
  std::vector<Meeting> meetings_;
  std::priority_queue<End, std::vector<End>, std::greater<>> queue_;
  std::int64_t now_ = 0, scheduled_ = 0, events_ = 0;
};

}  // namespace

Timeline events(const Programs& programs, const ExecutionOptions& options, const SampledSpread& spread) {
  return Events(programs, options.fold, spread).run(options.record_spans);
}

const char* name_of(Stream stream) {
  switch (stream) {
    case Stream::compute: return "compute";
    case Stream::tensor: return "tensor parallel";
    case Stream::expert: return "expert parallel";
    case Stream::data: return "data parallel";
    case Stream::send_forward: return "send forward";
    case Stream::send_backward: return "send backward";
    case Stream::receive_forward: return "receive forward";
    case Stream::receive_backward: return "receive backward";
  }
  return "";
}

const char* name_of(Bucket bucket) {
  switch (bucket) {
    case Bucket::compute: return "compute";
    case Bucket::tp_comm: return "tensor-parallel communication";
    case Bucket::cp_comm: return "context-parallel communication";
    case Bucket::ep_comm: return "expert-parallel communication";
    case Bucket::dp_comm: return "data-parallel communication";
    case Bucket::pp_comm: return "pipeline communication";
    case Bucket::bubble: return "pipeline bubble";
    case Bucket::optimizer: return "optimizer";
    case Bucket::host: return "host and other";
  }
  return "";
}

}  // namespace stepcast
