#include "simulator/report/operator_text.hpp"

#include <utility>

#include <fmt/format.h>

#include "simulator/units/text.hpp"

namespace stepcast {

std::string pass_text(const std::string& pass) {
  if (pass == "backward_input") return "input grad";
  if (pass == "backward_weight") return "weight grad";
  return pass;
}

bool counts_flops(const OperatorTime& op) { return op.flops > 0 && op.bound != "HBM" && op.bound != "network"; }

std::string reaches_text(const OperatorTime& op) {
  if (!(op.each > Seconds{})) return "-";
  if (counts_flops(op)) return to_text(Flops(op.flops) / op.each);
  return op.bytes > Bytes{} ? to_text(op.bytes / op.each) : "-";
}

std::optional<double> share_of_roof(const OperatorTime& op, BytesPerSecond hbm) {
  if (!(op.each > Seconds{}) || op.bound == "network") return std::nullopt;
  if (counts_flops(op))
    return op.peak > FlopsPerSecond{} ? std::optional(Flops(op.flops) / op.each / op.peak) : std::nullopt;
  return hbm > BytesPerSecond{} && op.bytes > Bytes{} ? std::optional(op.bytes / op.each / hbm) : std::nullopt;
}

std::string leans_on_text(const std::map<std::string, double>& shares) {
  const auto of = [&](const char* basis) {
    const auto found = shares.find(basis);
    return found == shares.end() ? 0.0 : found->second;
  };
  // The first part names what the others are shares of, so it stands even at 0%.
  std::string text = fmt::format("{:.0f}% of compute time from fitted kernel profiles",
                                 100 * (of("measured") + of("interpolated") + of("fitted")));
  for (const auto& [basis, words] : {std::pair("extrapolated", "extrapolated"),
                                     {"estimated", "estimated from published runs"},
                                     {"assumed", "assumed"}}) {
    if (of(basis) >= 0.005) text += fmt::format(", {:.0f}% {}", 100 * of(basis), words);
  }
  return text;
}

}  // namespace stepcast
