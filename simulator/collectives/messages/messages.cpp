#include "simulator/collectives/messages/messages.hpp"

#include <string>

#include "simulator/base/error.hpp"
#include "simulator/collectives/choose.hpp"

namespace stepcast {

std::int64_t MessageSteps::messages() const {
  std::int64_t count = 0;
  for (const auto& step : steps) count += static_cast<std::int64_t>(step.size());
  return count;
}

MessageSteps messages_of(Algorithm algorithm, CollectiveKind kind, Bytes size, const GroupShape& group) {
  if (group.ranks <= 1) return {};
  // No algorithm needs more than 2 (n-1) steps of n messages in each of p rings.
  const std::int64_t p = std::min(group.ranks, group.per_domain);
  if (group.ranks > most_messages / group.ranks / 2 / p) {
    throw UserError(std::to_string(group.ranks) + " ranks send more messages than the " +
                    std::to_string(most_messages) + " that are simulated one by one: ask for fewer ranks");
  }
  const AlgorithmRow& row = row_of(algorithm);
  MessageSteps result = row.messages(kind, size, {group.ranks, p});
  if (result.steps.empty())
    throw UserError(std::string(row.name) + " has no messages for " + std::string(name_of(kind)) + " on this group");
  return result;
}

}  // namespace stepcast
