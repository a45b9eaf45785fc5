#pragma once
/// The event queue: a calendar whose days follow the events, over a radix heap of the far future.
///
/// Events leave by time, and at equal times in the order they were pushed. Any time may be pushed at any moment; one that
/// is past leaves next. The same pushes and pops give the same order on any machine. No allocation per event.
///
///   run    the open day, sorted: what leaves next
///   late   a small heap: what was pushed into the open day, or before it
///   days   a ring of lists, one a day of 2^shift ticks, and a bitmap of those that hold anything: push and pop are a few
///          instructions each, whatever the number of events
///   far    beyond the ring: lists by the highest base-64 digit in which an event's lap round the ring differs from the
///          present one. Entering a lap empties one list into lists below it and the ring: no event is moved more often
///          than its lap has digits, and near and far events mix in any proportion
///
/// Now and then the width and number of days are fitted to how fast events leave and how many are pending. Where nothing
/// fits, a day is sorted as a whole and `late` is a heap: O(log n), as the heaps that this was chosen over (the figures
/// are in this folder's README).

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "simulator/base/error.hpp"
#include "simulator/engine/sim_time.hpp"

namespace stepcast {

/// @tparam Payload  small, trivially copyable, with a default: an index, a rank and an instruction
template <class Payload>
class EventQueue {
 public:
  struct Event {
    SimTime time;
    Payload what;
  };

  EventQueue() { set_days(0, 6); }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  /// @pre time is not negative
  void push(SimTime time, Payload what) {
    CHECK(time.ps >= 0, "no event is due before the start");
    ++size_;
    insert({time.ps, order_++, what});
  }

  /// When the next event is due. @pre not empty
  SimTime next_time() { return {front().time}; }

  /// Takes the next event. @pre not empty
  Event pop() {
    if (run_at_ < run_end_ || !late_.empty()) return pop_of_open_day();
    const std::uint32_t list = open_next_day();
    if (nodes_[list].next != 0) {
      fill_run(list);
      return pop_of_open_day();
    }
    --size_;  // the usual case: the only event of its day
    const Entry& entry = nodes_[list].entry;
    free_node(list);
    return {{entry.time}, entry.what};
  }

 private:
  struct Entry {
    std::int64_t time;
    std::uint64_t order;  ///< ties: first pushed, first served
    Payload what;
  };
  struct Node {
    Entry entry;
    std::uint32_t next;  ///< in the list of the day, or of free nodes; 0: the last
  };
  /// Part of a list of far events, filled from the front.
  struct Block {
    std::uint32_t next = 0;  ///< in the list, or of free blocks; 0: the last
    std::uint32_t count = 0;
    std::array<Entry, 40> entries;
  };
  struct FarList {
    std::uint32_t first = 0, last = 0;  ///< blocks
  };
  struct FarLevel {
    std::uint64_t filled = 0;  ///< a bit a list
    std::array<FarList, 64> lists{};
  };
  static constexpr int digit_bits = 6;

  static bool earlier(const Entry& a, const Entry& b) { return a.time != b.time ? a.time < b.time : a.order < b.order; }
  static bool later(const Entry& a, const Entry& b) { return earlier(b, a); }  ///< for heaps, earliest on top

  /// Days count from one, so that there is always a day before.
  std::uint64_t day_of(const Entry& entry) const { return (static_cast<std::uint64_t>(entry.time) >> shift_) + 1; }
  std::uint64_t days() const { return mask_ + 1; }

  [[gnu::noinline]] Event pop_of_open_day() {
    --size_;
    if (late_.empty() || (run_at_ < run_end_ && earlier(run_[run_at_], late_.front()))) {
      const Entry& entry = run_[run_at_++];
      return {{entry.time}, entry.what};
    }
    const Event event{{late_.front().time}, late_.front().what};
    std::pop_heap(late_.begin(), late_.end(), later);
    late_.pop_back();
    return event;
  }

  /// @pre it is the youngest of its time in what is pending, or its day is not open
  void insert(const Entry& entry) {
    const std::uint64_t day = day_of(entry);
    const std::uint64_t ahead = day - open_day_;
    if (ahead - 1 < mask_) {  // the list of the open day stays empty
      put_into_day(entry, day & mask_);
    } else if (day <= open_day_) {
      put_late(entry);
    } else {
      put_far(entry, open_day_ >> ring_bits_);
    }
  }

