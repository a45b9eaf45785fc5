#include <algorithm>

#include "simulator/schedules/schedule.hpp"

namespace stepcast {

std::span<const Schedule> list_schedules() {
  static const Schedule rows[] = {no_pipeline, gpipe, one_f_one_b, interleaved_one_f_one_b, zb_h1, zb_v, dualpipe};
  return rows;
}

PipelineShape pipeline_shape(const ParallelPlan& plan) {
  return {plan.pipeline_parallel, plan.virtual_stages, plan.microbatches(),
          plan.expert_parallel > 1 && plan.overlap_ep.value_or(false)};
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
    if (step.kind == PassKind::backward || step.kind == PassKind::backward_weight) --now;
  }
  return most;
}

const Schedule* find_schedule(std::string_view name) {
  for (const Schedule& schedule : list_schedules()) {
    if (schedule.name == name) return &schedule;
  }
  return nullptr;
}

}  // namespace stepcast
