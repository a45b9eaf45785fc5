#pragma once
/// The JSON report as a tree, for the formats that are cut from it.

#include <nlohmann/json.hpp>

#include "simulator/report/formats.hpp"

namespace stepcast {

nlohmann::ordered_json json_tree(const Report& report, const ReportStyle& style);

/// One operator; shares are of the report's step.
nlohmann::ordered_json operator_tree(const OperatorTime& op, const Report& report);

}  // namespace stepcast
