#pragma once
/// Programs made ready to run: instructions that nothing can come between are one operation, and what an operation waits
/// for is a number of operations of another stream. A rank is then a count a stream.

#include <array>
#include <cstdint>
#include <vector>

#include "simulator/execution/programs.hpp"

namespace stepcast {

/// Streams of a rank, a bit each.
using StreamSet = std::uint16_t;
static_assert(stream_count <= 16);

/// Holds up an operation until so many of that stream have ended.
struct Wait {
  Stream stream{};
  std::int32_t count = 0;
};

struct Operation {
  InstructionKind kind = InstructionKind::local;
  Stream stream{};
  Bucket bucket{};
  GroupKind group{};
  SimTime duration{};
  SimTime clocked{};       ///< part of it that follows the core clock
  double sms = 0;          ///< that it takes from kernels
  Bytes memory_traffic{};  ///< that it takes from kernels while it runs
  Bytes wire{};            ///< what it moves over each link that it crosses
  double launched = 0;     ///< ticks that spread between launches acts on: the root of the sum of squares
  std::int32_t first_wait = 0, wait_count = 0;  ///< range of Code::waits
  std::int32_t parts = -1;                      ///< index into Code::parts when it is not of one bucket
  std::int32_t peer_stage = -1, peer = -1;      ///< send and receive: the operation that is the other half
  std::int32_t first_instruction = 0, instruction_count = 0;  ///< range of Code::instructions
};

/// The program of one pipeline stage.
struct Code {
  std::vector<Operation> operations;                   ///< stream after stream, each in order
  std::array<std::int32_t, stream_count + 1> begin{};  ///< of each stream in operations
  std::vector<Wait> waits;
  std::vector<BucketTimes> parts;
  std::vector<std::int32_t> instructions;  ///< those of Program, in the order of operations

  std::int32_t size() const { return static_cast<std::int32_t>(operations.size()); }
  const Operation& operation(std::int32_t index) const { return operations[static_cast<std::size_t>(index)]; }
  std::int32_t first(Stream stream) const { return begin[static_cast<std::size_t>(stream)]; }
  /// The operation whose end a wait waits for.
  std::int32_t awaited(const Wait& wait) const { return first(wait.stream) + wait.count - 1; }
};

/// One for each pipeline stage.
std::vector<Code> compile(const Programs& programs);

}  // namespace stepcast
