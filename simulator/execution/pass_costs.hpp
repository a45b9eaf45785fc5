#pragma once
/// What each pass of a block runs and takes on one rank: reckoned once, whichever stages and microbatches run it.

#include <array>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "simulator/execution/costs.hpp"
#include "simulator/profiles/framework.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {

inline constexpr std::size_t pass_kind_count = 4;

/// A pass of a block: its operators in order, the host's time to launch them, and both folded.
struct BlockPass {
  OpList split;                 ///< of a backward pass in two parts: this part's operators
  const OpList* ops = nullptr;  ///< what runs
  Seconds host;
  FoldedPass folded;
};

/// Of one sharded model under one plan; both, and the cost model, must outlive it.
class PassCosts {
 public:
  PassCosts(const ShardedModel& model, const ParallelPlan& plan, const Framework& framework, const Gpu& gpu,
            const CostModel& costs)
      : model_(model), plan_(plan), framework_(framework), gpu_(gpu), costs_(costs) {}

  const BlockPass& of(const LocalBlock& block, PassKind kind) const;

  /// A forward pass of one chunk beside the backward pass of another microbatch on `backward`.
  const BlockPass& pair(const ChunkContents& forward, const ChunkContents& backward) const;

  /// The blocks of a chunk in the order in which a pass runs them: (block, how many in a row).
  std::vector<std::pair<const LocalBlock*, int>> blocks(const ChunkContents& chunk, PassKind kind) const;

 private:
  Seconds host_time(const LocalBlock& block, const OpList& ops, PassKind kind) const;

  using Contents = std::vector<std::pair<const LocalBlock*, int>>;

  const ShardedModel& model_;
  const ParallelPlan& plan_;
  const Framework& framework_;
  const Gpu& gpu_;
  const CostModel& costs_;
  /// Few blocks, met over and over: looked up by address.
  mutable std::vector<std::pair<const LocalBlock*, std::array<std::unique_ptr<BlockPass>, pass_kind_count>>> blocks_;
  mutable std::map<std::pair<Contents, Contents>, BlockPass> pairs_;
};

}  // namespace stepcast
