#include "simulator/execution/account.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"

namespace stepcast {

BucketTimes close_account(BucketTimes buckets, std::int64_t idle_since, SimTime step) {
  buckets[static_cast<std::size_t>(Bucket::bubble)].ps += step.ps - idle_since;
  SimTime sum;
  for (SimTime bucket : buckets) sum += bucket;
  CHECK(sum == step, "the buckets of a rank sum to the step");
  return buckets;
}

bool is_traced(const ExecutionOptions& options, std::int32_t rank, Interval ran) {
  if (!options.record_spans || ran.end < options.traced_from.ps || ran.start > options.traced_to.ps) return false;
  const auto& ranges = options.traced_ranks;
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [&](const RankRange& range) {
           return range.first <= rank && rank <= range.last;
         });
}

void append_spans(const Programs& programs, const Code& code, int stage, std::int32_t rank, std::int32_t operation,
                  Interval ran, std::int64_t message, std::vector<Span>& spans) {
  const Program& program = programs.stages[static_cast<std::size_t>(stage)];
  const Operation& op = code.operation(operation);
  const std::int64_t taken = ran.end - ran.start;
  const double stretch = op.duration.ps > 0 ? static_cast<double>(taken) / static_cast<double>(op.duration.ps) : 0;
  SimTime at{ran.start}, planned;
  for (std::int32_t i = 0; i < op.instruction_count; ++i) {
    const auto index = static_cast<std::size_t>(code.instructions[static_cast<std::size_t>(op.first_instruction + i)]);
    const Instruction& instruction = program.instructions[index];
    planned += instruction.duration;
    SimTime end{ran.end};
    if (i + 1 < op.instruction_count) {
      end = taken == op.duration.ps ? SimTime{ran.start + planned.ps}
                                    : SimTime{ran.start + std::llround(stretch * static_cast<double>(planned.ps))};
    }
    spans.push_back(
        {rank, instruction.stream, instruction.bucket, at, end, instruction.label, instruction.microbatch, message});
    at = end;
  }
}

}  // namespace stepcast
