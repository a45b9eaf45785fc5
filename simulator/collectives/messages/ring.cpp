#include "simulator/collectives/messages/messages.hpp"

namespace stepcast {
namespace {

/// Of several rings, each begins a domain with another member, and leaves it by the NIC that it enters the next one by.
struct Ring {
  MessageShape shape;
  std::int64_t number;

  std::int64_t place(std::int64_t position) const {
    const std::int64_t at = (position % shape.n + shape.n) % shape.n;
    const std::int64_t domain = at / shape.p, member = at % shape.p;
    return domain * shape.p + ((number - domain + member) % shape.p + shape.p) % shape.p;
  }
  std::int64_t position_of_root() const { return (shape.p - number) % shape.p; }
};

/// n-1 steps: what a rank gets in one, it passes on in the next. `ahead`: whose part goes first, counted from the sender.
void circulate(const Ring& ring, Bytes part, std::int64_t ahead, bool reduces, std::size_t first_step,
               MessageSteps& result) {
  const std::int64_t n = ring.shape.n;
  for (std::int64_t step = 0; step < n - 1; ++step) {
    for (std::int64_t position = 0; position < n; ++position) {
      const std::int64_t whose = ring.place(position - step + ahead);
      result.steps[first_step + static_cast<std::size_t>(step)].push_back(
          {ring.place(position), ring.place(position + 1), part, ring.number * n + whose, 1, reduces});
    }
  }
}

/// From the root to the last, or from the first to the root, chunk after chunk.
void chain(const Ring& ring, Bytes part, bool to_root, std::int64_t chunks, MessageSteps& result) {
  const std::int64_t n = ring.shape.n;
  const std::int64_t start = ring.position_of_root() + (to_root ? 1 : 0);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (std::int64_t hop = 0; hop < n - 1; ++hop) {
      result.steps[static_cast<std::size_t>(chunk + hop)].push_back(
          {ring.place(start + hop), ring.place(start + hop + 1), part, ring.number * chunks + chunk, 1, to_root});
    }
  }
}

}  // namespace

MessageSteps ring_messages(CollectiveKind kind, Bytes size, MessageShape shape) {
  using enum CollectiveKind;
  const std::int64_t n = shape.n;
  if (shape.domains() == 1 || n % shape.p != 0) shape.p = 1;
  const std::int64_t rings = shape.p;
  MessageSteps result;
  const std::size_t around = static_cast<std::size_t>(n - 1);
  for (std::int64_t number = 0; number < rings; ++number) {
    const Ring ring{shape, number};
    if (kind == broadcast || kind == reduce) {
      constexpr std::int64_t chunks = 64;
      result.parts = rings * chunks;
      result.steps.resize(around + static_cast<std::size_t>(chunks) - 1);
      chain(ring, size / static_cast<double>(result.parts), kind == reduce, chunks, result);
      continue;
    }
    if (kind != all_reduce && kind != all_gather && kind != reduce_scatter) return {};
    result.parts = rings * n;
    const Bytes part = size / static_cast<double>(result.parts);
    result.steps.resize(kind == all_reduce ? 2 * around : around);
    // Added up on the way, a rank's own part reaches it last.
    if (kind != all_gather) circulate(ring, part, -1, true, 0, result);
    if (kind != reduce_scatter) circulate(ring, part, 0, false, kind == all_reduce ? around : 0, result);
  }
  return result;
}

}  // namespace stepcast