  void put_into_day(const Entry& entry, std::uint64_t day) {
    if (free_ == 0) add_nodes();
    const std::uint32_t node = free_;
    free_ = nodes_[node].next;
    nodes_[node] = {entry, first_[day]};
    first_[day] = node;
    filled_[day >> 6] |= std::uint64_t{1} << (day & 63);
    filled_words_[day >> 12] |= std::uint64_t{1} << (day >> 6 & 63);
  }

  [[gnu::noinline]] void add_nodes() {
    const std::size_t old = nodes_.size();
    CHECK(old < UINT32_MAX / 2, "fewer than two billion events are pending");
    nodes_.resize(2 * old);
    for (std::size_t node = nodes_.size(); node-- > old;) free_node(static_cast<std::uint32_t>(node));
  }

  void free_node(std::uint32_t node) {
    nodes_[node].next = free_;
    free_ = node;
  }

  [[gnu::noinline]] void put_late(const Entry& entry) {
    if (run_at_ == run_end_) run_at_ = run_end_ = 0;
    if (run_end_ == 0 || run_[run_end_ - 1].time <= entry.time) {  // the youngest of its time
      append_to_run(entry);
      return;
    }
    late_.push_back(entry);
    std::push_heap(late_.begin(), late_.end(), later);
    ++crowded_;
    if (pops() >= tune_at_) tune();
  }

  void append_to_run(const Entry& entry) {
    if (run_end_ == run_.size()) {
      if (run_at_ > run_end_ / 2) {
        std::copy(run_.begin() + static_cast<std::ptrdiff_t>(run_at_), run_.end(), run_.begin());
        run_end_ -= run_at_;
        run_at_ = 0;
      } else {
        run_.resize(2 * run_.size());
      }
    }
    run_[run_end_++] = entry;
  }

  [[gnu::noinline]] void put_far(const Entry& entry, std::uint64_t present_lap) {
    const std::uint64_t lap = day_of(entry) >> ring_bits_;
    const auto level = (static_cast<unsigned>(std::bit_width(lap ^ present_lap)) - 1) / digit_bits;
    const std::uint64_t digit = lap >> (level * digit_bits) & 63;
    FarLevel& far = far_[level];
    far.filled |= std::uint64_t{1} << digit;
    FarList& list = far.lists[digit];
    if (list.last == 0 || blocks_[list.last].count == blocks_[list.last].entries.size()) {
      const std::uint32_t block = new_block();
      (list.last == 0 ? list.first : blocks_[list.last].next) = block;
      list.last = block;
    }
    Block& block = blocks_[list.last];
    block.entries[block.count++] = entry;
  }

  std::uint32_t new_block() {
    std::uint32_t block = free_block_;
    if (block == 0) {
      block = static_cast<std::uint32_t>(blocks_.size());
      blocks_.emplace_back();
    } else {
      free_block_ = blocks_[block].next;
      blocks_[block].next = blocks_[block].count = 0;
    }
    return block;
  }

  const Entry& front() {
    if (run_at_ == run_end_ && late_.empty()) fill_run(open_next_day());
    if (late_.empty() || (run_at_ < run_end_ && earlier(run_[run_at_], late_.front()))) return run_[run_at_];
    return late_.front();
  }

  /// Opens the next day that holds an event and takes its list.
  std::uint32_t open_next_day() {
    CHECK(size_ > 0, "an event is taken only from a queue that holds one");
    if (pops() >= tune_at_) tune();
    const std::uint64_t open = open_day_ & mask_;
    const std::uint64_t rest = filled_[open >> 6] >> (open & 63);
    open_day_ = rest != 0 ? open_day_ + static_cast<std::uint64_t>(std::countr_zero(rest)) : distant_day();
    const std::uint64_t day = open_day_ & mask_;
    const std::uint32_t list = first_[day];
    first_[day] = 0;
    std::uint64_t& word = filled_[day >> 6];
    word &= ~(std::uint64_t{1} << (day & 63));
    filled_words_[day >> 12] &= ~(std::uint64_t{word == 0} << (day >> 6 & 63));
    return list;
  }

