#pragma once
/// Small expressions over a plan: "tensor_parallel <= gpus_per_node", "pipeline_parallel == 1 or microbatch < 4".
///
/// Numbers, names of plan keys and of what a job gives (constraint_names()), words as values ("recompute == full"),
/// + - * / %, comparisons == != < <= > >=, and, or, not, parentheses. Division is that of real numbers; % of integers.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/job.hpp"

namespace stepcast {

class Constraint {
 public:
  /// @throws UserError that says where the expression goes wrong
  explicit Constraint(const std::string& text);
  ~Constraint();
  Constraint(Constraint&&) noexcept;
  Constraint& operator=(Constraint&&) noexcept;

  bool holds(const Job& job) const;
  const std::string& text() const { return text_; }

  struct Node;

 private:
  std::string text_;
  std::shared_ptr<const Node> root_;
};

/// What an expression may name besides the plan's keys: (name, meaning).
std::vector<std::pair<std::string, std::string>> constraint_names();

}  // namespace stepcast
