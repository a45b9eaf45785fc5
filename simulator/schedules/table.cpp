#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {

std::span<const Schedule> list_schedules() {
  static const Schedule rows[] = {no_pipeline,   gpipe,      one_f_one_b, interleaved_one_f_one_b,
                                  breadth_first, zb_h1,      zb_h2,       zb_1p,
                                  zb_2p,         zb_v,       v_half,      v_min,
                                  dualpipe,      dualpipe_v, custom};
  return rows;
}

std::string refused_by_split_passes(const PipelineShape& shape, const std::string& name, int chunks) {
  if (shape.stages == 1) return name + " needs more than one pipeline stage";
  if (shape.paired) return name + " does not overlap expert exchanges: use interleaved-1f1b or dualpipe";
  if (shape.chunks == chunks) return "";
  return name + (chunks == 1 ? " runs one model chunk a rank" : " runs two chunks a rank: set virtual_stages to 2");
}

PipelineShape pipeline_shape(const ParallelPlan& plan) {
  return {.stages = plan.pipeline_parallel,
          .chunks = plan.virtual_stages,
          .microbatches = plan.microbatches(),
          .paired = plan.expert_parallel > 1 && plan.overlap_ep.value_or(false),
          .own = plan.own_order ? &*plan.own_order : nullptr};
}

std::int64_t most_in_flight(const std::vector<PassStep>& steps) {
  std::int64_t now = 0, most = 0;
  bool paired = false;
  for (const PassStep& step : steps) {
    if (paired) {  // layer by layer the backward pass frees what the forward pass beside it fills
      paired = false;
      continue;
    }
    paired = step.paired;
    if (step.kind == PassKind::forward && !paired) most = std::max(most, ++now);
    if (makes_weight_gradients(step.kind)) --now;
  }
  return most;
}

std::vector<std::int64_t> chunks_in_flight(const PipelineOrder& order) {
  std::vector<std::int64_t> counts;
  for (const std::vector<PassStep>& stage : order) counts.push_back(most_in_flight(stage));
  return counts;
}

const Schedule* find_schedule(std::string_view name) {
  for (const Schedule& schedule : list_schedules()) {
    if (schedule.name == name) return &schedule;
  }
  return nullptr;
}

ChunkPlacement chunk_placement(const ParallelPlan& plan) {
  if (plan.own_order) return plan.own_order->placement;
  const Schedule* schedule = find_schedule(plan.schedule);
  return schedule ? schedule->placement : ChunkPlacement::loop;
}

}  // namespace stepcast
