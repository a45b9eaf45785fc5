/// A timeline in Perfetto's own format: a tenth of the size of Chrome's JSON, and written packet by packet.

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "simulator/report/formats.hpp"
#include "simulator/report/perfetto.pb.h"

namespace stepcast {
namespace {

namespace pb = perfetto::protos;

constexpr std::uint32_t sequence = 1;
constexpr std::uint32_t state_begins = 1, uses_state = 2;
constexpr std::uint64_t microbatch_name = 1;

bool sends(Stream s) { return s == Stream::send_forward || s == Stream::send_backward; }
bool receives(Stream s) { return s == Stream::receive_forward || s == Stream::receive_backward; }

/// Timestamps are nanoseconds; rounding keeps their order.
std::uint64_t ns(SimTime time) { return static_cast<std::uint64_t>((time.ps + 500) / 1000); }

// Process 0 and thread 0 mean "idle" to a viewer.
std::int32_t process(std::int32_t rank) { return rank + 1; }
constexpr std::int32_t tracks_of_rank = 64;  // the process, its streams, then counters
std::uint64_t uuid(std::int32_t rank, std::size_t track = 0) {
  return static_cast<std::uint64_t>(process(rank)) * tracks_of_rank + track;
}
std::uint64_t uuid(const Span& span) { return uuid(span.rank, 1 + static_cast<std::size_t>(span.stream)); }

/// Packets are handed to the sink some thousands at a time: a trace may be cut anywhere between two.
class Packets {
 public:
  explicit Packets(const Sink& sink) : sink_(sink) {}

  /// A new one, to be filled in before the next is asked for.
  pb::TracePacket& next() {
    if (trace_.packet_size() >= at_once) flush();
    pb::TracePacket& packet = *trace_.add_packet();
    packet.set_trusted_packet_sequence_id(sequence);
    return packet;
  }

  void flush() {
    sink_(trace_.SerializeAsString());
    trace_.Clear();
  }

