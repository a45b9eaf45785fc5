#pragma once
/// Recomputation policies: which activations are thrown away and computed again.

#include <optional>
#include <span>
#include <string_view>

#include "simulator/workload/plan.hpp"

namespace stepcast {

struct RecomputePolicy {
  std::string_view name;
  std::string_view description;
  Recompute what;
};

std::span<const RecomputePolicy> recompute_policies();

/// Empty when the policy of that name is not modelled yet.
std::optional<Recompute> recompute_policy(std::string_view name);

}  // namespace stepcast
