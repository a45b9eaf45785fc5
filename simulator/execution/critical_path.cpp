#include "simulator/execution/critical_path.hpp"

#include <algorithm>
#include <optional>

namespace stepcast {
namespace {

std::size_t bucket_index(Bucket bucket) { return static_cast<std::size_t>(bucket); }

struct Place {
  std::int32_t rank = 0, operation = 0;
};

class Walk {
 public:
  Walk(const std::vector<Code>& stages, const RankLayout& layout,
       const std::function<Interval(std::int32_t, std::int32_t)>& ran)
      : stages_(stages), layout_(layout), ran_(ran) {}

  /// The operation that ends last, of the lowest rank.
  Place last() const {
    Place latest;
    std::int64_t end = -1;
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      for (std::size_t stream = 0; stream < stream_count; ++stream) {
        const std::int32_t operation = code(rank).begin[stream + 1] - 1;
        if (operation < code(rank).begin[stream] || ran_(rank, operation).end <= end) continue;
        end = ran_(rank, operation).end;
        latest = {rank, operation};
      }
    }
    return latest;
  }

  /// What ended when this began: on its own rank, or on one that it met.
  std::optional<Place> cause(Place at) const {
    const std::int64_t began = ran_(at.rank, at.operation).start;
    if (const auto own = ended_at(at, began)) return own;
    const Operation& operation = code(at.rank).operation(at.operation);
    if (operation.peer_stage >= 0) {
      return ended_at({layout_.peer(at.rank, operation.peer_stage), operation.peer}, began);
    }
    if (operation.kind != InstructionKind::collective) return std::nullopt;
    const RankGroup group = layout_.group(at.rank, operation.group);
    for (std::int32_t i = 0; i < group.count; ++i) {
      const std::int32_t member = group.member(i);
      if (const auto other = ended_at({member, like(at, member)}, began)) return other;
    }
    return std::nullopt;
  }

  /// The kinds of work in an operation; none when it is of one.
  BucketTimes parts(Place at) const {
    const std::int32_t parts = operation(at).parts;
    return parts < 0 ? BucketTimes{} : code(at.rank).parts[static_cast<std::size_t>(parts)];
  }
  const Operation& operation(Place at) const { return code(at.rank).operation(at.operation); }

 private:
  const Code& code(std::int32_t rank) const { return stages_[static_cast<std::size_t>(layout_.stage(rank))]; }

  /// Of what holds the operation up on its rank, one that ended right then.
  std::optional<Place> ended_at(Place at, std::int64_t time) const {
    const Operation& waiting = operation(at);
    const auto fits = [&](std::int32_t other) { return ran_(at.rank, other).end == time; };
    for (std::int32_t w = 0; w < waiting.wait_count; ++w) {
      const std::int32_t other =
          code(at.rank).awaited(code(at.rank).waits[static_cast<std::size_t>(waiting.first_wait + w)]);
      if (fits(other)) return Place{at.rank, other};
    }
    if (at.operation > code(at.rank).first(waiting.stream) && fits(at.operation - 1)) {
      return Place{at.rank, at.operation - 1};
    }
    return std::nullopt;
  }

  /// The same meeting in another member's program: the so-and-so-manieth of its group.
  std::int32_t like(Place at, std::int32_t member) const {
    if (layout_.stage(member) == layout_.stage(at.rank)) return at.operation;
    const Operation& meeting = operation(at);
    const auto meets = [&](const Operation& other) {
      return other.kind == InstructionKind::collective && other.group == meeting.group;
    };
    const auto& here = code(at.rank).operations;
    auto number = std::count_if(here.begin(), here.begin() + at.operation, meets);
    const Code& there = code(member);
    for (std::int32_t i = 0; i < there.size(); ++i) {
      if (meets(there.operation(i)) && number-- == 0) return i;
    }
    return at.operation;
  }

  const std::vector<Code>& stages_;
  const RankLayout& layout_;
  const std::function<Interval(std::int32_t, std::int32_t)>& ran_;
};

}  // namespace

std::vector<PathStep> critical_path(const std::vector<Code>& stages, const RankLayout& layout,
                                    const std::function<Interval(std::int32_t, std::int32_t)>& ran) {
  const Walk walk(stages, layout, ran);
  std::vector<PathStep> path;
  for (std::optional<Place> at = walk.last(); at; at = walk.cause(*at)) {
    const Interval interval = ran(at->rank, at->operation);
    std::int64_t end = interval.end;
    const auto add = [&](Bucket bucket, std::int64_t start) {
      if (!path.empty() && path.back().rank == at->rank && path.back().bucket == bucket) {
        path.back().start = {start};
      } else if (end > start) {
        path.push_back({at->rank, bucket, {start}, {end}});
      }
      end = start;
    };
    // Of several kinds of work in one operation, those beside its own come first.
    const Operation& operation = walk.operation(*at);
    const BucketTimes parts = walk.parts(*at);
    std::int64_t others = 0;
    for (std::size_t b = 0; b < bucket_count; ++b) others += b == bucket_index(operation.bucket) ? 0 : parts[b].ps;
    add(operation.bucket, std::min(interval.end, interval.start + others));
    for (std::size_t b = bucket_count; b-- > 0;) {
      if (b == bucket_index(operation.bucket) || parts[b].ps == 0) continue;
      add(static_cast<Bucket>(b), std::max(interval.start, end - parts[b].ps));
    }
  }
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace stepcast
