#include "simulator/execution/rank_layout.hpp"

namespace stepcast {

RankLayout::RankLayout(const RankGrid& grid, bool fold)
    : tensor_(fold ? 1 : static_cast<std::int32_t>(grid.tensor)),
      context_(fold ? 1 : static_cast<std::int32_t>(grid.context)),
      data_(fold ? 1 : static_cast<std::int32_t>(grid.data)),
      pipeline_(static_cast<std::int32_t>(grid.pipeline)),
      expert_tensor_(fold ? 1 : static_cast<std::int32_t>(grid.expert_tensor)),
      expert_(fold ? 1 : static_cast<std::int32_t>(grid.expert)),
      data_inner_(fold ? 1 : static_cast<std::int32_t>(grid.data_inner)),
      context_inner_(fold ? 1 : static_cast<std::int32_t>(grid.context_inner)),
      tensor_side_(fold ? 1 : static_cast<std::int32_t>(grid.tensor_side)),
      per_stage_(tensor_ * context_ * data_),
      ranks_(per_stage_ * pipeline_) {}

RankGroup RankLayout::group(std::int32_t rank, GroupKind kind) const {
  const std::int32_t ids = static_cast<std::int32_t>(kind) * ranks_;
  // Members are `stride` apart; ranks of `stride * count` in a row share a block of such groups.
  const auto within = [&](std::int32_t stride, std::int32_t count) {
    const std::int32_t block = rank / (stride * count), place = rank % stride;
    return RankGroup{block * stride * count + place, stride, count, ids + block * stride + place};
  };
  switch (kind) {
    case GroupKind::tensor: return within(1, tensor_);
    case GroupKind::context: return within(tensor_, context_);
    case GroupKind::expert_tensor: return within(1, expert_tensor_);
    case GroupKind::expert: return within(expert_tensor_, expert_);
    case GroupKind::expert_data: {
      const std::int32_t once = expert_tensor_ * expert_;
      return within(once, per_stage_ / once);
    }
    case GroupKind::data: return within(tensor_, context_ * data_);  // gradients are reduced over both
    case GroupKind::data_inner: return within(tensor_, data_inner_);
    case GroupKind::data_outer: return within(tensor_ * data_inner_, context_ * data_ / data_inner_);
    case GroupKind::context_inner: return within(tensor_, context_inner_);
    case GroupKind::context_outer: return within(tensor_ * context_inner_, context_ / context_inner_);
    case GroupKind::tensor_row: return within(1, tensor_side_);
    case GroupKind::tensor_column: return within(tensor_side_, tensor_side_);
    case GroupKind::tensor_depth: {
      const std::int32_t layer = tensor_side_ * tensor_side_;
      return within(layer, tensor_ / layer);
    }
    case GroupKind::embedding:
      if (pipeline_ == 1) return {rank, 1, 1, ids + rank};
      return {rank % per_stage_, per_stage_ * (pipeline_ - 1), 2, ids + rank % per_stage_};
    case GroupKind::world: return {0, 1, ranks_, ids};
  }
  return {rank, 1, 1, ids + rank};
}

}  // namespace stepcast
