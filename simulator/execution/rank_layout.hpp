#pragma once
/// Which ranks are simulated, what each of them runs, and who meets whom.

#include <cstdint>

#include "simulator/execution/programs.hpp"

namespace stepcast {

/// Ranks that meet in a collective, evenly spaced.
struct RankGroup {
  std::int32_t first = 0, stride = 1, count = 1;
  std::int32_t id = 0;  ///< groups of different kinds never share one

  std::int32_t member(std::int32_t i) const { return first + i * stride; }
};

class RankLayout {
 public:
  /// @param fold  one rank a pipeline stage stands for all that do the same at the same time
  RankLayout(const RankGrid& grid, bool fold);

  std::int32_t ranks() const { return ranks_; }
  int stage(std::int32_t rank) const { return rank / per_stage_; }
  std::int32_t peer(std::int32_t rank, std::int32_t peer_stage) const {
    return rank % per_stage_ + peer_stage * per_stage_;
  }
  RankGroup group(std::int32_t rank, GroupKind kind) const;
  /// Above every group's id.
  std::int32_t group_ids() const { return group_kind_count * ranks_; }

 private:
  std::int32_t tensor_, context_, data_, pipeline_;
  std::int32_t expert_tensor_, expert_;
  std::int32_t data_inner_, context_inner_, tensor_side_;
  std::int32_t per_stage_, ranks_;
};

}  // namespace stepcast
