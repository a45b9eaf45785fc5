#pragma once
/// What to change in a plan that needs too much memory: each remedy is the plan with one change, predicted.

#include <span>
#include <string_view>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/report/report.hpp"

namespace stepcast {

/// One change of a plan that may save memory.
struct Remedy {
  std::string_view name;
  std::string_view description;
  /// Changes the plan; false: it has nothing to change there. The global batch stays what it is.
  bool (*apply)(Job& job);
};

std::span<const Remedy> remedies();

/// The remedies that save memory, predicted; without those that the plan's divisibility rules out. Those that make it
/// fit come first, then by what they cost in step time.
/// @param report  what predict() says of the job as it is
std::vector<Advice> advise(const Job& job, const Report& report);

}  // namespace stepcast
