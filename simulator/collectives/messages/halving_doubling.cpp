#include <bit>

#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {

MessageSteps halving_doubling_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  using enum CollectiveKind;
  if (kind != all_reduce && kind != all_gather && kind != reduce_scatter) return {};
  const std::int64_t n = shape.n;
  const auto power = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
  // Those beyond the power of two hand all they have to a partner: there is nothing else to scatter to them.
  if (power < n && kind != all_reduce) return {};
  MessageSteps result;
  result.parts = power;
  const auto others = [&](bool reduces) {
    if (power == n) return;
    auto& step = result.steps.emplace_back();
    for (std::int64_t place = power; place < n; ++place) {
      const std::int64_t partner = place - power;
      step.push_back({reduces ? place : partner, reduces ? partner : place, size, 0, power, reduces});
    }
  };
  // After the exchange at a distance a rank answers for the half of its parts that this bit of its number picks.
  const auto begin_of = [&](std::int64_t place, std::int64_t distance) {
    std::int64_t begin = 0;
    for (std::int64_t bit = 1, half = power / 2; bit < distance; bit *= 2, half /= 2)
      if ((place & bit) != 0) begin += half;
    return begin;
  };
  const auto exchange = [&](std::int64_t distance, bool reduces) {
    auto& step = result.steps.emplace_back();
    const std::int64_t half = power / (2 * distance);
    for (std::int64_t place = 0; place < power; ++place) {
      const std::int64_t partner = place ^ distance;
      const std::int64_t owner = reduces ? partner : place;
      const std::int64_t first = begin_of(place, distance) + ((owner & distance) != 0 ? half : 0);
      step.push_back(
          {place, partner, size * (static_cast<double>(half) / static_cast<double>(power)), first, half, reduces});
    }
  };
  if (kind != all_gather) {
    others(true);
    for (std::int64_t distance = 1; distance < power; distance *= 2) exchange(distance, true);
  }
  if (kind != reduce_scatter) {
    for (std::int64_t distance = power / 2; distance >= 1; distance /= 2) exchange(distance, false);
    others(false);
  }
  return result;
}

}  // namespace stepcast