  /// The next day that holds an event, which is not in the same word as the open one.
  [[gnu::noinline]] std::uint64_t distant_day() {
    std::uint64_t day = first_filled(((open_day_ & mask_) >> 6) + 1);
    if (day < days()) return (open_day_ & ~mask_) + day;
    enter_lap(first_filled(0) < days() ? (open_day_ >> ring_bits_) + 1 : nearest_far_lap());
    return open_day_ + 1 + first_filled(0);
  }

  /// The first day of the ring from this word on that holds an event; days() when none does.
  std::uint64_t first_filled(std::uint64_t word) const {
    if (word == filled_.size()) return days();
    std::uint64_t block = word >> 6;
    std::uint64_t words = filled_words_[block] >> (word & 63) << (word & 63);
    while (words == 0) {
      if (++block == filled_words_.size()) return days();
      words = filled_words_[block];
    }
    word = (block << 6) + static_cast<std::uint64_t>(std::countr_zero(words));
    return (word << 6) + static_cast<std::uint64_t>(std::countr_zero(filled_[word]));
  }

  std::uint64_t nearest_far_lap() const {
    for (const FarLevel& far : far_) {
      if (far.filled == 0) continue;
      std::uint64_t nearest = ~std::uint64_t{0};
      for (std::uint32_t at = far.lists[std::countr_zero(far.filled)].first; at != 0; at = blocks_[at].next) {
        for (std::uint32_t i = 0; i < blocks_[at].count; ++i)
          nearest = std::min(nearest, day_of(blocks_[at].entries[i]));
      }
      return nearest >> ring_bits_;
    }
    CHECK(false, "every pending event is somewhere");
    return 0;
  }

  /// Ends the lap: the day before the first of this one is open, and what was far and is in this lap stands in the ring.
  void enter_lap(std::uint64_t lap) {
    const auto level = (static_cast<unsigned>(std::bit_width(lap ^ (open_day_ >> ring_bits_))) - 1) / digit_bits;
    open_day_ = (lap << ring_bits_) - 1;
    const std::uint64_t digit = lap >> (level * digit_bits) & 63;
    std::uint32_t at = std::exchange(far_[level].lists[digit], {}).first;
    far_[level].filled &= ~(std::uint64_t{1} << digit);
    while (at != 0) {
      for (std::uint32_t i = 0; i < blocks_[at].count; ++i) {
        const Entry entry = blocks_[at].entries[i];
        if (day_of(entry) >> ring_bits_ == lap) {
          put_into_day(entry, day_of(entry) & mask_);
        } else {
          put_far(entry, lap);
        }
      }
      const std::uint32_t next = blocks_[at].next;
      blocks_[at].next = free_block_;
      free_block_ = at;
      at = next;
    }
  }

  /// Sorts the list of a day, which holds the youngest first.
  [[gnu::noinline]] void fill_run(std::uint32_t list) {
    run_at_ = run_end_ = 0;
    while (list != 0) {
      append_to_run(nodes_[list].entry);
      const std::uint32_t next = nodes_[list].next;
      free_node(list);
      list = next;
    }
    if (run_end_ == 2) {
      if (earlier(run_[1], run_[0])) std::swap(run_[0], run_[1]);
      return;
    }
    const auto begin = run_.begin(), end = begin + static_cast<std::ptrdiff_t>(run_end_);
    std::reverse(begin, end);
    if (run_end_ > 16) {
      if (std::is_sorted(begin, end, earlier)) return;
      std::sort(begin, end, earlier);
      crowded_ += run_end_;
      return;
    }
    for (std::size_t i = 1; i < run_end_; ++i) {
      const Entry entry = run_[i];
      std::size_t at = i;
      for (; at > 0 && earlier(entry, run_[at - 1]); --at) run_[at] = run_[at - 1];
      run_[at] = entry;
    }
  }

  std::uint64_t pops() const { return order_ - size_; }

