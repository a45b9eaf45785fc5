/// ZB-V (Qi et al. 2023, arXiv 2401.10241 section 6): two chunks a rank, down the ranks and back up, so that the first and
/// the last part of the model share a rank. Order of PyTorch `ScheduleZBVZeroBubble`. No bubble where tF = tI = tW, but for the p - 1
/// passes until the last rank has work, when a step begins empty.

#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) { return refused_by_split_passes(shape, "zb-v", 2); }

/// Counts passes of each kind and chunk; those beyond the last microbatch are places left empty.
class Rank {
 public:
  explicit Rank(const PipelineShape& shape) : microbatches_(static_cast<std::int32_t>(shape.microbatches)) {}

  void forward(int chunk) { add(PassKind::forward, chunk, forwards[chunk]++); }
  void input(int chunk) { add(PassKind::backward_input, chunk, inputs[chunk]++); }
  void weight(int chunk) { add(PassKind::backward_weight, chunk, weights[chunk]++); }
  std::vector<PassStep> take() { return std::move(steps_); }

  std::int32_t forwards[2] = {0, 0}, inputs[2] = {0, 0}, weights[2] = {0, 0};

 private:
  void add(PassKind kind, int chunk, std::int32_t microbatch) {
    if (microbatch < microbatches_) steps_.push_back({kind, microbatch, chunk});
  }

  std::int32_t microbatches_;
  std::vector<PassStep> steps_;
};

std::vector<PassStep> order(const PipelineShape& shape, int stage) {
  const int p = shape.stages;
  const auto n = std::max<std::int32_t>(2 * p - 1, static_cast<std::int32_t>(shape.microbatches));
  Rank rank(shape);
  for (int i = 0; i < 2 * (p - stage) - 1; ++i) rank.forward(0);
  for (int i = 0; i < stage; ++i) rank.forward(1), rank.forward(0);
  for (int i = 0; i < p - stage; ++i) rank.forward(1), rank.input(1), rank.weight(1);
  while (rank.forwards[1] < rank.forwards[0] || rank.forwards[0] < n) {
    if (rank.forwards[0] < n) rank.forward(0);
    rank.input(0), rank.weight(0), rank.forward(1), rank.input(1), rank.weight(1);
  }
  for (int i = 0; i < stage; ++i) rank.input(0), rank.input(1);
  for (int i = 0; i < p - stage; ++i) rank.input(0), rank.weight(0);
  while (rank.weights[1] < rank.inputs[1]) rank.weight(1);
  while (rank.weights[0] < rank.inputs[0]) rank.weight(0);
  return rank.take();
}

}  // namespace

const Schedule zb_v{.name = "zb-v",
                    .description = "two chunks a rank in a V, weight gradients held back (Qi et al. 2023)",
                    .refuses = refuses,
                    .order = by_stage<order>,
                    .placement = ChunkPlacement::vee,
                    .repeats = [](const PipelineShape&) { return std::int64_t{1}; },
                    .asynchronous = true};

}  // namespace stepcast
