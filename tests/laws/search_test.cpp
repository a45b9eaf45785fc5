/// Laws of the search: a bound is never above the simulated step.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/evaluator.hpp"
#include "simulator/search/lower_bound.hpp"
#include "tests/support/any_job.hpp"

namespace stepcast {
namespace {

RC_GTEST_PROP(LowerBound, IsNeverAboveTheSimulatedStep, ()) {
  Job job = fixtures::any_job();
  job.plan.global_batch *= *rc::gen::element(1, 1, 1, 2, 5);
  Evaluator evaluator(job);
  RC_PRE(evaluator.set_plan(job.plan).empty());
  const double bound = lower_bound(evaluator).si(), step = evaluator.step().step.seconds().si();
  RC_CLASSIFY(bound > 0.95 * step, "within 5%");
  RC_CLASSIFY(bound > 0.80 * step, "within 20%");
  RC_LOG() << "bound / step " << bound / step;
  RC_ASSERT(bound <= step);
  RC_ASSERT(bound > 0.2 * step);
}

}  // namespace
}  // namespace stepcast
