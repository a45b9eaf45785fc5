/// ZB-1p and ZB-2p (Qi et al. 2023, arXiv 2401.10241 section 3): arranged by how long the passes of each stage take, within
/// the activations of p microbatches (those of 1F1B) or of 2p. The best of the list scheduler's ways counts, the handcrafted
/// order of ZB-H1 or ZB-H2 and its weight gradients placed anew among them.

#include <algorithm>

#include "simulator/schedules/list_schedule.hpp"

namespace stepcast {
namespace {

std::string refuses(const PipelineShape& shape) {
  if (shape.stages == 1) return "zb-1p and zb-2p need more than one pipeline stage";
  if (shape.paired) return "zb-1p and zb-2p do not overlap expert exchanges: use interleaved-1f1b or dualpipe";
  return shape.chunks == 1 ? "" : "zb-1p and zb-2p run one model chunk a rank";
}

PipelineOrder without_weights(PipelineOrder order) {
  for (std::vector<PassStep>& stage : order) {
    std::erase_if(stage, [](const PassStep& pass) { return pass.kind == PassKind::backward_weight; });
  }
  return order;
}

PipelineOrder best_within(const PipelineShape& shape, std::int64_t most_in_flight, const Schedule& handcrafted) {
  const PipelineOrder whole = handcrafted.order(shape), passes = without_weights(whole);
  Arranged best;
  const auto consider = [&](const ListPolicy& policy) {
    Arranged arranged = list_schedule(shape, policy);
    if (best.order.empty() || arranged.end < best.end) best = std::move(arranged);
  };
  consider({.most_in_flight = most_in_flight, .given = &whole});
  for (const bool any_gap : {true, false}) {
    consider({.most_in_flight = most_in_flight, .weights_fill_any_gap = any_gap, .given = &passes});
    for (const bool backward_first : {true, false}) {
      consider({.most_in_flight = most_in_flight, .backward_first = backward_first, .weights_fill_any_gap = any_gap});
    }
  }
  return std::move(best.order);
}

}  // namespace

const Schedule zb_1p{.name = "zb-1p",
                     .description = "arranged by the times of passes, activations of 1f1b (Qi et al. 2023)",
                     .refuses = refuses,
                     .order = [](const PipelineShape& shape) { return best_within(shape, shape.stages, zb_h1); },
                     .asynchronous = true,
                     .arranges = true};

const Schedule zb_2p{.name = "zb-2p",
                     .description = "arranged by the times of passes, twice the activations of 1f1b (Qi et al. 2023)",
                     .refuses = refuses,
                     .order = [](const PipelineShape& shape) { return best_within(shape, 2 * shape.stages, zb_h2); },
                     .asynchronous = true,
                     .arranges = true};

}  // namespace stepcast
