#pragma once
/// What each class of rank executes: instructions on streams, as CUDA runs them.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "simulator/engine/sim_time.hpp"
#include "simulator/execution/timeline.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

enum class InstructionKind : std::uint8_t {
  local,  ///< runs for its duration once its stream and the events it waits for are ready
  send,   ///< rendezvous with the peer's receive; both end together
  receive,
  collective  ///< rendezvous of a group; all members end together
};

/// Instructions of a stream run in order; each records an event when it ends, named by its index in the program.
struct Instruction {
  InstructionKind kind = InstructionKind::local;
  Stream stream{};
  Bucket bucket{};
  GroupKind group{};
  SimTime duration{};
  SimTime clocked{};       ///< part of it that follows the core clock
  double sms = 0;          ///< that a transfer or collective takes from kernels
  Bytes memory_traffic{};  ///< of a transfer or collective: what it reads and writes on the GPU
  Bytes wire{};            ///< what a transfer or collective moves over each link that it crosses
  std::int32_t label = 0;  ///< index into Programs::labels
  std::int32_t microbatch = -1;
  std::int32_t first_wait = 0;  ///< range of Program::waits
  std::int32_t wait_count = 0;
  std::int32_t parts = -1;       ///< index into Program::parts: the buckets inside a folded instruction
  std::int32_t peer_stage = -1;  ///< send and receive: where the other half runs
  std::int32_t peer = -1;        ///< and which instruction it is
};

using BucketTimes = std::array<SimTime, bucket_count>;

/// The program that every rank of one pipeline stage runs.
struct Program {
  std::vector<Instruction> instructions;
  std::vector<std::int32_t> waits;
  std::vector<BucketTimes> parts;
  std::array<std::vector<std::int32_t>, stream_count> streams;  ///< instructions of each stream, in order
  std::vector<std::int32_t> passes;  ///< of the schedule: the first instruction of the exchange before each
};

/// Ranks in Megatron's order: tensor fastest, then context, data, pipeline. Experts are laid over the same ranks of a stage:
/// expert tensor fastest, then expert, then their copies.
struct RankGrid {
  std::int64_t tensor = 1, context = 1, data = 1, pipeline = 1;
  std::int64_t expert_tensor = 1, expert = 1;
  std::int64_t data_inner = 1, context_inner = 1;  ///< of data and context
  std::int64_t tensor_side = 1;                    ///< of a grid of tensor-parallel ranks

  std::int64_t ranks() const { return tensor * context * data * pipeline; }
  std::int64_t ranks_per_stage() const { return tensor * context * data; }
};

struct Programs {
  RankGrid grid;
  std::vector<Program> stages;  ///< one class of rank each
  std::vector<std::string> labels;
  double sms = 0;  ///< of a GPU
  BytesPerSecond hbm_bandwidth;
};

}  // namespace stepcast
