#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/report/formats.hpp"

namespace stepcast {
namespace {

constexpr std::size_t piece_bytes = 1 << 20;
constexpr std::int64_t ps_per_us = 1'000'000;
constexpr SimTime two_ns{2'000};

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool sends(Stream s) { return s == Stream::send_forward || s == Stream::send_backward; }
bool receives(Stream s) { return s == Stream::receive_forward || s == Stream::receive_backward; }

/// The events of one trace, handed to the sink a piece at a time.
class Events {
 public:
  explicit Events(const Sink& sink) : sink_(sink) {}

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(piece_), "{}", first_ ? "\n" : ",\n");
    first_ = false;
    fmt::format_to(std::back_inserter(piece_), format, std::forward<Args>(args)...);
    if (piece_.size() >= piece_bytes) flush();
  }

  void text(std::string_view text) { piece_.append(text); }

  void flush() {
    sink_({piece_.data(), piece_.size()});
    piece_.clear();
  }

 private:
  const Sink& sink_;
  fmt::memory_buffer piece_;
  bool first_ = true;
};

/// Microseconds with every picosecond kept: 1234567 ps is "1.234567".
struct Microseconds {
  SimTime time;
};

}  // namespace
}  // namespace stepcast

template <>
struct fmt::formatter<stepcast::Microseconds> : fmt::formatter<std::string_view> {
  auto format(stepcast::Microseconds us, format_context& context) const {
    return fmt::format_to(context.out(), "{}.{:06}", us.time.ps / stepcast::ps_per_us,
                          us.time.ps % stepcast::ps_per_us);
  }
};

namespace stepcast {
namespace {

// Numbered from one: process 0 and thread 0 mean "idle" to a viewer.
int process(const Span& span) { return span.rank + 1; }
int thread(Stream stream) { return static_cast<int>(stream) + 1; }

void name_tracks(const Timeline& timeline, Events& events) {
  const std::vector<int>& stage_of_rank = timeline.stage_of_rank;
  std::vector<std::array<bool, stream_count>> used(stage_of_rank.size());
  for (const Span& span : timeline.spans)
    used[static_cast<std::size_t>(span.rank)][static_cast<std::size_t>(span.stream)] = true;

  std::map<int, int> ranks_of_stage;
  for (int stage : stage_of_rank) ++ranks_of_stage[stage];

  for (std::size_t rank = 0; rank < used.size(); ++rank) {
    const int stage = stage_of_rank[rank];
    const bool alone = ranks_of_stage[stage] == 1;
    const std::string name = alone ? fmt::format("stage {}", stage) : fmt::format("stage {}, rank {}", stage, rank);
    const std::size_t pid = rank + 1;
    events.add(R"({{"ph":"M","pid":{},"name":"process_name","args":{{"name":"{}"}}}})", pid, name);
    events.add(R"({{"ph":"M","pid":{},"name":"process_sort_index","args":{{"sort_index":{}}}}})", pid, pid);
    for (std::size_t s = 0; s < stream_count; ++s) {
      if (!used[rank][s]) continue;
      const auto stream = static_cast<Stream>(s);
      events.add(R"({{"ph":"M","pid":{},"tid":{},"name":"thread_name","args":{{"name":"{}"}}}})", pid, thread(stream),
                 name_of(stream));
      events.add(R"({{"ph":"M","pid":{},"tid":{},"name":"thread_sort_index","args":{{"sort_index":{}}}}})", pid,
                 thread(stream), thread(stream));
    }
  }
}

void draw_spans(const Timeline& timeline, Events& events) {
  std::vector<std::string> labels;
  labels.reserve(timeline.labels.size());
  for (const std::string& label : timeline.labels) labels.push_back(quoted(label));

  for (const Span& span : timeline.spans) {
    const std::string& label = labels[static_cast<std::size_t>(span.label)];
    const std::string args = span.microbatch < 0 ? "" : fmt::format(R"(,"args":{{"microbatch":{}}})", span.microbatch);
    events.add(R"({{"ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"name":{},"cat":"{}"{}}})", process(span),
               thread(span.stream), Microseconds{span.start}, Microseconds{span.end - span.start}, label,
               name_of(span.bucket), args);
  }
}

/// Spans of one side of the messages, by message number; those of equal number keep their order.
template <class Side>
std::vector<const Span*> by_message(const Timeline& timeline, Side side) {
  std::vector<const Span*> found;
  for (const Span& span : timeline.spans)
    if (span.message >= 0 && side(span.stream)) found.push_back(&span);
  std::stable_sort(found.begin(), found.end(), [](const Span* a, const Span* b) { return a->message < b->message; });
  return found;
}

void draw_arrow(const Span& send, const Span& receive, std::int64_t id, Events& events) {
  // An arrow hangs on the slice that encloses its end, and viewers round to nanoseconds: stay two inside.
  const SimTime end = std::max(receive.start, receive.end - two_ns);
  events.add(R"({{"ph":"s","id":{},"pid":{},"tid":{},"ts":{},"name":"message","cat":"p2p"}})", id, process(send),
             thread(send.stream), Microseconds{send.start});
  events.add(R"({{"ph":"f","bp":"e","id":{},"pid":{},"tid":{},"ts":{},"name":"message","cat":"p2p"}})", id,
             process(receive), thread(receive.stream), Microseconds{end});
}

/// A message without its other half (folded away) has no arrow: starts and ends always come in pairs.
void draw_arrows(const Timeline& timeline, Events& events) {
  const auto from = by_message(timeline, sends);
  const auto to = by_message(timeline, receives);
  std::int64_t id = 0;
  for (std::size_t i = 0, j = 0; i < from.size() && j < to.size();) {
    if (from[i]->message < to[j]->message) {
      ++i;
    } else if (to[j]->message < from[i]->message) {
      ++j;
    } else {
      draw_arrow(*from[i++], *to[j++], ++id, events);
    }
  }
}

}  // namespace

void chrome_trace(const Timeline& timeline, const Sink& sink) {
  Events events(sink);
  events.text(R"({"displayTimeUnit":"ms","traceEvents":[)");
  name_tracks(timeline, events);
  draw_spans(timeline, events);
  draw_arrows(timeline, events);
  events.text("\n]}\n");
  events.flush();
}

}  // namespace stepcast
