#pragma once
/// What is known of single configurations.

#include <cstddef>
#include <cstdint>
#include <string>

namespace stepcast {

/// One configuration that was simulated.
struct Result {
  std::uint32_t variant = 0;
  std::uint64_t id = 0;  ///< Variant::plan(id)
  double step_s = 0;
  double bound_s = 0;
  double memory_bytes = 0;  ///< of the fullest GPU
};

/// Configurations that cannot run for one reason, of those that share the values of the first axes.
struct Refusal {
  std::uint32_t variant = 0;
  std::uint64_t id = 0;  ///< the first that shares them
  std::size_t axes = 0;  ///< so many axes
  std::uint64_t count = 0;
  std::string reason;
};

}  // namespace stepcast
