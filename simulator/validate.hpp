#pragma once
/// Predictions held against measurements.

#include <string>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/report/validation.hpp"

namespace stepcast {

/// Replays a reference run: a row for each thing that was measured of it, or one that says why it cannot be compared.
/// @param file,id  where the run stands, for the rows
std::vector<ValidationRow> compare_with_measurement(const Job& job, const std::string& file, const std::string& id);

}  // namespace stepcast
