#pragma once
/// How gradients are cut into the pieces that an overlapped reduction sends off while the backward pass goes on, and
/// parameters into those that a sharded optimizer's gather brings before the forward pass needs them.

#include <cstddef>
#include <span>
#include <string_view>

namespace stepcast {

struct GradientBuckets {
  std::string_view name;
  std::string_view description;
  bool every_stage;  ///< else only the first pipeline stage's only chunk; others send all in one piece
  /// Parameters of bucket `index`, which close it. @param element  bytes of one as reduced
  double (*parameters)(std::size_t index, double data_ranks, double element);
};

std::span<const GradientBuckets> list_gradient_buckets();

/// Null when there is none of that name.
const GradientBuckets* find_gradient_buckets(std::string_view name);

}  // namespace stepcast
