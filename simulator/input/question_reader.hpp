#pragma once
/// Plan files: what `stepcast plan` is asked.

#include <string>
#include <vector>

#include "simulator/budget/question.hpp"
#include "simulator/input/input.hpp"

namespace stepcast {

struct AskedQuestion {
  Question question;
  std::vector<std::string> assumed;  ///< what the file does not say, and what holds in its place
};

/// @param overrides  keys of the plan file: `budget.days=60`
/// @throws UserError with file, line and column for whatever is wrong in it
AskedQuestion load_question(const std::string& path, const std::vector<Override>& overrides = {});

/// The keys of a plan file with their meaning and default, for `stepcast plan --help-file`.
std::string question_help();

}  // namespace stepcast
