/// What laws answer, against published tables, worked vectors, and each other.

#include "simulator/budget/compute_optimum.hpp"

#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

ScalingLaw law_of(double E, double A, double B, double alpha, double beta) {
  ScalingLaw law;
  law.name = "test";
  law.form = ParametricLoss{E, A, B, alpha, beta};
  return law;
}
ScalingLaw epoch() { return law_of(1.8172, 482.01, 2085.43, 0.3478, 0.3658); }

struct Oracle {
  const char* name;
  ScalingLaw law;
  double compute, parameters, tokens;
};
class BestSizes : public testing::TestWithParam<Oracle> {};

TEST_P(BestSizes, AreTheClosedForm) {
  const Oracle& oracle = GetParam();
  const TrainingSize size = optimum(oracle.law, Flops(oracle.compute));
  EXPECT_NEAR(size.parameters / oracle.parameters, 1, 5e-3);
  EXPECT_NEAR(size.tokens / oracle.tokens, 1, 5e-3);
  EXPECT_NEAR(6 * size.parameters * size.tokens / oracle.compute, 1, 1e-12);
}

// Arithmetic with the published constants, done apart from this code; three digits.
INSTANTIATE_TEST_SUITE_P(
    Worked, BestSizes,
    testing::Values(  //                       E       A       B        alpha   beta        C        N          D
        Oracle{"hoffmann_printed", law_of(1.69, 406.4, 410.7, 0.34, 0.28), 5.76e23, 3.2190e10, 2.9823e12},
        Oracle{"hoffmann_tex", law_of(1.6934, 406.4, 410.7, 0.3392, 0.2849), 5.76e23, 4.0310e10, 2.3815e12},
        Oracle{"epoch", epoch(), 5.76e23, 7.2249e10, 1.32874e12},  //
        Oracle{"epoch_1e21", epoch(), 1e21, 2.78e9, 6.0e10},       //
        Oracle{"epoch_1e24", epoch(), 1e24, 9.59e10, 1.74e12},     //
        Oracle{"epoch_1e25", epoch(), 1e25, 3.12e11, 5.34e12},     //
        Oracle{"epoch_llama3_405b", epoch(), 3.8e25, 6.19e11, 1.02e13}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace stepcast
