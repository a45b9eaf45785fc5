#include "simulator/search/constraint.hpp"

#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/search/plan_keys.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

struct Case {
  const char* text;
  bool holds;
};

// TP 2 x PP 4 x DP 2, 8 microbatches of 1; nodes of eight.
class ConstraintText : public testing::TestWithParam<Case> {};

TEST_P(ConstraintText, Holds) {
  Job job = fixtures::job(2, 4, 2, 8);
  job.plan.recompute = "full";
  EXPECT_EQ(Constraint(GetParam().text).holds(job), GetParam().holds) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(Grammar, ConstraintText,
                         testing::Values(Case{"tensor_parallel <= gpus_per_node", true},  // 2 <= 8
                                         Case{"tensor_parallel * pipeline_parallel == 8", true},
                                         Case{"1 + 2 * 3 == 7", true}, Case{"(1 + 2) * 3 == 9", true},
                                         Case{"7 % 4 == 3 and 9 / 2 == 4.5", true},
                                         Case{"gpus % tensor_parallel == 0", true}, Case{"data_parallel > 2", false},
                                         Case{"recompute == full", true}, Case{"recompute != \"full\"", false},
                                         Case{"schedule == 1f1b or schedule == interleaved-1f1b", true},
                                         Case{"not pipeline_parallel > 2", false},
                                         Case{"not (tensor_parallel == 8 and pipeline_parallel == 24)", true},
                                         Case{"sequence_parallel == true", true}, Case{"-1 < 0", true},
                                         Case{"microbatches == 8", true}, Case{"recompute > 3", false}));

TEST(ConstraintText, RefusesWhatIsNoExpression) {
  for (const char* text : {"", "tensor_parallel <=", "(1 < 2", "1 < 2)", "tensor_paralel < 2", "1 $ 2", "'open"}) {
    EXPECT_THROW(Constraint{text}, UserError) << text;
  }
}

TEST(PlanKeys, TextsComeBack) {
  const ParallelPlan plan = fixtures::job(2, 4, 2, 8).plan;
  for (const PlanKey& key : plan_keys()) {
    const std::string text = text_of(plan, key);
    ParallelPlan other;
    if (!text.empty()) {
      ASSERT_TRUE(assign(other, key, text)) << key.name;
      EXPECT_EQ(text_of(other, key), text) << key.name;
    }
    EXPECT_EQ(find_plan_key(key.name), &key);
  }
  ParallelPlan other;
  EXPECT_FALSE(assign(other, *find_plan_key("tensor_parallel"), "two"));
  EXPECT_FALSE(assign(other, *find_plan_key("sequence_parallel"), "1"));
}

}  // namespace
}  // namespace stepcast
