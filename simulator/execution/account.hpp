#pragma once
/// The account of a rank's compute stream, which both executors keep: busy, or idle and what for.

#include "simulator/execution/code.hpp"
#include "simulator/execution/options.hpp"
#include "simulator/execution/timeline.hpp"

namespace stepcast {

/// When an operation ran, in ticks.
struct Interval {
  std::int64_t start = -1, end = -1;
};

/// Adds what an operation of the compute stream spent. Whatever it took beyond its duration is of its own bucket.
inline void charge_busy(const Code& code, const Operation& operation, SimTime spent, BucketTimes& buckets) {
  if (operation.parts >= 0) {
    const BucketTimes& parts = code.parts[static_cast<std::size_t>(operation.parts)];
    for (std::size_t b = 0; b < bucket_count; ++b) buckets[b] += parts[b];
    spent = spent - operation.duration;
  }
  buckets[static_cast<std::size_t>(operation.bucket)] += spent;
}

/// Charges an idle stretch of the compute stream to what ended it: the transfer or collective that its next operation
/// waited for, as far as that was running; before that, to whatever held that up on this rank; waiting for other ranks
/// is bubble.
///
/// @param ran  answers for an operation of this rank when it ran; anything that ended by `from` will do for one that did
template <class Ran>
void charge_idle(const Code& code, std::int32_t operation, std::int64_t from, std::int64_t to, const Ran& ran,
                 BucketTimes& buckets) {
  while (to > from) {
    const Operation& waiting = code.operation(operation);
    std::int32_t cause = -1;
    Interval last{from, from};
    const auto consider = [&](std::int32_t candidate) {
      const Interval interval = ran(candidate);
      if (interval.end <= last.end) return;
      last = interval;
      cause = candidate;
    };
    // What ran on the compute stream ended before the gap.
    if (waiting.stream != Stream::compute && operation > code.first(waiting.stream)) consider(operation - 1);
    for (std::int32_t w = 0; w < waiting.wait_count; ++w) {
      const Wait& wait = code.waits[static_cast<std::size_t>(waiting.first_wait + w)];
      if (wait.stream != Stream::compute) consider(code.awaited(wait));
    }
    // From here on everything of this rank was ready: it met a later one.
    buckets[static_cast<std::size_t>(Bucket::bubble)].ps += to - last.end;
    if (cause < 0) return;
    const std::int64_t began = std::max(from, last.start);
    buckets[static_cast<std::size_t>(code.operation(cause).bucket)].ps += last.end - began;
    operation = cause;
    to = began;
  }
}

/// Closes a rank's account at the end of the step. @return its buckets, which sum to the step
BucketTimes close_account(BucketTimes buckets, std::int64_t idle_since, SimTime step);

/// Whether the options ask for what a rank did then.
bool is_traced(const ExecutionOptions& options, std::int32_t rank, Interval ran);

/// Appends the instructions of an operation as they ran; what it took beyond its duration is spread evenly over them.
void append_spans(const Programs& programs, const Code& code, int stage, std::int32_t rank, std::int32_t operation,
                  Interval ran, std::int64_t message, std::vector<Span>& spans);

}  // namespace stepcast
