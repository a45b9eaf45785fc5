#pragma once
/// The answer to a plan file in each form that people and programs read.

#include <span>
#include <string>
#include <string_view>

#include "simulator/budget/answer.hpp"

namespace stepcast {

struct AnswerStyle {
  bool colour = false;
};

struct AnswerForm {
  std::string_view name;
  std::string_view description;
  std::string (*write)(const Answer&, const AnswerStyle&);
};
/// text | json | csv | html | svg
std::span<const AnswerForm> answer_forms();

std::string answer_text(const Answer& answer, const AnswerStyle& style);
std::string answer_json(const Answer& answer, const AnswerStyle& style);
std::string answer_csv(const Answer& answer, const AnswerStyle& style);   ///< a line for each cluster
std::string answer_html(const Answer& answer, const AnswerStyle& style);  ///< one page with drawings
std::string answer_svg(const Answer& answer, const AnswerStyle& style);   ///< the drawings alone

// Amounts as people write them.
std::string size_text(double count);        ///< "72.3 billion"
std::string short_size_text(double count);  ///< "72.3 B"
std::string compute_text(Flops flops);      ///< "5.76e23 FLOPs"
std::string dollars_text(double dollars);   ///< "$61.7 million"
std::string days_text(double days);         ///< "54.2 days"
/// "54.21 days (53.90 to 55.02": in one unit; who calls it says of what, and closes the bracket.
std::string days_range_text(double days, double from, double to);
std::string gpu_hours_text(double hours);  ///< "30,840,000"
std::string plan_text(const ParallelPlan& plan);
std::string shape_text(const Architecture& model);
std::string budget_text(const Budget& budget);

}  // namespace stepcast