  /// Fits the width of a day to the time between two events, and the number of days to that of events.
  [[gnu::noinline]] void tune() {
    const std::uint64_t popped = pops() - tuned_at_;
    const double now = static_cast<double>(open_day_) * std::ldexp(1.0, shift_);
    double gap = (now - tuned_now_) / static_cast<double>(std::max<std::uint64_t>(popped, 1));
    if (pops() == 0) gap = estimated_gap();
    if (crowded_ > popped / 4) {  // the mean is no guide: bursts
      finer_ = std::min(finer_ + 3, 30);
    } else if (crowded_ == 0 && finer_ > 0) {
      --finer_;
    }
    tuned_at_ = pops();
    tuned_now_ = now;
    tune_at_ = tuned_at_ + std::max<std::uint64_t>(256, 2 * size_);
    crowded_ = 0;
    if (gap <= 0) return;
    // Measured: few events fare best with days of an eighth of the gap and a ring that holds them all. Many would make a
    // ring that leaves the cache; most of them had better stay in far, which moves them in long runs.
    const bool small = size_ <= 8192;
    const int ring_bits = small ? std::max(static_cast<int>(std::bit_width(16 * size_)), 6) : 13;
    const int shift = std::clamp(std::ilogb(gap * (small ? 0.125 : 0.25) + 1) - finer_, 0, 40);
    if (std::abs(shift - shift_) > 1 || std::abs(ring_bits - ring_bits_) > 1) set_days(shift, ring_bits);
  }

  /// Of a queue that nothing was taken from: twice the time to the median event, over their number.
  double estimated_gap() const {
    std::vector<std::int64_t> times;
    times.reserve(size_);
    for (const Entry& entry : all()) times.push_back(entry.time);
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    const std::int64_t first = *std::min_element(times.begin(), middle + 1);
    return 2.0 * static_cast<double>(*middle - first) / static_cast<double>(times.size());
  }

  std::vector<Entry> all() const {
    std::vector<Entry> entries;
    entries.reserve(size_);
    entries.insert(entries.end(), run_.begin() + static_cast<std::ptrdiff_t>(run_at_),
                   run_.begin() + static_cast<std::ptrdiff_t>(run_end_));
    entries.insert(entries.end(), late_.begin(), late_.end());
    for (std::uint32_t node : first_) {
      for (; node != 0; node = nodes_[node].next) entries.push_back(nodes_[node].entry);
    }
    for (const FarLevel& far : far_) {
      for (const FarList& list : far.lists) {
        for (std::uint32_t at = list.first; at != 0; at = blocks_[at].next) {
          entries.insert(entries.end(), blocks_[at].entries.begin(), blocks_[at].entries.begin() + blocks_[at].count);
        }
      }
    }
    return entries;
  }

  void set_days(int shift, int ring_bits) {
    const std::vector<Entry> entries = all();
    shift_ = shift;
    ring_bits_ = ring_bits;
    mask_ = (std::uint64_t{1} << ring_bits) - 1;
    first_.assign(days(), 0);
    filled_.assign(days() >> 6, 0);
    filled_words_.assign((days() + 4095) >> 12, 0);
    nodes_.resize(1);
    nodes_.reserve(size_);
    blocks_.resize(1);
    free_ = free_block_ = 0;
    late_.clear();
    far_.fill({});
    run_at_ = run_end_ = 0;
    open_day_ = 0;
    if (entries.empty()) return;
    open_day_ = day_of(*std::min_element(entries.begin(), entries.end(), earlier)) - 1;
    for (const Entry& entry : entries) insert(entry);
  }

  std::size_t size_ = 0;
  std::uint64_t order_ = 0;

  std::vector<Entry> run_ = std::vector<Entry>(16);  ///< [run_at_, run_end_) is pending
  std::size_t run_at_ = 0, run_end_ = 0;
  std::vector<Entry> late_;

  int shift_ = 0, ring_bits_ = 0;
  std::uint64_t mask_ = 0;
  std::uint64_t open_day_ = 0;
  std::vector<Node> nodes_ = std::vector<Node>(1);  ///< node 0 is none
  std::uint32_t free_ = 0;
  std::vector<std::uint32_t> first_;         ///< by day of the ring
  std::vector<std::uint64_t> filled_;        ///< a bit a day
  std::vector<std::uint64_t> filled_words_;  ///< a bit a word of filled_

  std::array<FarLevel, 64 / digit_bits + 1> far_{};
  std::vector<Block> blocks_ = std::vector<Block>(1);  ///< block 0 is none
  std::uint32_t free_block_ = 0;

  // Since it was tuned: at how many pops, when, and how many events went through a sort or a heap.
  std::uint64_t tuned_at_ = 0, tune_at_ = 0, crowded_ = 0;
  double tuned_now_ = 0;
  int finer_ = 0;
};

}  // namespace stepcast
