#pragma once
/// The ways in which one kind of parallelism can be had, by the scenario keys that choose among them.

#include <span>
#include <string_view>

namespace stepcast {

struct ParallelMethod {
  std::string_view key;  ///< of `plan` or `framework`
  std::string_view name;
  std::string_view description;
};

std::span<const ParallelMethod> list_parallel_methods();

}  // namespace stepcast
