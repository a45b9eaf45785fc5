/// The event queue against a sorted one, over delays of every shape: the order is exact, ties included.

#include <cmath>
#include <functional>
#include <queue>
#include <random>

#include <gtest/gtest.h>

#include "simulator/engine/event_queue.hpp"

namespace stepcast {
namespace {

/// Time, then order of entry.
class SortedQueue {
 public:
  void push(SimTime time, int what) { queue_.push({time.ps, order_++, what}); }
  EventQueue<int>::Event pop() {
    const Entry first = queue_.top();
    queue_.pop();
    return {{first.time}, first.what};
  }
  bool empty() const { return queue_.empty(); }

 private:
  struct Entry {
    std::int64_t time, order;
    int what;
    bool operator>(const Entry& other) const { return time != other.time ? time > other.time : order > other.order; }
  };
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue_;
  std::int64_t order_ = 0;
};

TEST(EventQueue, LeavesByTimeThenByEntry) {
  EventQueue<char> queue;
  EXPECT_TRUE(queue.empty());
  queue.push({20}, 'd');
  queue.push({10}, 'a');
  queue.push({10}, 'b');
  queue.push({20}, 'e');
  queue.push({10}, 'c');
  EXPECT_EQ(queue.size(), 5U);
  EXPECT_EQ(queue.next_time(), SimTime{10});
  std::string order;
  while (!queue.empty()) order += queue.pop().what;
  EXPECT_EQ(order, "abcde");
}

// A delay of nothing: what is pushed now leaves after everything else that is due now.
TEST(EventQueue, PushedAtThePresentTimeLeavesLastOfIt) {
  EventQueue<char> queue;
  for (char c : {'a', 'b', 'c'}) queue.push({5}, c);
  std::string order;
  order += queue.pop().what;
  queue.push({5}, 'd');
  queue.push({6}, 'e');
  while (!queue.empty()) order += queue.pop().what;
  EXPECT_EQ(order, "abcde");
}

TEST(EventQueue, WhatIsPastLeavesNext) {
  EventQueue<int> queue;
  for (int i = 0; i < 1000; ++i) queue.push({1000 * i}, i);
  for (int i = 0; i < 500; ++i) queue.pop();
  queue.push({7}, -1);
  queue.push({3}, -2);
  queue.push({499'500}, -3);
  EXPECT_EQ(queue.pop().what, -2);
  EXPECT_EQ(queue.pop().what, -1);
  EXPECT_EQ(queue.pop().what, -3);
  EXPECT_EQ(queue.pop().what, 500);
}

TEST(EventQueue, TimesFromTheFirstTickToTheLast) {
  EventQueue<int> queue;
  for (int bit = 62; bit >= 0; --bit) queue.push({std::int64_t{1} << bit}, bit);
  queue.push({0}, -1);
  queue.push({INT64_MAX}, 63);
  for (int expected = -1; expected <= 63; ++expected) EXPECT_EQ(queue.pop().what, expected);
}

TEST(EventQueue, ManyAtOneTimeLeaveInOrder) {
  EventQueue<int> queue;
  constexpr int many = 20000;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < many; ++i) queue.push({1'000'000 * round}, i);
  }
  for (int i = 0; i < 3 * many; ++i) ASSERT_EQ(queue.pop().what, i % many);
}

using Delay = std::function<double(std::mt19937_64&, std::int64_t now)>;
struct HoldCase {
  const char* name;
  Delay delay;  ///< picoseconds
};

double uniform(std::mt19937_64& random) { return (static_cast<double>(random() >> 11) + 0.5) / 9007199254740992.0; }
double exponential(std::mt19937_64& random) { return -std::log(uniform(random)); }

class EventQueueHold : public testing::TestWithParam<HoldCase> {};

// The number of pending events wanders between a few and thousands, and the queue runs empty now and then.
TEST_P(EventQueueHold, LeavesAsFromASortedQueue) {
  std::mt19937_64 random(1);
  EventQueue<int> queue;
  SortedQueue sorted;
  std::int64_t now = 0;
  int entered = 0;
  for (std::size_t wanted : {1, 100, 10000, 3, 20000, 0, 700}) {
    for (int i = 0; i < 15000; ++i) {
      while (queue.size() < std::max<std::size_t>(wanted, 1)) {
        const SimTime time{now + static_cast<std::int64_t>(GetParam().delay(random, now))};
        queue.push(time, entered);
        sorted.push(time, entered++);
      }
      do {
        const auto event = queue.pop();
        const auto expected = sorted.pop();
        ASSERT_EQ(event.time, expected.time);
        ASSERT_EQ(event.what, expected.what);
        now = event.time.ps;
      } while (queue.size() > wanted);
      ASSERT_EQ(queue.empty(), sorted.empty());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    DelaysOfEveryShape, EventQueueHold,
    testing::Values(
        HoldCase{"exponential", [](auto& r, auto) { return 1e6 * exponential(r); }},
        HoldCase{"constant", [](auto&, auto) { return 1e6; }}, HoldCase{"none", [](auto&, auto) { return 0.0; }},
        HoldCase{"half_are_none", [](auto& r, auto) { return r() % 2 == 0 ? 0 : 1e6 * exponential(r); }},
        HoldCase{"few_distinct", [](auto& r, auto) { return 500.0 * static_cast<double>(r() % 7); }},
        HoldCase{"one_in_ten_a_million_times_longer",
                 [](auto& r, auto) { return exponential(r) * (r() % 10 == 0 ? 1e9 : 1e3); }},
        HoldCase{"heavy_tailed", [](auto& r, auto) { return std::min(1e14, 1e4 / std::pow(uniform(r), 1.2)); }},
        HoldCase{"every_scale", [](auto& r, auto) { return std::ldexp(1.0, static_cast<int>(r() % 45)); }},
        HoldCase{
            "ever_shorter",
            [](auto& r, std::int64_t now) { return 1e9 * exponential(r) / (1 + 1e-8 * static_cast<double>(now)); }},
        HoldCase{"bursts_of_a_microsecond_each_millisecond",
                 [](auto& r, std::int64_t now) {
                   const double delay = 1e4 * exponential(r);
                   const double phase = static_cast<double>(now % 1'000'000'000);
                   return phase + delay < 1e6 ? delay : 1e9 - phase + std::floor(1e3 * uniform(r));
                 }}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace stepcast
