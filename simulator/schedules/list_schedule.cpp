#include "simulator/schedules/list_schedule.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <queue>
#include <tuple>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

constexpr double unknown = std::numeric_limits<double>::infinity();

class Arrangement {
 public:
  Arrangement(const PipelineShape& shape, const ListPolicy& policy)
      : shape_(shape),
        policy_(policy),
        length_(path_length(policy.placement, shape.stages, shape.chunks)),
        ranks_(static_cast<std::size_t>(shape.stages)) {
    for (auto& arrivals : arrival_) {
      arrivals.assign(static_cast<std::size_t>(length_),
                      std::vector<double>(static_cast<std::size_t>(shape.microbatches), unknown));
    }
    std::fill(arrivals(PassKind::forward, 0).begin(), arrivals(PassKind::forward, 0).end(), 0.0);
    if (policy.given) {
      const std::vector<PassStep>& first = policy.given->front();
      complete_ = std::any_of(first.begin(), first.end(),
                              [](const PassStep& pass) { return pass.kind == PassKind::backward_weight; });
    }
    rank_of_.resize(static_cast<std::size_t>(length_));
    for (int stage = 0; stage < shape.stages; ++stage) {
      for (int chunk = 0; chunk < shape.chunks; ++chunk) rank_of_[at(stage, chunk)] = stage;
    }
  }

  Arranged run() {
    for (int stage = 0; stage < shape_.stages; ++stage) wake_.emplace(0.0, stage);
    while (!wake_.empty()) {
      const auto [now, stage] = wake_.top();
      wake_.pop();
      if (now >= ranks_[static_cast<std::size_t>(stage)].free) decide(stage, now);
    }
    Arranged result;
    for (Rank& rank : ranks_) {
      CHECK(rank.steps.size() == static_cast<std::size_t>(3 * shape_.microbatches * shape_.chunks),
            "a rank that waits is woken by what it waits for");
      result.order.push_back(std::move(rank.steps));
      result.end = std::max(result.end, rank.free);
    }
    return result;
  }

 private:
  struct Rank {
    double free = 0;
    std::size_t next = 0;                   ///< in the given order
    std::int32_t forwards = 0, inputs = 0;  ///< done, without a given order
    std::int64_t in_flight = 0;
    std::deque<PassStep> weights;  ///< to catch up on
    std::vector<PassStep> steps;
  };

  std::size_t at(int stage, int chunk) const {
    return static_cast<std::size_t>(path_point(policy_.placement, shape_.stages, stage, chunk).position);
  }
  std::vector<double>& arrivals(PassKind kind, std::size_t position) {
    return arrival_[kind == PassKind::forward ? 0 : 1][position];
  }
  double arrival(int stage, const PassStep& pass) {
    return arrivals(pass.kind, at(stage, pass.chunk))[static_cast<std::size_t>(pass.microbatch)];
  }

  void start(int stage, const PassStep& pass, double now) {
    Rank& rank = ranks_[static_cast<std::size_t>(stage)];
    const PassTimes times = shape_.times_of(stage, pass.chunk);
    const bool forward = pass.kind == PassKind::forward, input = pass.kind == PassKind::backward_input;
    rank.free = now + (forward ? times.forward : input ? times.input : times.weight);
    rank.steps.push_back(pass);
    wake_.emplace(rank.free, stage);
    if (forward) ++rank.in_flight, ++rank.forwards;
    if (input) ++rank.inputs;
    if (input && !complete_) rank.weights.push_back({PassKind::backward_weight, pass.microbatch, pass.chunk});
    if (pass.kind == PassKind::backward_weight) {
      --rank.in_flight;
      return;
    }
    // What comes next on its way: the last forward pass is followed by its own backward pass.
    const auto here = static_cast<int>(at(stage, pass.chunk));
    const bool turns = forward && here + 1 == length_;
    const int to = turns ? here : forward ? here + 1 : here - 1;
    if (to < 0) return;
    const int rank_there = rank_of_[static_cast<std::size_t>(to)];
    const double then = rank.free + (rank_there == stage ? 0 : shape_.exchange);
    arrivals(turns ? PassKind::backward_input : pass.kind,
             static_cast<std::size_t>(to))[static_cast<std::size_t>(pass.microbatch)] = then;
    wake_.emplace(then, rank_there);
  }

  void catch_up(int stage, double now) {
    Rank& rank = ranks_[static_cast<std::size_t>(stage)];
    const PassStep weight = rank.weights.front();
    rank.weights.pop_front();
    start(stage, weight, now);
  }

  void decide(int stage, double now) {
    Rank& rank = ranks_[static_cast<std::size_t>(stage)];
    const bool full = rank.in_flight >= policy_.most_in_flight;
    const auto [pass, ready] = policy_.given ? next_given(stage) : next_free(stage, now, full);
    const bool pending = !rank.weights.empty();
    const bool must_free = policy_.given && full && pending && pass.kind == PassKind::forward && ready <= now;
    if (ready <= now && !must_free) {
      start(stage, pass, now);
      rank.next += policy_.given ? 1 : 0;
    } else if (pending &&
               (must_free || policy_.weights_fill_any_gap || ready - now >= weight_time(stage, rank.weights.front()))) {
      catch_up(stage, now);
    }
  }

  double weight_time(int stage, const PassStep& weight) const { return shape_.times_of(stage, weight.chunk).weight; }

  /// What comes next by the given order, and when its input is there.
  std::pair<PassStep, double> next_given(int stage) {
    Rank& rank = ranks_[static_cast<std::size_t>(stage)];
    const std::vector<PassStep>& given = (*policy_.given)[static_cast<std::size_t>(stage)];
    if (rank.next == given.size()) return {{}, unknown};
    const PassStep& pass = given[rank.next];
    return {pass, pass.kind == PassKind::backward_weight ? 0 : arrival(stage, pass)};
  }

  /// What a rank would take, and when its input is there.
  std::pair<PassStep, double> next_free(int stage, double now, bool full) {
    Rank& rank = ranks_[static_cast<std::size_t>(stage)];
    const PassStep forward{PassKind::forward, rank.forwards, 0}, input{PassKind::backward_input, rank.inputs, 0};
    const double forward_there = full || forward.microbatch == shape_.microbatches ? unknown : arrival(stage, forward);
    const double input_there = input.microbatch == shape_.microbatches ? unknown : arrival(stage, input);
    if (forward_there <= now && input_there <= now) {
      const bool turn = rank.steps.empty() || rank.steps.back().kind == PassKind::forward;
      return policy_.backward_first || turn ? std::pair(input, input_there) : std::pair(forward, forward_there);
    }
    return input_there <= forward_there ? std::pair(input, input_there) : std::pair(forward, forward_there);
  }

  const PipelineShape& shape_;
  const ListPolicy& policy_;
  const int length_;
  bool complete_ = false;  ///< the given order has its weight gradients
  std::vector<Rank> ranks_;
  std::vector<int> rank_of_;                     ///< by position on the way
  std::vector<std::vector<double>> arrival_[2];  ///< forward, backward: [position][microbatch]
  using Wake = std::pair<double, int>;
  std::priority_queue<Wake, std::vector<Wake>, std::greater<>> wake_;
};

}  // namespace

Arranged list_schedule(const PipelineShape& shape, const ListPolicy& policy) {
  return Arrangement(shape, policy).run();
}

}  // namespace stepcast
