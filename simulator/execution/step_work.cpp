#include "simulator/execution/step_work.hpp"

namespace stepcast {

StepWork step_work(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework) {
  const ParameterCount count = model.trained(stage);
  const double parameters = count.total();
  const double owned = plan.zero >= 1 ? count.dense / static_cast<double>(plan.shard_ranks()) +
                                            count.expert / static_cast<double>(plan.expert_copies())
                                      : parameters;
  const bool scales = plan.dense_copies() > 1 && plan.zero < 2 && !plan.overlap_grad_reduce.value();
  const double adam = *framework.optimizer_bytes * (1 - plan.on_cpu());
  return {Bytes(*framework.gradient_clear_bytes * (plan.zero >= 2 ? owned : parameters)),
          Bytes(scales ? *framework.gradient_scale_bytes * parameters : 0),
          Bytes(*framework.gradient_clip_bytes * owned / 3),  // clipping reads once, then reads and writes
          Bytes((*framework.gradient_clip_bytes * 2 / 3 + adam) * owned), owned};
}

}  // namespace stepcast
