/// Amounts as people write them.

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "simulator/budget/answer_formats.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

struct Scale {
  double from;
  const char* word;
  const char* letter;
};
constexpr std::array<Scale, 4> scales{
    {{1e15, "quadrillion", "Q"}, {1e12, "trillion", "T"}, {1e9, "billion", "B"}, {1e6, "million", "M"}}};

/// Rounds up into the next scale as the printed digits do.
const Scale* scale_of(double count) {
  for (const Scale& scale : scales) {
    if (count >= 0.9995 * scale.from) return &scale;
  }
  return nullptr;
}

}  // namespace

std::string size_text(double count) {
  const Scale* scale = scale_of(count);
  return scale != nullptr ? number_text(count / scale->from) + " " + scale->word : count_text(std::round(count));
}

std::string short_size_text(double count) {
  const Scale* scale = scale_of(count);
  return scale != nullptr ? number_text(count / scale->from) + " " + scale->letter : count_text(std::round(count));
}

std::string compute_text(Flops flops) {
  std::string digits = fmt::format("{:.3g}", flops.si());
  if (const std::size_t plus = digits.find("e+"); plus != std::string::npos) digits.erase(plus + 1, 1);
  return digits + " FLOPs";
}

std::string dollars_text(double dollars) {
  return dollars >= 1e6 ? "$" + size_text(dollars) : "$" + count_text(std::round(dollars));
}

std::string days_text(double days) {
  if (days < 1.0 / 1440) return to_text(Seconds(days * 86400));
  if (days < 1.0 / 24) return number_text(days * 1440) + " minutes";
  if (days < 2) return number_text(days * 24) + " hours";
  return number_text(days) + " days";
}

std::string days_range_text(double days, double from, double to) {
  const auto [scale, unit] = days < 1.0 / 1440 ? std::pair(86400.0, "s")
                             : days < 1.0 / 24 ? std::pair(1440.0, "minutes")
                             : days < 2        ? std::pair(24.0, "hours")
                                               : std::pair(1.0, "days");
  // As many digits as tell the ends apart, so that the mean does not seem to lie outside of them.
  return fmt::format("{} {} ({} to {}", number_text(days * scale, 4), unit, number_text(from * scale, 4),
                     number_text(to * scale, 4));
}

std::string gpu_hours_text(double hours) { return hours < 1000 ? number_text(hours) : count_text(std::round(hours)); }

std::string plan_text(const ParallelPlan& p) {
  std::string text = fmt::format("TP {}", p.tensor_parallel);
  if (p.sequence_parallel && p.tensor_parallel > 1) text += " (SP)";
  if (p.context_parallel > 1) text += fmt::format("  CP {}", p.context_parallel);
  if (p.expert_parallel > 1) text += fmt::format("  EP {}", p.expert_parallel);
  text += fmt::format("  PP {}", p.pipeline_parallel);
  if (p.virtual_stages > 1) text += fmt::format(" x {}", p.virtual_stages);
  text += fmt::format("  DP {}", p.data_parallel);
  if (p.zero > 0) text += fmt::format("  ZeRO-{}", p.zero);
  return text + fmt::format("  microbatch {}, recompute {}", p.microbatch, p.recompute);
}

std::string shape_text(const Architecture& m) {
  std::string text = fmt::format("{} layer{} x {}, {} heads", m.layers, m.layers == 1 ? "" : "s", m.hidden, m.heads);
  if (m.kv_heads != m.heads) text += fmt::format(" ({} for keys and values)", m.kv_heads);
  if (m.ffn) text += fmt::format(", FFN {}", *m.ffn);
  if (m.moe) {
    text += fmt::format(", {} experts of {}, {} a token", m.moe->experts, m.moe->expert_ffn, m.moe->top_k);
    if (m.moe->shared_experts > 0) text += fmt::format(" and {} shared", m.moe->shared_experts);
  }
  return text + fmt::format(", vocabulary {}", m.vocab);
}

std::string budget_text(const Budget& budget) {
  switch (budget.kind) {
    case Budget::Kind::none: return "a model and its tokens";
    case Budget::Kind::compute: return compute_text(Flops(budget.amount));
    case Budget::Kind::gpu_hours:
      return (budget.amount < 1000 ? gpu_hours_text(budget.amount) : size_text(budget.amount)) + " GPU-hours";
    case Budget::Kind::dollars: return dollars_text(budget.amount);
    case Budget::Kind::days: return days_text(budget.amount) + " on the calendar";
    case Budget::Kind::loss: return fmt::format("a loss of {:g}", budget.amount);
  }
  return "";
}

}  // namespace stepcast
