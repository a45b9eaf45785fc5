#include "simulator/budget/question.hpp"

#include <algorithm>

namespace stepcast {

std::vector<RecipePhase> phases_of(const std::vector<RecipeRule>& rules, double tokens) {
  double at_end = 0;
  for (const RecipeRule& rule : rules) at_end += rule.last.value_or(0);
  at_end = std::min(at_end, tokens);
  const double before_end = tokens - at_end;
  std::vector<RecipePhase> phases;
  double done = 0;
  for (const RecipeRule& rule : rules) {
    const double until =
        rule.last ? std::min(tokens, done + *rule.last) : std::min(before_end, rule.until.value_or(tokens));
    if (until <= done) continue;
    phases.push_back({until - done, rule.batch_tokens, rule.sequence_length});
    done = until;
  }
  if (done < tokens && !phases.empty()) phases.back().tokens += tokens - done;
  return phases;
}

CheckpointStorage default_checkpoint_storage(double nodes) {
  CheckpointStorage storage;
  storage.write = BytesPerSecond(1e9 * nodes);
  storage.read = BytesPerSecond(2.6e9 * nodes);
  return storage;
}

}  // namespace stepcast
