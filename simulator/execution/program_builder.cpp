#include "simulator/execution/program_builder.hpp"

#include <algorithm>
#include <utility>

namespace stepcast {

std::int32_t Labels::operator[](std::string_view name) {
  const auto index = static_cast<std::int32_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
  if (index == static_cast<std::int32_t>(names_.size())) names_.emplace_back(name);
  return index;
}

std::int32_t ProgramBuilder::compare(const Instruction& instruction, Waits waits) {
  if (!agrees_ || cursor_ == static_cast<std::int32_t>(durations_.size())) {
    agrees_ = false;
    return 0;
  }
  const Instruction& known = known_->instructions[static_cast<std::size_t>(cursor_)];
  agrees_ = known.kind == instruction.kind && known.stream == instruction.stream && known.group == instruction.group;
  std::int32_t& last = last_[static_cast<std::size_t>(instruction.stream)];
  std::int32_t count = 0;
  const auto wait_for = [&](std::int32_t wait) {
    if (wait < 0 || wait == last) return;
    agrees_ = agrees_ && count < known.wait_count &&
              known_->waits[static_cast<std::size_t>(known.first_wait + count)] == wait;
    ++count;
  };
  for (std::int32_t wait : waits) wait_for(wait);
  if (instruction.stream == Stream::compute) {
    for (std::int32_t wait : next_waits_) wait_for(wait);
    next_waits_.clear();
  }
  agrees_ = agrees_ && count == known.wait_count;
  durations_[static_cast<std::size_t>(cursor_)] = instruction.duration;
  return last = cursor_++;
}

void ProgramBuilder::leave_out(std::int32_t end, const std::array<std::int32_t, stream_count>& last) {
  agrees_ = agrees_ && next_waits_.empty();
  cursor_ = end;
  for (std::size_t stream = 0; stream < stream_count; ++stream) {
    if (last[stream] >= 0) last_[stream] = last[stream];
  }
}

std::int32_t ProgramBuilder::add(Instruction instruction, Waits waits) {
  if (known_) return compare(instruction, waits);
  const auto index = static_cast<std::int32_t>(program_.instructions.size());
  if (index == 0)
    program_.instructions.reserve(room_), program_.waits.reserve(room_), program_.parts.reserve(room_ / 4);
  const auto stream = static_cast<std::size_t>(instruction.stream);
  instruction.first_wait = static_cast<std::int32_t>(program_.waits.size());
  const auto wait_for = [&](std::int32_t wait) {
    // Its own stream's order makes a wait for the instruction right before it superfluous.
    if (wait >= 0 && wait != last_[stream]) program_.waits.push_back(wait);
  };
  for (std::int32_t wait : waits) wait_for(wait);
  if (instruction.stream == Stream::compute) {
    for (std::int32_t wait : next_waits_) wait_for(wait);
    next_waits_.clear();
  }
  instruction.wait_count = static_cast<std::int32_t>(program_.waits.size()) - instruction.first_wait;
  program_.instructions.push_back(instruction);
  program_.streams[stream].push_back(index);
  last_[stream] = index;
  return index;
}

std::int32_t ProgramBuilder::local(Stream stream, Bucket bucket, std::string_view name, Seconds duration, Waits waits) {
  return add({.stream = stream, .bucket = bucket, .duration = to_ticks(duration), .label = labels_[name]}, waits);
}

std::int32_t ProgramBuilder::collective(Stream stream, Bucket bucket, const Collective& work, std::string_view name,
                                        Waits waits) {
  const auto known = std::find_if(timed_.begin(), timed_.end(), [&](const Timed& timed) {
    return timed.work.kind == work.kind && timed.work.group == work.group && timed.work.size == work.size;
  });
  Instruction instruction;
  if (known != timed_.end()) {
    instruction = known->instruction;
  } else {
    instruction = {.kind = InstructionKind::collective,
                   .group = work.group,
                   .duration = to_ticks(costs_.collective(work.kind, work.group, work.size)),
                   .sms = costs_.sms(work.group),
                   .memory_traffic = memory_traffic(work),
                   .wire = costs_.wire(work)};
    timed_.push_back({work, instruction});
  }
  instruction.stream = stream;
  instruction.bucket = bucket;
  instruction.label = labels_[name];
  return add(instruction, waits);
}

void ProgramBuilder::begin_pass(std::string_view name, std::int32_t microbatch, bool split) {
  pass_name_ = name;
  pass_microbatch_ = microbatch;
  pass_split_ = split;
  pass_sum_ = {};
}

void ProgramBuilder::block(const BlockPass& block, int count) {
  const FoldedPass& pass = block.folded;
  for (int i = 0; i < count; ++i) {
    if (granularity_ == Granularity::kernel) {
      emit_kernels(*block.ops, pass);
    } else if (pass_split_) {
      emit_folded(pass);
    } else {
      pass_sum_.duration += pass.duration;
      pass_sum_.clocked += pass.clocked;
      for (std::size_t b = 0; b < bucket_count; ++b) pass_sum_.parts[b] += pass.parts[b];
    }
  }
}

std::int32_t ProgramBuilder::end_pass() {
  if (granularity_ == Granularity::chunk && !pass_split_) emit_folded(pass_sum_);
  return last(Stream::compute);
}

void ProgramBuilder::emit_folded(const FoldedPass& pass) {
  if (!known_) program_.parts.push_back(pass.parts);
  add({.stream = Stream::compute,
       .bucket = Bucket::compute,
       .duration = pass.duration,
       .clocked = pass.clocked,
       .label = labels_[pass_name_],
       .microbatch = pass_microbatch_,
       .parts = static_cast<std::int32_t>(program_.parts.size()) - 1},
      {});
}

void ProgramBuilder::emit_kernels(const OpList& ops, const FoldedPass& pass) {
  // Blocks are joined: the first kernel and the first collective of a block wait for all of the block before.
  std::vector<std::int32_t> index(ops.size());
  constexpr Stream streams[lane_count] = {Stream::compute, Stream::tensor, Stream::expert};
  const std::int32_t joined =
      local(Stream::compute, Bucket::compute, "join", Seconds(0), {last(Stream::tensor), last(Stream::expert)});
  bool first[lane_count] = {false, true, true};
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const OpCost cost = costs_.op(ops[i]);
    const auto lane = static_cast<std::size_t>(ops[i].lane);
    const bool comm = ops[i].lane != Lane::compute;
    std::vector<std::int32_t> waits;
    if (ops[i].after >= 0) waits.push_back(index[static_cast<std::size_t>(ops[i].after)]);
    if (std::exchange(first[lane], false)) waits.push_back(joined);
    index[i] = add({.kind = comm ? InstructionKind::collective : InstructionKind::local,
                    .stream = streams[lane],
                    .bucket = cost.bucket,
                    .group = comm ? std::get<Collective>(ops[i].work).group : GroupKind::tensor,
                    .duration = cost.duration,
                    .clocked = cost.clocked ? cost.duration : SimTime{},
                    .sms = comm ? costs_.sms(std::get<Collective>(ops[i].work).group) : 0,
                    .memory_traffic = comm ? memory_traffic(std::get<Collective>(ops[i].work)) : Bytes(0),
                    .wire = comm ? costs_.wire(std::get<Collective>(ops[i].work)) : Bytes(0),
                    .label = labels_[ops[i].name],
                    .microbatch = pass_microbatch_},
                   waits);
  }
  const SimTime host = pass.parts[static_cast<std::size_t>(Bucket::host)];
  if (last(Stream::tensor) >= 0 || last(Stream::expert) >= 0 || host.ps > 0) {
    add({.stream = Stream::compute, .bucket = Bucket::host, .duration = host, .label = labels_["host"]},
        {last(Stream::tensor), last(Stream::expert)});
  }
}

}  // namespace stepcast
