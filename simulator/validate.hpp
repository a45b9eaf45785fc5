#pragma once
/// Predictions held against measurements.

#include <string>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/report/interval.hpp"
#include "simulator/report/validation.hpp"

namespace stepcast {

/// Replays a reference run: a row for each thing that was measured of it, or one that says why it cannot be compared.
/// @param file,id  where the run stands, for the rows
/// @param learned  gives each row an interval that was learned without the source that it is from
std::vector<ValidationRow> compare_with_measurement(const Job& job, const std::string& file, const std::string& id,
                                                    const LearnedErrors& learned = {});

}  // namespace stepcast
