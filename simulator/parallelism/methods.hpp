#pragma once
/// The ways in which one kind of parallelism can be had, by the scenario keys that choose among them.

#include <span>
#include <string_view>

namespace stepcast {

/// Names of the transfers that go beside the parts of a product (tensor_overlap.cpp).
inline constexpr std::string_view part_of_gather = "exchange_input_part", part_of_scatter = "reduce_scatter_part";

struct ParallelMethod {
  std::string_view key;  ///< of `plan` or `framework`
  std::string_view name;
  std::string_view description;
};

std::span<const ParallelMethod> list_parallel_methods();

}  // namespace stepcast
