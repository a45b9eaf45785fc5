/// V-Min and V-Half (Qi et al. 2024, arXiv 2405.15362, "Pipeline Parallelism with Controllable Memory"): two chunks a rank in a
/// V, and a building block that is repeated every six passes. How long an activation lives follows from how many passes
/// later the next rank runs the same microbatch: one everywhere gives a third of 1F1B's activations (V-Min), one and two a
/// half (V-Half). The block fixes the order of forward and input-gradient passes; weight gradients fill the gaps.

#include <algorithm>
#include <array>
#include <utility>

#include "simulator/base/error.hpp"
#include "simulator/schedules/list_schedule.hpp"

namespace stepcast {
namespace {

constexpr int period = 6;  ///< forward, input and weight gradients of two chunks, a unit of time each

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "v-half and v-min need more than one pipeline stage";
  if (shape.paired) return "v-half and v-min do not overlap expert exchanges: use interleaved-1f1b or dualpipe";
  return shape.chunks == 2 ? "" : "v-half and v-min run two chunks a rank: set virtual_stages to 2";
}

/// Units of time from one rank to the next: forward down and up the V, backward down and up.
struct Steps {
  int forward_down = 1, forward_up = 1, backward_down = 1, backward_up = 1;
};

/// When a rank runs the passes of microbatch 0.
struct Block {
  int forward_0 = 0, forward_1 = 0, input_1 = 0, input_0 = 0;

  bool collides() const {
    std::array<bool, period> taken{};
    for (const int time : {forward_0, forward_1, input_1, input_0}) {
      if (std::exchange(taken[static_cast<std::size_t>(time % period)], true)) return true;
    }
    return false;
  }
};

std::vector<Block> blocks(int p, const Steps& steps, int turn, int loss, int back) {
  std::vector<Block> all;
  const int bottom = steps.forward_down * (p - 1) + turn;       // the second chunk begins on the last rank
  const int top = bottom + steps.forward_up * (p - 1) + loss;   // the backward pass begins on the first
  const int rise = top + steps.backward_down * (p - 1) + back;  // and turns on the last
  for (int rank = 0; rank < p; ++rank) {
    const int above = p - 1 - rank;
    all.push_back({steps.forward_down * rank, bottom + steps.forward_up * above, top + steps.backward_down * rank,
                   rise + steps.backward_up * above});
  }
  return all;
}

/// The tightest block in which no rank has two passes at once.
std::vector<Block> tightest(int p, const Steps& steps) {
  for (int slack = 0; slack <= 3 * (period - 1); ++slack) {
    for (int turn = 0; turn <= slack; ++turn) {
      for (int loss = 0; turn + loss <= slack; ++loss) {
        std::vector<Block> all = blocks(p, steps, 1 + turn, 1 + loss, 1 + slack - turn - loss);
        if (std::none_of(all.begin(), all.end(), [](const Block& block) { return block.collides(); })) return all;
      }
    }
  }
  CHECK(false, "six places a period leave room for four passes");
  return {};
}

/// Forward and input-gradient passes of the repeated block, in order of time.
PipelineOrder repeated(const std::vector<Block>& blocks, std::int64_t microbatches) {
  PipelineOrder order;
  for (const Block& block : blocks) {
    std::vector<std::pair<std::int64_t, PassStep>> timed;
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(microbatches); ++i) {
      const std::int64_t begin = std::int64_t{period} * i;
      timed.emplace_back(begin + block.forward_0, PassStep{PassKind::forward, i, 0});
      timed.emplace_back(begin + block.forward_1, PassStep{PassKind::forward, i, 1});
      timed.emplace_back(begin + block.input_1, PassStep{PassKind::backward_input, i, 1});
      timed.emplace_back(begin + block.input_0, PassStep{PassKind::backward_input, i, 0});
    }
    std::sort(timed.begin(), timed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    order.emplace_back();
    for (const auto& [time, pass] : timed) order.back().push_back(pass);
  }
  return order;
}

/// Activations that the block itself needs, with each weight gradient a period after its input gradient at the latest.
std::int64_t lifespan_in_chunks(const std::vector<Block>& blocks) {
  int longest = 0;
  for (const Block& block : blocks) {
    longest = std::max(longest, block.input_0 - block.forward_0 + block.input_1 - block.forward_1);
  }
  return (longest + period - 1) / period + 2;
}

PipelineOrder best_of(const PipelineShape& shape, std::initializer_list<Steps> ways) {
  Arranged best;
  for (const Steps& steps : ways) {
    const std::vector<Block> block = tightest(shape.stages, steps);
    const PipelineOrder given = repeated(block, shape.microbatches);
    Arranged arranged = list_schedule(shape, {.placement = ChunkPlacement::vee,
                                              .most_in_flight = lifespan_in_chunks(block),
                                              .weights_fill_any_gap = false,
                                              .given = &given});
    if (best.order.empty() || arranged.end < best.end) best = std::move(arranged);
  }
  return std::move(best.order);
}

}  // namespace

const Schedule v_half{.name = "v-half",
                      .description = "two chunks a rank in a V, half the activations of 1f1b (Qi et al. 2024)",
                      .refuses = refuses,
                      .order =
                          [](const PipelineShape& shape) {
                            return best_of(shape, {{2, 1, 2, 1}, {1, 2, 1, 2}});
                          },
                      .placement = ChunkPlacement::vee,
                      .asynchronous = true,
                      .arranges = true};

const Schedule v_min{.name = "v-min",
                     .description = "two chunks a rank in a V, a third of the activations of 1f1b (Qi et al. 2024)",
                     .refuses = refuses,
                     .order =
                         [](const PipelineShape& shape) {
                           return best_of(shape, {{1, 1, 1, 1}});
                         },
                     .placement = ChunkPlacement::vee,
                     .asynchronous = true,
                     .arranges = true};

}  // namespace stepcast
