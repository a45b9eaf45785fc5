#include <algorithm>

#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {

// Bruck's exchange (1997): after log2 steps everyone has everything, though n is no power of two. reduce_scatter is the
// same backwards.
MessageSteps pat_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  const bool gather = kind == CollectiveKind::all_gather;
  if ((!gather && kind != CollectiveKind::reduce_scatter) || shape.p > 1) return {};
  const std::int64_t n = shape.n;
  MessageSteps result;
  result.parts = n;
  for (std::int64_t apart = 1; apart < n; apart *= 2) {
    const std::int64_t count = std::min(apart, n - apart);
    auto& step = result.steps.emplace_back();
    for (std::int64_t place = 0; place < n; ++place) {
      const std::int64_t below = (place - apart + n) % n;
      const Bytes bytes = size * (static_cast<double>(count) / static_cast<double>(n));
      // A rank has the parts from its own number on: those go to the one below, or come back from there added up.
      if (gather)
        step.push_back({place, below, bytes, place, count, false});
      else
        step.push_back({below, place, bytes, place, count, true});
    }
  }
  if (!gather) std::reverse(result.steps.begin(), result.steps.end());
  return result;
}

}  // namespace stepcast
