#pragma once
/// The best configurations so far, of one objective and of two.

#include <cstddef>
#include <limits>
#include <tuple>
#include <vector>

#include "simulator/search/result.hpp"

namespace stepcast {

class Leaders {
 public:
  /// @param top  how many are kept of one objective; at least one is
  explicit Leaders(int top) : top_(static_cast<std::size_t>(top < 1 ? 1 : top)) {}

  void keep(const Result& result, double score);
  /// The score that a further one has to beat: that of the last, once there are enough.
  double to_beat() const { return best_.size() < top_ ? std::numeric_limits<double>::infinity() : best_.back().score; }
  /// Null: none yet.
  const Result* first() const { return best_.empty() ? nullptr : &best_.front().result; }
  /// Best first; equal scores in the order of their numbers.
  std::vector<Result> best() const;

  void add_to_front(const Result& result, double first, double second);
  /// Whether one is as good in both objectives and better in one.
  bool dominate(double first, double second) const;
  /// By the first objective.
  std::vector<Result> front() const;

 private:
  struct Best {
    double score;
    Result result;
    friend bool operator<(const Best& a, const Best& b) {
      return std::tie(a.score, a.result.variant, a.result.id) < std::tie(b.score, b.result.variant, b.result.id);
    }
  };
  struct Point {
    double first, second;
    Result result;
  };

  std::size_t top_;
  std::vector<Best> best_;
  std::vector<Point> front_;
};

}  // namespace stepcast
