#pragma once
/// How pages for people put an operator into words.

#include <map>
#include <optional>
#include <string>

#include "simulator/report/report.hpp"

namespace stepcast {

/// The field's names for the two halves of a backward pass, short enough for a table: "input grad".
std::string pass_text(const std::string& pass);

/// Whether its time is judged by FLOPs; else by bytes.
bool counts_flops(const OperatorTime& op);

/// What it achieves of what bounds it: "203 TFLOP/s" or "1.45 TB/s"; "-" when neither has a meaning.
std::string reaches_text(const OperatorTime& op);

/// The same as a share of the peak of its precision, or of HBM's bandwidth; none for a collective.
std::optional<double> share_of_roof(const OperatorTime& op, BytesPerSecond hbm);

/// "97% of compute time from fitted kernel profiles, 3% assumed"; parts below half a percent are left out.
std::string leans_on_text(const std::map<std::string, double>& shares);

}  // namespace stepcast
