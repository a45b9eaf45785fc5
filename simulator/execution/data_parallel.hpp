#pragma once
/// How the ranks that hold copies or shards of a stage's parameters keep them together: what they launch, and when.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "simulator/execution/lower.hpp"
#include "simulator/execution/program_builder.hpp"
#include "simulator/execution/step_work.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {

/// One block of one pass, as the lowering walks through a stage's schedule.
struct PassBlock {
  const PassStep& step;
  const LocalBlock& block;
};

/// The passes at the two ends of each chunk's step.
class PassEnds {
 public:
  PassEnds(const std::vector<PassStep>& steps, std::size_t chunks) : first_(chunks), last_(chunks) {
    for (const PassStep& step : steps) {
      const auto chunk = static_cast<std::size_t>(step.chunk);
      if (!first_[chunk]) first_[chunk] = step;
      if (makes_weight_gradients(step.kind)) last_[chunk] = step;
    }
  }

  /// The first forward pass of its chunk.
  bool first(const PassStep& step) const { return step == first_[static_cast<std::size_t>(step.chunk)]; }
  /// The last pass that makes weight gradients of its chunk.
  bool last(const PassStep& step) const { return step == last_[static_cast<std::size_t>(step.chunk)]; }

 private:
  std::vector<std::optional<PassStep>> first_, last_;
};

/// What a scheme sees of the stage that it works on.
struct StageContext {
  const LoweringInput& in;
  int stage = 0;
  const std::vector<ChunkContents>& chunks;
  const std::vector<PassStep>& steps;  ///< passes are handed to a scheme as elements of this
  ProgramBuilder& builder;
  const StepWork& work;
  PassEnds ends{steps, chunks.size()};

  double data_ranks() const { return static_cast<double>(in.plan.data_parallel) * in.plan.context_parallel; }
  std::size_t index(const PassStep& step) const { return static_cast<std::size_t>(&step - steps.data()); }
};

/// One scheme: replicas with an all_reduce, a sharded optimizer, fully sharded parameters.
class DataParallelism {
 public:
  virtual ~DataParallelism() = default;
  virtual void begin_step() = 0;
  /// Whether nothing is launched, waited for or remembered around a pass: it is as any other of its kind and chunk, and need
  /// not be told of where another was.
  virtual bool quiet(const PassStep& step) const = 0;
  /// Whether a pass is walked block by block; else it is one instruction, and blocks are not told of.
  virtual bool by_block(const PassStep& step) const = 0;
  virtual void before_pass(const PassStep& step) = 0;
  virtual void before_block(const PassBlock& at) = 0;
  virtual void after_block(const PassBlock& at) = 0;
  virtual void after_pass(const PassStep& step) = 0;
  /// Launches what is left to reduce. @return what the gradient norm waits for, or -1
  virtual std::int32_t finish_gradients() = 0;
  /// Whether it sends each reduced gradient to the CPU at once; else all of them go down before the optimizer.
  virtual bool downloads_gradients() const { return false; }
  /// @return what the step waits for after the optimizer, or -1
  virtual std::int32_t after_optimizer() = 0;
};

/// Whole parameters on every rank: all_reduce of gradients, or reduce_scatter and all_gather around a sharded optimizer
/// (ZeRO-1, Megatron's distributed optimizer), overlapped or not.
std::unique_ptr<DataParallelism> replicated(const StageContext& stage);

/// ZeRO-3 and FSDP (ZeRO-2 where parameters stay gathered): blocks gathered before use, gradients scattered after.
std::unique_ptr<DataParallelism> fully_sharded(const StageContext& stage);

/// Copies that do not wait for each other in every step: local SGD, gossip, asynchronous gradients.
std::unique_ptr<DataParallelism> loosely_synchronised(const StageContext& stage);

}  // namespace stepcast
