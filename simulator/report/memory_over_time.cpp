#include "simulator/report/memory_over_time.hpp"

#include <algorithm>
#include <map>
#include <string_view>

namespace stepcast {
namespace {

enum class Change { none, take, give };

/// A stretch of spans of one pass on the compute stream: one span, or one a block.
struct Stretch {
  Change change = Change::none;
  std::int32_t label = 0, microbatch = 0;
  SimTime start, end;
};

Change change_of(std::string_view label, bool two_parts) {
  if (label == "forward") return Change::take;
  return label == (two_parts ? "backward_weight" : "backward") ? Change::give : Change::none;
}

std::map<std::int32_t, std::vector<Stretch>> passes_of(const Timeline& timeline) {
  const bool two_parts =
      std::find(timeline.labels.begin(), timeline.labels.end(), "backward_weight") != timeline.labels.end();
  std::vector<const Span*> spans;
  for (const Span& span : timeline.spans) {
    if (span.stream == Stream::compute && span.microbatch >= 0) spans.push_back(&span);
  }
  std::stable_sort(spans.begin(), spans.end(), [](const Span* a, const Span* b) { return a->start < b->start; });
  std::map<std::int32_t, std::vector<Stretch>> passes;
  for (const Span* span : spans) {
    const Change change = change_of(timeline.labels[static_cast<std::size_t>(span->label)], two_parts);
    if (change == Change::none) continue;
    std::vector<Stretch>& own = passes[span->rank];
    if (own.empty() || own.back().label != span->label || own.back().microbatch != span->microbatch) {
      own.push_back({change, span->label, span->microbatch, span->start, {}});
    }
    own.back().end = span->end;
  }
  return passes;
}

bool balanced(const std::vector<Stretch>& passes) {
  std::int64_t held = 0;
  for (const Stretch& pass : passes) held += pass.change == Change::take ? 1 : -1;
  return held == 0;
}

}  // namespace

std::vector<MemoryOverTime> memory_over_time(const Timeline& timeline, const std::vector<MemoryUse>& memory,
                                             const std::vector<std::int64_t>& chunks_in_flight) {
  std::vector<MemoryOverTime> result;
  for (const auto& [rank, passes] : passes_of(timeline)) {
    if (!balanced(passes)) continue;
    const auto stage = static_cast<std::size_t>(timeline.stage_of_rank[static_cast<std::size_t>(rank)]);
    const MemoryUse& use = memory[stage];
    const Bytes per_pass = use.held / static_cast<double>(chunks_in_flight[stage]);
    const Bytes base = use.allocated() - use.activations, working = use.working;
    MemoryOverTime own;
    own.rank = rank;
    const auto sample = [&](SimTime time, Bytes bytes, const Stretch* pass) {
      own.samples.emplace_back(time, bytes);
      if (bytes <= own.most * (1 + 1e-9)) return;  // equal but for rounding
      own.most = bytes;
      own.fullest = time;
      own.label = pass != nullptr ? pass->label : -1;
      own.microbatch = pass != nullptr ? pass->microbatch : -1;
    };
    sample(SimTime{}, base, nullptr);
    std::int64_t held = 0;
    for (const Stretch& pass : passes) {
      const bool backward = pass.change == Change::give;
      if (backward) sample(pass.start, base + per_pass * static_cast<double>(held) + working, &pass);
      held += backward ? -1 : 1;
      sample(pass.end, base + per_pass * static_cast<double>(held), &pass);
    }
    if (use.fullest.block == "optimizer") sample(passes.back().end, use.allocated(), nullptr);
    sample(timeline.step, base, nullptr);
    result.push_back(std::move(own));
  }
  return result;
}

std::vector<MemoryTimeline> summarize_memory(const Timeline& timeline, const std::vector<MemoryUse>& memory) {
  std::vector<MemoryTimeline> result;
  for (const MemoryOverTime& own : timeline.memory) {
    MemoryTimeline& row = result.emplace_back();
    row.rank = own.rank;
    row.stage = timeline.stage_of_rank[static_cast<std::size_t>(own.rank)];
    for (const auto& [time, bytes] : own.samples) row.samples.emplace_back(time.seconds(), bytes);
    row.fullest = own.fullest.seconds();
    row.most = own.most;
    if (own.label >= 0) row.pass = timeline.labels[static_cast<std::size_t>(own.label)];
    row.microbatch = own.microbatch;
    const Fullest& fullest = memory[static_cast<std::size_t>(row.stage)].fullest;
    row.block = fullest.block;
    row.op = fullest.op;
  }
  return result;
}

}  // namespace stepcast
