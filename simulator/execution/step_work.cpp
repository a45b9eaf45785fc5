#include "simulator/execution/step_work.hpp"

namespace stepcast {

StepWork step_work(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework) {
  const double ranks = static_cast<double>(plan.data_parallel) * plan.context_parallel;
  const double parameters = model.parameters(stage);
  const double owned = parameters / (plan.zero >= 1 ? ranks : 1);
  const bool scales = ranks > 1 && plan.zero < 2 && !plan.overlap_grad_reduce.value();
  return {Bytes(*framework.gradient_clear_bytes * (plan.zero >= 2 ? owned : parameters)),
          Bytes(scales ? *framework.gradient_scale_bytes * parameters : 0),
          Bytes(*framework.gradient_clip_bytes * owned / 3),  // clipping reads once, then reads and writes
          Bytes((*framework.gradient_clip_bytes * 2 / 3 + *framework.optimizer_bytes) * owned)};
}

}  // namespace stepcast
