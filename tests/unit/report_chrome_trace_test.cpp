#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/report/formats.hpp"

namespace stepcast {
namespace {

using nlohmann::json;

/// Two stages: a forward pass on the first (1.5 us), its tensor sent (1 us) and awaited by the second from 0.2 us on.
Timeline two_stages() {
  Timeline timeline;
  timeline.stage_of_rank = {0, 1};
  timeline.labels = {"forward", "send \"activation\"", "receive"};
  timeline.spans = {
      {.rank = 0,
       .stream = Stream::compute,
       .bucket = Bucket::compute,
       .start = {0},
       .end = {1'500'000},
       .label = 0,
       .microbatch = 7},
      {.rank = 0,
       .stream = Stream::send_forward,
       .bucket = Bucket::pp_comm,
       .start = {1'500'000},
       .end = {2'500'001},
       .label = 1,
       .microbatch = 7,
       .message = 4},
      {.rank = 1,
       .stream = Stream::receive_forward,
       .bucket = Bucket::pp_comm,
       .start = {200'000},
       .end = {2'500'001},
       .label = 2,
       .microbatch = 7,
       .message = 4},
  };
  return timeline;
}

json trace_of(const Timeline& timeline) {
  std::string text;
  chrome_trace(timeline, [&](std::string_view piece) { text += piece; });
  return json::parse(text)["traceEvents"];
}

json events_of(const Timeline& timeline, const std::string& phase) {
  json found = json::array();
  for (const json& event : trace_of(timeline))
    if (event["ph"] == phase) found.push_back(event);
  return found;
}

TEST(ChromeTrace, SpansAreCompleteEventsInMicroseconds) {
  const json spans = events_of(two_stages(), "X");
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0], json::parse(R"({"ph":"X","pid":1,"tid":1,"ts":0.0,"dur":1.5,"name":"forward","cat":"compute",
                                      "args":{"microbatch":7}})"));
  EXPECT_EQ(spans[1]["name"], "send \"activation\"");
  EXPECT_EQ(spans[1]["dur"], 1.000001);  // every picosecond is kept
}

TEST(ChromeTrace, ProcessesAreStagesAndThreadsAreStreams) {
  std::vector<std::string> processes, threads;
  for (const json& event : events_of(two_stages(), "M")) {
    if (event["name"] == "process_name") processes.push_back(event["args"]["name"]);
    if (event["name"] == "thread_name") threads.push_back(event["args"]["name"]);
  }
  EXPECT_EQ(processes, (std::vector<std::string>{"stage 0", "stage 1"}));
  EXPECT_EQ(threads.size(), 3u);  // of the seven streams, those that were used
}

TEST(ChromeTrace, RanksOfOneStageAreTold) {
  Timeline timeline = two_stages();
  timeline.stage_of_rank = {0, 0};
  for (const json& event : events_of(timeline, "M")) {
    if (event["name"] == "process_name" && event["pid"] == 2) {
      EXPECT_EQ(event["args"]["name"], "stage 0, rank 1");
    }
  }
}

TEST(ChromeTrace, AnArrowJoinsASendAndItsReceive) {
  const json starts = events_of(two_stages(), "s");
  const json ends = events_of(two_stages(), "f");
  ASSERT_EQ(starts.size(), 1u);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(starts[0]["id"], ends[0]["id"]);
  EXPECT_EQ(starts[0]["pid"], 1);
  EXPECT_EQ(ends[0]["pid"], 2);
  EXPECT_EQ(ends[0]["bp"], "e");
  EXPECT_LE(starts[0]["ts"], ends[0]["ts"]);
  EXPECT_LT(ends[0]["ts"].get<double>(), 2.500001);  // inside the slice on which it hangs
}

TEST(ChromeTrace, AHalfWhoseOtherWasFoldedAwayHasNoArrow) {
  Timeline timeline = two_stages();
  timeline.spans.pop_back();
  EXPECT_EQ(events_of(timeline, "s").size(), 0u);
  EXPECT_EQ(events_of(timeline, "f").size(), 0u);
}

TEST(ChromeTrace, NothingRecordedIsAnEmptyTrace) { EXPECT_TRUE(trace_of(Timeline{}).empty()); }

TEST(ChromeTrace, LongTimelinesComeInPieces) {
  Timeline timeline = two_stages();
  timeline.spans.resize(1);
  timeline.spans.resize(50'000, timeline.spans.front());
  std::size_t pieces = 0, largest = 0;
  chrome_trace(timeline, [&](std::string_view piece) { ++pieces, largest = std::max(largest, piece.size()); });
  EXPECT_GT(pieces, 3u);
  EXPECT_LT(largest, 2u << 20);
}

}  // namespace
}  // namespace stepcast
