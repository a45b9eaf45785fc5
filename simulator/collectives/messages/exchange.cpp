#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {

// The parts of an exchange are whom they are for.

MessageSteps pairwise_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  const std::int64_t n = shape.n;
  const Bytes part = size / static_cast<double>(n);
  MessageSteps result;
  result.parts = n;
  switch (kind) {
    case CollectiveKind::all_to_all: {
      // In turns, so that no two send to one at a time, and either all to other nodes or all inside theirs.
      const std::int64_t p = n % shape.p == 0 ? shape.p : n;
      for (std::int64_t apart = 1; apart < n; ++apart) {
        auto& step = result.steps.emplace_back();
        for (std::int64_t place = 0; place < n; ++place) {
          const std::int64_t to = (place / p + apart / p) % (n / p) * p + (place % p + apart % p) % p;
          step.push_back({place, to, part, to, 1, false});
        }
      }
      return result;
    }
    case CollectiveKind::scatter:
    case CollectiveKind::gather: {
      auto& step = result.steps.emplace_back();
      const bool gather = kind == CollectiveKind::gather;
      for (std::int64_t place = 1; place < n; ++place)
        step.push_back({gather ? place : 0, gather ? 0 : place, part, place, 1, false});
      return result;
    }
    case CollectiveKind::send_recv: {
      auto& step = result.steps.emplace_back();
      for (std::int64_t place = 0; place < n; ++place)
        step.push_back({place, (place + 1) % n, size, (place + 1) % n, 1, false});
      return result;
    }
    default: return {};
  }
}

MessageSteps pxn_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  const auto [n, p] = shape;
  const std::int64_t domains = shape.domains();
  if (kind != CollectiveKind::all_to_all || domains < 2 || p < 2 || n % p != 0) return {};
  MessageSteps result;
  // Rail by rail: part g * domains + d is for member g of domain d.
  result.parts = n;
  for (std::int64_t apart = 1; apart < p; ++apart) {
    auto& step = result.steps.emplace_back();
    for (std::int64_t place = 0; place < n; ++place) {
      const std::int64_t rail = (place % p + apart) % p;
      step.push_back({place, place - place % p + rail, size / static_cast<double>(p), rail * domains, domains, false});
    }
  }
  for (std::int64_t apart = 1; apart < domains; ++apart) {
    auto& step = result.steps.emplace_back();
    for (std::int64_t place = 0; place < n; ++place) {
      const std::int64_t rail = place % p, to = (place / p + apart) % domains;
      step.push_back({place, to * p + rail, size * (static_cast<double>(p) / static_cast<double>(n)),
                      rail * domains + to, 1, false});
    }
  }
  return result;
}

}  // namespace stepcast
