/// A trace read back with nothing but its own messages, held to the rules by which Perfetto reads one.

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "simulator/predict.hpp"
#include "simulator/report/formats.hpp"
#include "simulator/report/perfetto.pb.h"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

namespace pb = perfetto::protos;

pb::Trace trace_of(const Timeline& timeline) {
  std::string bytes;
  perfetto_trace(timeline, [&](std::string_view piece) { bytes += piece; });
  pb::Trace trace;
  EXPECT_TRUE(trace.ParseFromString(bytes));
  return trace;
}

Timeline simulated(ExecutionOptions options) {
  Job job = fixtures::job(2, 4, 2, 8);
  Timeline timeline;
  options.record_spans = true;
  predict(job, options, &timeline);
  return timeline;
}

const ExecutionOptions every_rank{.executor = Executor::events, .granularity = Granularity::kernel, .fold = false};

TEST(PerfettoTrace, KeepsTheRulesOfTheFormat) {
  const Timeline timeline = simulated(every_rank);
  const pb::Trace trace = trace_of(timeline);
  std::map<std::uint64_t, std::string> names;
  std::set<std::uint64_t> tracks;
  std::map<std::uint64_t, std::vector<std::uint64_t>> open;  // begins on each track
  std::map<std::uint64_t, std::uint64_t> last;
  std::map<std::uint64_t, int> flows;
  std::size_t slices = 0, samples = 0;
  ASSERT_GT(trace.packet_size(), 0);
  EXPECT_EQ(trace.packet(0).sequence_flags() & 1U, 1U);
  for (const pb::TracePacket& packet : trace.packet()) {
    EXPECT_EQ(packet.trusted_packet_sequence_id(), 1U);
    for (const auto& name : packet.interned_data().event_names()) names[name.iid()] = name.name();
    if (packet.has_track_descriptor()) {
      EXPECT_TRUE(tracks.insert(packet.track_descriptor().uuid()).second);
      if (packet.track_descriptor().has_parent_uuid()) {
        EXPECT_TRUE(tracks.contains(packet.track_descriptor().parent_uuid()));
      }
    }
    if (!packet.has_track_event()) continue;
    const pb::TrackEvent& event = packet.track_event();
    ASSERT_TRUE(tracks.contains(event.track_uuid())) << "described before it is used";
    EXPECT_GE(packet.timestamp(), last[event.track_uuid()]) << "in order on its track";
    last[event.track_uuid()] = packet.timestamp();
    if (event.type() == pb::TrackEvent::TYPE_SLICE_BEGIN) {
      ++slices;
      EXPECT_TRUE(names.contains(event.name_iid()));
      EXPECT_TRUE(open[event.track_uuid()].empty()) << "operations of one stream follow each other";
      open[event.track_uuid()].push_back(packet.timestamp());
      for (std::uint64_t id : event.flow_ids()) EXPECT_EQ(flows[id]++, 0) << "an arrow's tail before its head";
      for (std::uint64_t id : event.terminating_flow_ids()) EXPECT_EQ(flows[id]++, 1);
    } else if (event.type() == pb::TrackEvent::TYPE_SLICE_END) {
      ASSERT_FALSE(open[event.track_uuid()].empty());
      open[event.track_uuid()].pop_back();
    } else {
      ++samples;
      EXPECT_GE(event.double_counter_value(), 0);
      EXPECT_LE(event.double_counter_value(), 100 * (1 + 1e-9)) << "no link above its capacity";
    }
  }
  for (const auto& [track, begins] : open) EXPECT_TRUE(begins.empty());
  EXPECT_FALSE(flows.empty());
  for (const auto& [id, ends] : flows) EXPECT_EQ(ends, 2);
  EXPECT_EQ(slices, timeline.spans.size());
  EXPECT_EQ(slices, static_cast<std::size_t>(timeline.instructions));
  EXPECT_GT(samples, 0U);
}

TEST(PerfettoTrace, HoldsWhatWasAskedFor) {
  ExecutionOptions options = every_rank;
  options.traced_ranks = {{2, 3}, {9, 9}};
  const Timeline whole = simulated(every_rank);
  options.traced_from = {whole.step.ps / 4};
  options.traced_to = {whole.step.ps / 2};
  const Timeline timeline = simulated(options);
  std::set<std::int32_t> ranks;
  ASSERT_FALSE(timeline.spans.empty());
  for (const Span& span : timeline.spans) ranks.insert(span.rank);
  EXPECT_EQ(ranks, (std::set<std::int32_t>{2, 3, 9}));
  std::size_t touching = 0;
  for (const Span& span : whole.spans) {
    touching += ranks.contains(span.rank) && span.end >= options.traced_from && span.start <= options.traced_to;
  }
  EXPECT_GE(timeline.spans.size(), touching);  // whole operations: a chain of kernels that touches the window
  EXPECT_LT(timeline.spans.size(), whole.spans.size() / 4);
  // A message whose other half is left out has no arrow.
  const pb::Trace trace = trace_of(timeline);
  for (const pb::TracePacket& packet : trace.packet()) {
    if (packet.track_event().flow_ids_size() > 0) {
      ADD_FAILURE() << "ranks 2, 3 and 9 send each other nothing";
    }
  }
}

TEST(PerfettoTrace, IsAFractionOfChromes) {
  const Timeline timeline = simulated(every_rank);
  std::size_t ours = 0, chrome = 0;
  perfetto_trace(timeline, [&](std::string_view piece) { ours += piece.size(); });
  chrome_trace(timeline, [&](std::string_view piece) { chrome += piece.size(); });
  EXPECT_LT(3 * ours, 2 * chrome);
}

}  // namespace
}  // namespace stepcast
