#pragma once
/// The JSON report as a tree, for the formats that are cut from it.

#include <nlohmann/json.hpp>

#include "simulator/report/formats.hpp"

namespace stepcast {

nlohmann::ordered_json json_tree(const Report& report, const ReportStyle& style);

}  // namespace stepcast