 private:
  static constexpr int at_once = 8192;
  const Sink& sink_;
  pb::Trace trace_;
};

template <class List>
void intern(List* names, std::uint64_t iid, const std::string& name) {
  auto* entry = names->Add();
  entry->set_iid(iid);
  entry->set_name(name);
}

/// Names go once; slices refer to them by number, from one.
void add_names(const Timeline& timeline, Packets& packets) {
  pb::TracePacket& packet = packets.next();
  packet.set_sequence_flags(state_begins | uses_state);
  pb::InternedData& interned = *packet.mutable_interned_data();
  for (std::size_t i = 0; i < timeline.labels.size(); ++i) {
    intern(interned.mutable_event_names(), i + 1, timeline.labels[i]);
  }
  for (std::size_t b = 0; b < bucket_count; ++b) {
    intern(interned.mutable_event_categories(), b + 1, name_of(static_cast<Bucket>(b)));
  }
  intern(interned.mutable_debug_annotation_names(), microbatch_name, "microbatch");
}

void add_tracks(const Timeline& timeline, Packets& packets) {
  std::map<std::int32_t, std::array<bool, stream_count>> used;
  for (const Span& span : timeline.spans) used[span.rank][static_cast<std::size_t>(span.stream)] = true;
  std::map<int, int> ranks_of_stage;
  for (int stage : timeline.stage_of_rank) ++ranks_of_stage[stage];

  for (const auto& [rank, streams] : used) {
    const int stage = timeline.stage_of_rank[static_cast<std::size_t>(rank)];
    const bool alone = ranks_of_stage[stage] == 1;
    pb::TrackDescriptor& track = *packets.next().mutable_track_descriptor();
    track.set_uuid(uuid(rank));
    track.set_child_ordering(3);
    track.mutable_process()->set_pid(process(rank));
    track.mutable_process()->set_legacy_sort_index(process(rank));
    track.mutable_process()->set_process_name(alone ? fmt::format("stage {}", stage)
                                                    : fmt::format("stage {}, rank {}", stage, rank));
    for (std::size_t s = 0; s < stream_count; ++s) {
      if (!streams[s]) continue;
      pb::TrackDescriptor& thread = *packets.next().mutable_track_descriptor();
      thread.set_uuid(uuid(rank, 1 + s));
      thread.set_parent_uuid(uuid(rank));
      thread.set_sibling_order_rank(static_cast<std::int32_t>(s));
      thread.mutable_thread()->set_pid(process(rank));
      thread.mutable_thread()->set_tid(static_cast<std::int64_t>(uuid(rank, 1 + s)));
      thread.mutable_thread()->set_legacy_sort_index(static_cast<std::int32_t>(s));
      thread.mutable_thread()->set_thread_name(name_of(static_cast<Stream>(s)));
    }
  }
}

/// Messages whose both halves are in the trace.
std::set<std::int64_t> whole_messages(const Timeline& timeline) {
  std::set<std::int64_t> sent, whole;
  for (const Span& span : timeline.spans) {
    if (span.message >= 0 && sends(span.stream)) sent.insert(span.message);
  }
  for (const Span& span : timeline.spans) {
    if (span.message >= 0 && receives(span.stream) && sent.contains(span.message)) whole.insert(span.message);
  }
  return whole;
}

void add_slices(const Timeline& timeline, Packets& packets) {
  const std::set<std::int64_t> arrows = whole_messages(timeline);
  // In order of time, so that a track's slices follow each other; an arrow's tail before its head.
  std::vector<std::size_t> order(timeline.spans.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const Span &x = timeline.spans[a], &y = timeline.spans[b];
    return x.start != y.start ? x.start < y.start : receives(x.stream) < receives(y.stream);
  });
  for (std::size_t i : order) {
    const Span& span = timeline.spans[i];
    pb::TracePacket& begin = packets.next();
    begin.set_timestamp(ns(span.start));
    begin.set_sequence_flags(uses_state);
    pb::TrackEvent& event = *begin.mutable_track_event();
    event.set_type(pb::TrackEvent::TYPE_SLICE_BEGIN);
    event.set_track_uuid(uuid(span));
    event.set_name_iid(static_cast<std::uint64_t>(span.label) + 1);
    event.add_category_iids(static_cast<std::uint64_t>(span.bucket) + 1);
    if (span.microbatch >= 0) {
      pb::DebugAnnotation& annotation = *event.add_debug_annotations();
      annotation.set_name_iid(microbatch_name);
      annotation.set_int_value(span.microbatch);
      event.set_correlation_id(static_cast<std::uint64_t>(span.microbatch) + 1);
    }
    if (span.message >= 0 && arrows.contains(span.message)) {
      const auto id = static_cast<std::uint64_t>(span.message) + 1;
      sends(span.stream) ? event.add_flow_ids(id) : event.add_terminating_flow_ids(id);
    }
    pb::TracePacket& end = packets.next();
    end.set_timestamp(ns(span.end));
    end.mutable_track_event()->set_type(pb::TrackEvent::TYPE_SLICE_END);
    end.mutable_track_event()->set_track_uuid(uuid(span));
  }
}

/// Counters lie below the streams of their rank.
class Counters {
 public:
  explicit Counters(Packets& packets) : packets_(packets) {}

  void begin(std::int32_t rank, const std::string& name, const char* unit) {
    track_ = uuid(rank, 1 + stream_count + of_rank_[rank]++);
    pb::TrackDescriptor& descriptor = *packets_.next().mutable_track_descriptor();
    descriptor.set_uuid(track_);
    descriptor.set_parent_uuid(uuid(rank));
    descriptor.set_name(name);
    descriptor.mutable_counter()->set_unit_name(unit);
  }

  void sample(SimTime time, double value) {
    pb::TracePacket& sample = packets_.next();
    sample.set_timestamp(ns(time));
    sample.mutable_track_event()->set_type(pb::TrackEvent::TYPE_COUNTER);
    sample.mutable_track_event()->set_track_uuid(track_);
    sample.mutable_track_event()->set_double_counter_value(value);
  }

 private:
  Packets& packets_;
  std::uint64_t track_ = 0;
  std::map<std::int32_t, std::size_t> of_rank_;
};

void add_counters(const Timeline& timeline, Packets& packets) {
  Counters counters(packets);
  for (const MemoryOverTime& memory : timeline.memory) {
    counters.begin(memory.rank, "allocated memory", "GiB");
    for (const auto& [time, bytes] : memory.samples) counters.sample(time, bytes / 1.0_GiB);
  }
  for (const LinkUse& link : timeline.links) {
    counters.begin(link.rank, link.name, "%");
    for (const auto& [time, share] : link.samples) counters.sample(time, 100 * share);
  }
}

}  // namespace

void perfetto_trace(const Timeline& timeline, const Sink& sink) {
  Packets packets(sink);
  add_names(timeline, packets);
  add_tracks(timeline, packets);
  add_slices(timeline, packets);
  add_counters(timeline, packets);
  packets.flush();
}

}  // namespace stepcast
