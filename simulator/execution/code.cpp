#include "simulator/execution/code.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

std::size_t index(Stream stream) { return static_cast<std::size_t>(stream); }

/// Compiles one stage. What an instruction waits for is counted first, so that only what holds anything up remains.
class Compiler {
 public:
  explicit Compiler(const Program& program) : program_(program) {
    place_.resize(program.instructions.size());
    for (const auto& stream : program.streams) {
      for (std::size_t i = 0; i < stream.size(); ++i) place_[at(stream[i])] = static_cast<std::int32_t>(i);
    }
    drop_needless_waits();
  }

  Code run(std::vector<std::int32_t>& operation_of) {
    operation_of.assign(program_.instructions.size(), -1);
    operation_of_ = &operation_of;
    for (std::size_t stream = 0; stream < stream_count; ++stream) {
      code_.begin[stream] = code_.size();
      for (std::int32_t i : program_.streams[stream]) add(i);
    }
    code_.begin[stream_count] = code_.size();
    // Waits were by instruction until every operation had its place.
    for (std::size_t w = 0; w < code_.waits.size(); ++w) {
      const std::int32_t instruction = code_.waits[w].count;
      const Stream stream = program_.instructions[at(instruction)].stream;
      code_.waits[w] = {stream, operation_of[at(instruction)] - code_.first(stream) + 1};
    }
    return std::move(code_);
  }

 private:
  static std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

  /// Keeps of each instruction's waits the last of every stream, and none that its own stream has waited for before.
  void drop_needless_waits() {
    waits_.resize(program_.instructions.size());
    awaited_.assign(program_.instructions.size(), false);
    for (const auto& stream : program_.streams) {
      std::array<std::int32_t, stream_count> waited;
      waited.fill(-1);
      for (std::int32_t i : stream) {
        const Instruction& instruction = program_.instructions[at(i)];
        std::array<std::int32_t, stream_count> latest;
        latest.fill(-1);
        const auto wait = [&](std::int32_t w) { return program_.waits[at(instruction.first_wait + w)]; };
        const auto stream_of = [&](std::int32_t other) { return index(program_.instructions[at(other)].stream); };
        for (std::int32_t w = 0; w < instruction.wait_count; ++w) {
          std::int32_t& last = latest[stream_of(wait(w))];
          last = std::max(last, place_[at(wait(w))]);
        }
        for (std::int32_t w = 0; w < instruction.wait_count; ++w) {
          const std::size_t other = stream_of(wait(w));
          const std::int32_t place = place_[at(wait(w))];
          if (other == index(instruction.stream) || place != latest[other] || place <= waited[other]) continue;
          waited[other] = place;
          waits_[at(i)].push_back(wait(w));
          awaited_[at(wait(w))] = true;
        }
      }
    }
  }

  /// Kernels follow each other without a gap; only one that another stream waits for ends an operation.
  bool continues(std::int32_t i) const {
    if (last_ < 0 || code_.operations.empty()) return false;
    const Instruction& instruction = program_.instructions[at(i)];
    const Instruction& before = program_.instructions[at(last_)];
    return instruction.kind == InstructionKind::local && before.kind == InstructionKind::local &&
           instruction.stream == before.stream && waits_[at(i)].empty() && !awaited_[at(last_)];
  }

  void add(std::int32_t i) {
    const Instruction& in = program_.instructions[at(i)];
    if (!continues(i)) {
      code_.operations.push_back({.kind = in.kind,
                                  .stream = in.stream,
                                  .bucket = in.bucket,
                                  .group = in.group,
                                  .sms = in.sms,
                                  .memory_traffic = in.memory_traffic,
                                  .wire = in.wire,
                                  .first_wait = static_cast<std::int32_t>(code_.waits.size()),
                                  .wait_count = static_cast<std::int32_t>(waits_[at(i)].size()),
                                  .peer_stage = in.peer_stage,
                                  .peer = in.peer,
                                  .first_instruction = static_cast<std::int32_t>(code_.instructions.size())});
      for (std::int32_t wait : waits_[at(i)]) code_.waits.push_back({{}, wait});
    }
    Operation& operation = code_.operations.back();
    if (operation.parts < 0 && (in.parts >= 0 || in.bucket != operation.bucket)) {
      operation.parts = static_cast<std::int32_t>(code_.parts.size());
      code_.parts.emplace_back()[static_cast<std::size_t>(operation.bucket)] = operation.duration;
    }
    if (operation.parts >= 0) {
      BucketTimes& parts = code_.parts[at(operation.parts)];
      if (in.parts >= 0) {
        for (std::size_t b = 0; b < bucket_count; ++b) parts[b] += program_.parts[at(in.parts)][b];
      } else {
        parts[static_cast<std::size_t>(in.bucket)] += in.duration;
      }
    }
    if (in.bucket == Bucket::compute) operation.bucket = in.bucket;  // what spread and faults stretch
    operation.duration += in.duration;
    operation.clocked += in.clocked;
    if (in.kind == InstructionKind::local && in.bucket == Bucket::compute) {
      operation.launched = std::hypot(operation.launched, static_cast<double>(in.duration.ps));
    }
    ++operation.instruction_count;
    code_.instructions.push_back(i);
    (*operation_of_)[at(i)] = code_.size() - 1;
    last_ = i;
  }

  const Program& program_;
  std::vector<std::int32_t> place_;  ///< of each instruction in its stream
  std::vector<std::vector<std::int32_t>> waits_;
  std::vector<bool> awaited_;  ///< by another stream
  Code code_;
  std::vector<std::int32_t>* operation_of_ = nullptr;
  std::int32_t last_ = -1;
};

}  // namespace

std::vector<Code> compile(const Programs& programs) {
  std::vector<Code> stages;
  std::vector<std::vector<std::int32_t>> operation_of(programs.stages.size());
  for (std::size_t stage = 0; stage < programs.stages.size(); ++stage) {
    stages.push_back(Compiler(programs.stages[stage]).run(operation_of[stage]));
  }
  for (Code& code : stages) {
    for (Operation& operation : code.operations) {
      if (operation.peer_stage < 0) continue;
      operation.peer =
          operation_of[static_cast<std::size_t>(operation.peer_stage)][static_cast<std::size_t>(operation.peer)];
      CHECK(operation.peer >= 0, "the other half of a message is in its stage's program");
    }
  }
  return stages;
}

}  // namespace stepcast
