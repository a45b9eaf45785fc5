#include "simulator/budget/what_if.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/solve.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

class WhatIfs {
 public:
  WhatIfs(const Question& question, const ClusterOption& option, const ClusterAnswer& run, const Told& told)
      : question_(question), option_(option), run_(run), told_(told) {}

  std::vector<WhatIf> all() {
    const Budget::Kind kind = question_.budget.kind;
    if (kind != Budget::Kind::none && kind != Budget::Kind::loss) {
      budget("twice the budget", 2);
      budget("half the budget", 0.5);
    }
    if (kind == Budget::Kind::loss) {
      Question other = question_;
      other.budget.amount -= 0.02;
      add("a loss lower by 0.02", other, option_);
    }
    if (!question_.model && !question_.tokens) {
      Question other = question_;
      other.served.reset();
      other.tokens_per_parameter = 5 * run_.tokens / run_.active_parameters;
      add(fmt::format("{} tokens a parameter (5 times as many)", number_text(*other.tokens_per_parameter)), other,
          option_);
    }
    if (const auto& interval = run_.pace.main().report.interval) {
      const double middle = run_.pace.main().report.step_time.si();
      speed("steps as slow as the interval's end", interval->second.si() / middle);
      speed("steps as fast as its other end", interval->first.si() / middle);
    }
    failures("failures twice as frequent", 2);
    failures("no failures", 0);
    if (option_.checkpoint_mode == CheckpointMode::asynchronous) {
      ClusterOption other = option_;
      other.checkpoint_mode = CheckpointMode::synchronous;
      add("training waits for every checkpoint", question_, other, true);
    }
    Question batch = question_;
    for (RecipeRule& rule : batch.recipe) rule.batch_tokens *= 2;
    add("twice the batch, if the loss does not mind", batch, option_);
    ClusterOption larger = option_;
    larger.base.cluster.gpus *= 2;
    add("twice the GPUs", question_, larger);
    return std::move(found_);
  }

 private:
  void budget(const char* change, double factor) {
    Question other = question_;
    other.budget.amount *= factor;
    add(change, other, option_);
  }
  void speed(const char* change, double factor) { add(change, question_, option_, true, factor); }
  void failures(const char* change, double factor) {
    ClusterOption other = option_;
    other.reliability.failures_per_gpu.value *= factor;
    add(change, question_, other, true);
  }

  void add(const std::string& change, const Question& question, const ClusterOption& option, bool keeps_plans = false,
           double step_time = 1) {
    if (told_) told_("what if: " + change);
    WhatIf line;
    line.change = change;
    try {
      Question fewer_trials = question;
      fewer_trials.trials = std::min(question.trials, trials_of_comparisons);
      const ClusterAnswer other = run_on(fewer_trials, option, {&run_, keeps_plans, step_time}, {});
      line.problem = other.brief_problem();
      const std::int64_t spares = other.campaign.spare_nodes;
      if (line.problem.empty() && other.gpus == run_.gpus && spares != run_.campaign.spare_nodes)
        line.change += fmt::format(" ({} spare node{})", spares, spares == 1 ? "" : "s");
      line.parameters = other.parameters;
      line.tokens = other.tokens;
      line.loss = other.loss;
      if (other.problem.empty()) line.days = other.campaign.days.mean, line.dollars = other.dollars();
    } catch (const UserError& error) {
      line.problem = error.what();
    }
    found_.push_back(std::move(line));
  }

  const Question& question_;
  const ClusterOption& option_;
  const ClusterAnswer& run_;
  const Told& told_;
  std::vector<WhatIf> found_;
};

}  // namespace

std::vector<WhatIf> what_ifs(const Question& question, const ClusterOption& option, const ClusterAnswer& run,
                             const Told& told) {
  return WhatIfs(question, option, run, told).all();
}

}  // namespace stepcast
