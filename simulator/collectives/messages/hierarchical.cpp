#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {

MessageSteps hierarchical_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  using enum CollectiveKind;
  const auto [n, p] = shape;
  const std::int64_t domains = shape.domains();
  if ((kind != all_reduce && kind != all_gather && kind != reduce_scatter) || domains < 2 || p < 2 || n % p != 0)
    return {};
  MessageSteps result;
  result.parts = n;  // part g * domains + d: member g of domain d ends up with it
  // A ring inside each domain over the shares of its members, `domains` parts each.
  const auto inside = [&](bool reduces) {
    for (std::int64_t step = 0; step < p - 1; ++step) {
      auto& messages = result.steps.emplace_back();
      for (std::int64_t place = 0; place < n; ++place) {
        const std::int64_t member = place % p, whose = (member - step - (reduces ? 1 : 0) + 2 * p) % p;
        messages.push_back({place, place - member + (member + 1) % p, size / static_cast<double>(p), whose * domains,
                            domains, reduces});
      }
    }
  };
  // A ring on each rail over the parts of one share.
  const auto outside = [&](bool reduces) {
    for (std::int64_t step = 0; step < domains - 1; ++step) {
      auto& messages = result.steps.emplace_back();
      for (std::int64_t place = 0; place < n; ++place) {
        const std::int64_t domain = place / p, whose = (domain - step - (reduces ? 1 : 0) + 2 * domains) % domains;
        messages.push_back({place, (domain + 1) % domains * p + place % p, size / static_cast<double>(n),
                            place % p * domains + whose, 1, reduces});
      }
    }
  };
  if (kind != all_gather) {
    inside(true);
    outside(true);
  }
  if (kind != reduce_scatter) {
    outside(false);
    inside(false);
  }
  return result;
}

}  // namespace stepcast
