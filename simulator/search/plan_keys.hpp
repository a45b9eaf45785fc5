#pragma once
/// The keys of a plan that a sweep may vary, by their names in a scenario.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "simulator/workload/plan.hpp"

namespace stepcast {

struct PlanKey {
  using Member = std::variant<int ParallelPlan::*, std::int64_t ParallelPlan::*, bool ParallelPlan::*,
                              std::string ParallelPlan::*, std::optional<int> ParallelPlan::*,
                              std::optional<bool> ParallelPlan::*, std::optional<std::string> ParallelPlan::*>;
  std::string_view name;
  std::string_view title;  ///< of a column
  Member member;
  bool of_framework = false;  ///< lies under `framework:` in a scenario
};

/// In the order in which a sweep varies them: what blocks depend on first, what only the step's end knows last.
std::span<const PlanKey> plan_keys();
/// Null when there is none of that name.
const PlanKey* find_plan_key(std::string_view name);

/// A plan's value as a scenario would have it; empty: left to the framework.
std::string text_of(const ParallelPlan& plan, const PlanKey& key);
/// In place of the value of a key that may be left to the framework.
inline constexpr std::string_view left_open = "default";
/// @return whether the text is such a value; the plan is unchanged when not
bool assign(ParallelPlan& plan, const PlanKey& key, const std::string& text);

/// A number, where booleans are 0 and 1, or a text.
using PlanValue = std::variant<double, std::string_view>;
PlanValue value_of(const ParallelPlan& plan, const PlanKey& key);

}  // namespace stepcast
