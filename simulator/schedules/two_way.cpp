#include "simulator/schedules/two_way.hpp"

#include <deque>

namespace stepcast {
namespace {

class Passes {
 public:
  explicit Passes(const TwoWayRank& rank) : swapped_(rank.swapped), chunk_1_(rank.chunk_1_microbatches) {}

  void forward(int direction) { steps_.push_back(step(PassKind::forward, direction, forwards_[direction]++)); }
  void backward(int direction) { steps_.push_back(step(PassKind::backward, direction, backwards_[direction]++)); }
  /// The weight gradients wait for weight().
  void backward_input(int direction) {
    const PassStep pass = step(PassKind::backward_input, direction, backwards_[direction]++);
    steps_.push_back(pass);
    waiting_.push_back(pass);
  }
  void weight() {
    PassStep pass = waiting_.front();
    waiting_.pop_front();
    pass.kind = PassKind::backward_weight;
    steps_.push_back(pass);
  }
  void both(int forward_direction, int backward_direction) {
    forward(forward_direction);
    steps_.back().paired = true;
    backward(backward_direction);
  }
  std::vector<PassStep> take() { return std::move(steps_); }

 private:
  PassStep step(PassKind kind, int direction, std::int32_t index) const {
    const std::int32_t chunk = swapped_ ? 1 - direction : direction;
    return {kind, chunk * chunk_1_ + index, chunk};
  }

  bool swapped_;
  std::int32_t chunk_1_;
  std::int32_t forwards_[2] = {0, 0}, backwards_[2] = {0, 0};
  std::deque<PassStep> waiting_;
  std::vector<PassStep> steps_;
};

}  // namespace

std::vector<PassStep> two_way_passes(const TwoWayRank& of) {
  const int place = of.place, inward = of.inward;
  Passes rank(of);
  for (int i = 0; i < 2 * inward; ++i) rank.forward(0);
  for (int i = 0; i <= place; ++i) rank.forward(0), rank.forward(1);
  for (int i = 0; i < inward; ++i) rank.backward_input(1), rank.weight(), rank.forward(1);
  for (int i = 0; i < of.passes - 2 * inward - place - 1; ++i) {
    if (i == 0 && inward == 0) {  // the middle ranks' own neighbour waits for this forward pass
      rank.forward(0), rank.backward(1);
    } else {
      rank.both(0, 1);
    }
    rank.both(1, 0);
  }
  for (int i = 0; i < inward; ++i) rank.backward(1), rank.both(1, 0);
  bool split = false;
  for (int i = 0; i <= place; ++i) {
    split = split || (i == (place + 1) / 2 && place % 2 == 1);
    split ? rank.backward_input(1) : rank.backward(1);
    split = split || (i == (place + 1) / 2 && place % 2 == 0);
    split ? rank.backward_input(0) : rank.backward(0);
  }
  for (int i = 0; i < inward; ++i) rank.weight(), rank.backward_input(0);
  for (int i = 0; i <= place; ++i) rank.weight();
  return rank.take();
}

}  // namespace stepcast
