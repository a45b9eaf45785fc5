/// DualPipe (DeepSeek-V3, arXiv 2412.19437 section 3.2.1): two copies of the model run through the pipeline in opposite
/// directions, and a forward pass of one shares the GPU with a backward pass of the other, so that one's exchanges run
/// under the other's kernels. Eight phases, as in deepseek-ai/DualPipe. Bubble (p/2 - 1)(tF&B + tB - 3tW).

#include <algorithm>
#include <deque>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "dualpipe needs more than one pipeline stage";
  if (shape.stages % 2 != 0) return "dualpipe needs an even number of pipeline stages";
  if (shape.chunks != 2) return "dualpipe runs two chunks a rank, one a direction: set virtual_stages to 2";
  if (shape.microbatches % 2 != 0 || shape.microbatches < 2 * shape.stages) {
    return "dualpipe needs an even number of microbatches, at least twice the pipeline stages (" +
           std::to_string(shape.microbatches) + " of " + std::to_string(2 * shape.stages) + ")";
  }
  return "";
}

/// Passes of one rank, in the words of its own half: direction 0 enters the pipeline nearer to it.
class Rank {
 public:
  Rank(const PipelineShape& shape, int stage)
      : half_(static_cast<std::int32_t>(shape.microbatches / 2)), swapped_(stage >= shape.stages / 2) {}

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
    return {kind, chunk * half_ + index, chunk};
  }

  std::int32_t half_;
  bool swapped_;
  std::int32_t forwards_[2] = {0, 0}, backwards_[2] = {0, 0};
  std::deque<PassStep> waiting_;
  std::vector<PassStep> steps_;
};

std::vector<PassStep> order(const PipelineShape& shape, int stage) {
  const int p = shape.stages;
  const int place = std::min(stage, p - 1 - stage);  // from the nearer end
  const int inward = p / 2 - place - 1;              // ranks between this one and the middle
  const auto half = static_cast<int>(shape.microbatches / 2);
  Rank rank(shape, stage);
  for (int i = 0; i < 2 * inward; ++i) rank.forward(0);
  for (int i = 0; i <= place; ++i) rank.forward(0), rank.forward(1);
  for (int i = 0; i < inward; ++i) rank.backward_input(1), rank.weight(), rank.forward(1);
  for (int i = 0; i < half - p + place + 1; ++i) {
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

}  // namespace

const Schedule dualpipe{
    .name = "dualpipe",
    .description = "both directions at once, exchanges under the other's kernels (DeepSeek-V3)",
    .refuses = refuses,
    .order = order,
    .chunks_in_flight = [](const PipelineShape& shape, int) { return std::int64_t{shape.stages} + 1; },
    .placement = ChunkPlacement::both_ways,
    .repeats = [](const PipelineShape&) { return std::int64_t{2}; },
    .asynchronous = true};

}  // namespace stepcast
