#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {
namespace {

bool gathers(CollectiveKind kind) {
  return kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
}

/// Every member's whole contribution to a chunk goes up, its own share of the sum comes down.
void add_up(MessageShape shape, Bytes chunk, std::int64_t first_part, std::vector<Message>& step) {
  for (std::int64_t place = 0; place < shape.n; ++place) {
    step.push_back({place, node_switch, chunk, first_part, shape.p, true});
    step.push_back({node_switch, place, chunk / static_cast<double>(shape.p), first_part + place, 1, false});
  }
}

/// Every member's share goes up, all of them come down.
void multicast(MessageShape shape, Bytes chunk, std::int64_t first_part, std::vector<Message>& step) {
  for (std::int64_t place = 0; place < shape.n; ++place) {
    step.push_back({place, node_switch, chunk / static_cast<double>(shape.p), first_part + place, 1, false});
    step.push_back({node_switch, place, chunk, first_part, shape.p, false});
  }
}

}  // namespace

MessageSteps nvls_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  const bool all_reduce = kind == CollectiveKind::all_reduce;
  if (shape.domains() != 1 || shape.p < 2 || (!all_reduce && !gathers(kind))) return {};
  // In chunks: while one comes down the next goes up.
  constexpr std::int64_t chunks = 32;
  MessageSteps result;
  result.parts = shape.p * chunks;
  const Bytes chunk = size / static_cast<double>(chunks);
  for (std::int64_t step = 0; step < chunks + (all_reduce ? 1 : 0); ++step) {
    auto& messages = result.steps.emplace_back();
    if (kind != CollectiveKind::all_gather && step < chunks) add_up(shape, chunk, step * shape.p, messages);
    const std::int64_t added_up = all_reduce ? step - 1 : step;
    if (kind != CollectiveKind::reduce_scatter && added_up >= 0) multicast(shape, chunk, added_up * shape.p, messages);
  }
  return result;
}

MessageSteps collnet_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  if (kind != CollectiveKind::all_reduce || shape.domains() < 2 || shape.n % shape.p != 0) return {};
  MessageSteps result;
  result.parts = shape.p;
  const Bytes share = size / static_cast<double>(shape.p);
  const auto inside = [&](bool reduces) {
    // To every other member of the node its share; afterwards everyone's own share to all.
    for (std::int64_t apart = 1; apart < shape.p; ++apart) {
      auto& step = result.steps.emplace_back();
      for (std::int64_t place = 0; place < shape.n; ++place) {
        const std::int64_t member = place % shape.p, other = (member + apart) % shape.p;
        step.push_back({place, place - member + other, share, reduces ? other : member, 1, reduces});
      }
    }
  };
  inside(true);
  auto& up = result.steps.emplace_back();
  for (std::int64_t place = 0; place < shape.n; ++place) {
    up.push_back({place, network_switch, share, place % shape.p, 1, true});
    up.push_back({network_switch, place, share, place % shape.p, 1, false});
  }
  inside(false);
  return result;
}

}  // namespace stepcast
