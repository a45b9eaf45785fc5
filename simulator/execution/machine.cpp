#include "simulator/execution/machine.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"

namespace stepcast {

Machine::Machine(const Programs& programs, bool fold) : programs_(programs), fold_(fold) {
  const RankGrid& grid = programs.grid;
  ranks_ = static_cast<std::int32_t>(fold ? grid.pipeline : grid.ranks());
  offset_.reserve(static_cast<std::size_t>(ranks_));
  std::size_t slots = 0;
  for (std::int32_t rank = 0; rank < ranks_; ++rank) {
    offset_.push_back(slots);
    slots += program(rank).instructions.size();
  }
  start_.assign(slots, -1);
  end_.assign(slots, -1);
  for (const Program& stage : programs.stages) {
    std::vector<std::int32_t> previous(stage.instructions.size(), -1);
    for (const auto& stream : stage.streams) {
      for (std::size_t i = 1; i < stream.size(); ++i) previous[static_cast<std::size_t>(stream[i])] = stream[i - 1];
    }
    predecessor_.push_back(std::move(previous));
  }
}

int Machine::stage(std::int32_t rank) const {
  return static_cast<int>(fold_ ? rank : rank / programs_.grid.ranks_per_stage());
}

std::int32_t Machine::peer_rank(std::int32_t rank, std::int32_t peer_stage) const {
  if (fold_) return peer_stage;
  const auto per_stage = static_cast<std::int32_t>(programs_.grid.ranks_per_stage());
  return rank % per_stage + peer_stage * per_stage;
}

std::int32_t Machine::group_size(GroupKind group) const {
  const RankGrid& grid = programs_.grid;
  switch (group) {
    case GroupKind::tensor: return fold_ ? 1 : static_cast<std::int32_t>(grid.tensor);
    case GroupKind::context: return fold_ ? 1 : static_cast<std::int32_t>(grid.context);
    case GroupKind::data: return fold_ ? 1 : static_cast<std::int32_t>(grid.context * grid.data);
    case GroupKind::expert: return fold_ ? 1 : static_cast<std::int32_t>(grid.expert);
    case GroupKind::expert_tensor: return fold_ ? 1 : static_cast<std::int32_t>(grid.expert_tensor);
    case GroupKind::expert_data: {
      return fold_ ? 1 : static_cast<std::int32_t>(grid.ranks_per_stage() / (grid.expert * grid.expert_tensor));
    }
    case GroupKind::embedding: return grid.pipeline > 1 ? 2 : 1;
    case GroupKind::world: return ranks_;
  }
  return 1;
}

std::int32_t Machine::group_instance(std::int32_t rank, GroupKind group) const {
  // Every rank names its meetings; groups of different kinds never share one.
  const auto t = static_cast<std::int32_t>(programs_.grid.tensor);
  const auto c = static_cast<std::int32_t>(programs_.grid.context);
  const auto et = static_cast<std::int32_t>(programs_.grid.expert_tensor);
  const auto ep = static_cast<std::int32_t>(programs_.grid.expert);
  const auto per_stage = static_cast<std::int32_t>(fold_ ? 1 : programs_.grid.ranks_per_stage());
  const std::int32_t kind = static_cast<std::int32_t>(group) * ranks_;
  const std::int32_t in_stage = rank % per_stage;
  switch (group) {
    case GroupKind::tensor: return kind + (fold_ ? rank : rank / t);
    case GroupKind::context: return kind + (fold_ ? rank : rank / (t * c) * t + rank % t);
    case GroupKind::expert: return kind + (fold_ ? rank : rank / (et * ep) * et + rank % et);
    case GroupKind::expert_tensor: return kind + (fold_ ? rank : rank / et);
    case GroupKind::expert_data: return kind + (fold_ ? rank : rank / per_stage * et * ep + in_stage % (et * ep));
    case GroupKind::data: return kind + (fold_ ? rank : rank / per_stage * t + in_stage % t);
    case GroupKind::embedding: return kind + in_stage;
    case GroupKind::world: return kind;
  }
  return kind;
}

std::int32_t Machine::group_instances() const { return group_kind_count * ranks_; }

/// Charges an idle stretch of the compute stream to what ended it: the transfer or collective it waited for, as far as
/// that was running; before that, to whatever held that up on this rank; waiting for other ranks is bubble.
void Machine::attribute(std::int32_t rank, std::int32_t instruction, std::int64_t from, std::int64_t to,
                        BucketTimes& buckets) const {
  const Program& code = program(rank);
  const auto bubble = static_cast<std::size_t>(Bucket::bubble);
  while (to > from) {
    const Instruction& waiting = code.instructions[static_cast<std::size_t>(instruction)];
    std::int32_t cause = predecessor_[static_cast<std::size_t>(stage(rank))][static_cast<std::size_t>(instruction)];
    for (std::int32_t w = 0; w < waiting.wait_count; ++w) {
      const std::int32_t candidate = code.waits[static_cast<std::size_t>(waiting.first_wait + w)];
      if (cause < 0 || end_[slot(rank, candidate)] > end_[slot(rank, cause)]) cause = candidate;
    }
    const std::int64_t ready = cause < 0 ? from : std::max(from, end_[slot(rank, cause)]);
    if (ready < to) buckets[bubble].ps += to - ready;  // everything of this rank was ready: it met a later one
    if (cause < 0 || ready <= from) return;
    const Instruction& blamed = code.instructions[static_cast<std::size_t>(cause)];
    if (blamed.stream == Stream::compute) return;  // the busy stretch before the gap
    const std::int64_t began = std::max(from, start_[slot(rank, cause)]);
    buckets[static_cast<std::size_t>(blamed.bucket)].ps += ready - began;
    instruction = cause;
    to = began;
  }
}

Timeline Machine::account(bool record_spans) const {
  Timeline timeline;
  timeline.labels = programs_.labels;
  for (std::int64_t end : end_) {
    CHECK(end >= 0, "every instruction ran: a schedule is free of deadlock");
    timeline.step = std::max(timeline.step, SimTime{end});
  }
  timeline.instructions = static_cast<std::int64_t>(end_.size());
  timeline.buckets.resize(static_cast<std::size_t>(ranks_));
  for (std::int32_t rank = 0; rank < ranks_; ++rank) {
    BucketTimes& buckets = timeline.buckets[static_cast<std::size_t>(rank)];
    const Program& code = program(rank);
    std::int64_t free = 0;
    for (std::int32_t i : code.streams[static_cast<std::size_t>(Stream::compute)]) {
      const Instruction& instruction = code.instructions[static_cast<std::size_t>(i)];
      const std::int64_t started = start_[slot(rank, i)];
      const std::int64_t ended = end_[slot(rank, i)];
      if (started > free) attribute(rank, i, free, started, buckets);
      std::int64_t rest = ended - started;
      if (instruction.parts >= 0) {
        const BucketTimes& parts = code.parts[static_cast<std::size_t>(instruction.parts)];
        for (std::size_t b = 0; b < bucket_count; ++b) {
          buckets[b] += parts[b];
          rest -= parts[b].ps;
        }
      }
      buckets[static_cast<std::size_t>(instruction.bucket)].ps += rest;  // sampled spread stretches an instruction
      free = ended;
    }
    buckets[static_cast<std::size_t>(Bucket::bubble)].ps += timeline.step.ps - free;
    SimTime sum;
    for (SimTime bucket : buckets) sum += bucket;
    CHECK(sum == timeline.step, "the buckets of a rank sum to the step");
    timeline.stage_of_rank.push_back(stage(rank));
  }
  if (record_spans) {
    for (std::int32_t rank = 0; rank < ranks_; ++rank) {
      const Program& code = program(rank);
      for (std::size_t i = 0; i < code.instructions.size(); ++i) {
        const Instruction& instruction = code.instructions[i];
        const std::int32_t index = static_cast<std::int32_t>(i);
        const std::size_t at = slot(rank, index);
        std::int32_t message = -1;
        if (instruction.kind == InstructionKind::send) message = static_cast<std::int32_t>(at);
        if (instruction.kind == InstructionKind::receive) {
          message = static_cast<std::int32_t>(slot(peer_rank(rank, instruction.peer_stage), instruction.peer));
        }
        timeline.spans.push_back({rank,
                                  instruction.stream,
                                  instruction.bucket,
                                  {start_[at]},
                                  {end_[at]},
                                  instruction.label,
                                  instruction.microbatch,
                                  message});
      }
    }
  }
  return timeline;
}

}  // namespace stepcast
