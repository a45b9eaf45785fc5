/// Laws of what is trained: less work is never slower, and holds less.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/predict.hpp"
#include "tests/support/any_job.hpp"

namespace stepcast {
namespace {

/// A job in which nothing is frozen, and whose reductions come at the end, in one piece.
Job trains_all() {
  Job job = fixtures::in_turn(fixtures::any_job());
  job.plan.lora.reset();
  job.plan.frozen_layers = 0;
  job.plan.overlap_grad_reduce = false;
  return job;
}

RC_GTEST_PROP(FrozenLayers, NeverCostTimeOrMemory, ()) {
  Job job = trains_all();
  const Report all = predict(job, {.jitter = false});
  Report before = all;
  for (const std::int64_t frozen : {job.model.layers / 2, job.model.layers}) {
    job.plan.frozen_layers = frozen;
    const Report now = predict(job, {.jitter = false});
    RC_ASSERT(now.step_time.si() <= before.step_time.si() * (1 + 1e-9));
    for (std::size_t stage = 0; stage < now.per_stage.size(); ++stage) {
      const MemoryUse &less = now.per_stage[stage].memory, &more = before.per_stage[stage].memory;
      RC_ASSERT(less.optimizer.si() <= more.optimizer.si() * (1 + 1e-9));
      RC_ASSERT(less.gradients.si() <= more.gradients.si() * (1 + 1e-9));
      RC_ASSERT(less.allocated().si() <= more.allocated().si() * (1 + 1e-9));
    }
    before = now;
  }
}

RC_GTEST_PROP(Packing, NeverCostsTime, ()) {
  Job job = trains_all();
  job.plan.attention_length.reset();
  const Report whole = predict(job, {.jitter = false});
  job.plan.attention_length = static_cast<double>(job.plan.sequence_length) / 4;
  RC_ASSERT(predict(job, {.jitter = false}).step_time.si() <= whole.step_time.si() * (1 + 1e-9));
}

}  // namespace
}  // namespace stepcast
