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

// Losses at C = 1e24 by tokens a parameter, worked apart with the Epoch constants: the optimum is flat.
TEST(OverTraining, TheOptimumIsFlat) {
  for (const auto& [ratio, expected] : {std::pair{5.0, 1.9635},
                                        {10.0, 1.9605},
                                        {20.0, 1.9597},
                                        {40.0, 1.9611},
                                        {100.0, 1.9663},
                                        {200.0, 1.9729},
                                        {500.0, 1.9851},
                                        {2000.0, 2.0121}}) {
    const double n = std::sqrt(1e24 / 6 / ratio);
    EXPECT_NEAR(loss(epoch(), n, ratio * n), expected, 5.1e-5) << ratio;
    const auto over = over_training(epoch(), {n, ratio * n});
    ASSERT_TRUE(over.has_value());
    EXPECT_NEAR(over->penalty, expected - 1.9597, 1.1e-4) << ratio;
    EXPECT_NEAR(training_flops(over->best).si(), 1e24, 1e13);
    EXPECT_NEAR(loss(epoch(), over->cheapest.parameters, over->cheapest.tokens), over->loss, 1e-12);
    EXPECT_EQ(over->tokens_over_best > 1, ratio > 18);
  }
  // Five times the best ratio costs 0.007 nats, which the best sizes reach with a fifth fewer FLOPs.
  const auto over = over_training(epoch(), {std::sqrt(1e24 / 600), std::sqrt(1e24 / 600) * 100});
  EXPECT_NEAR(over->penalty, 0.0066, 1e-4);
  EXPECT_GT(over->extra_compute, 1.15);
  EXPECT_LT(over->extra_compute, 1.35);
}

TEST(OverTraining, OfABestRunThereIsNone) {
  const TrainingSize best = optimum(epoch(), Flops(1e23));
  const auto over = over_training(epoch(), best);
  EXPECT_NEAR(over->penalty, 0, 1e-12);
  EXPECT_NEAR(over->extra_compute, 1, 1e-9);
  EXPECT_NEAR(over->tokens_over_best, 1, 1e-9);
}

TEST(IsoFlopCurve, IsLowestAtTheOptimum) {
  const auto curve = iso_flop_curve(epoch(), Flops(1e22), 33, 16);
  ASSERT_EQ(curve.size(), 33u);
  const TrainingSize best = optimum(epoch(), Flops(1e22));
  EXPECT_NEAR(curve.front().size.parameters, best.parameters / 16, 1);
  EXPECT_NEAR(curve[16].size.parameters / best.parameters, 1, 1e-12);
  for (std::size_t i = 1; i < curve.size(); ++i) {
    EXPECT_EQ(curve[i].loss < curve[i - 1].loss, i <= 16);
    EXPECT_NEAR(training_flops(curve[i].size).si() / 1e22, 1, 1e-12);
  }
}

// What the closed forms say is what the search finds, for any law: none of it rests on the other.
RC_GTEST_PROP(BestSizes, HaveTheLeastLossOfTheirBudget, ()) {
  const auto between = [](double low, double high) { return low + (high - low) * *rc::gen::inRange(0, 1001) / 1000.0; };
  const ScalingLaw law =
      law_of(between(0.5, 2.5), between(50, 5000), between(50, 5000), between(0.2, 0.6), between(0.2, 0.6));
  const double budget = std::pow(10, between(18, 28));
  const TrainingSize best = optimum(law, Flops(budget));
  const TrainingSize searched = optimum(law, Flops(budget), [](double n) { return 6 * n; });
  RC_ASSERT(std::abs(searched.parameters / best.parameters - 1) < 1e-4);
  const double least = loss(law, best.parameters, best.tokens);
  for (const double factor : {0.5, 0.9, 1.1, 2.0})
    RC_ASSERT(loss(law, best.parameters * factor, best.tokens / factor) > least);
  const TrainingSize cheapest = cheapest_for_loss(law, least);
  RC_ASSERT(std::abs(cheapest.parameters / best.parameters - 1) < 1e-6);
  const auto tokens = tokens_for_loss(law, best.parameters, least);
  RC_ASSERT(tokens.has_value());
  RC_ASSERT(std::abs(*tokens / best.tokens - 1) < 1e-6);
  RC_ASSERT(!tokens_for_loss(law, best.parameters, lowest_loss(law, best.parameters)).has_value());
}

// With attention a token costs more, and more so in a small model: the same budget buys less of both.
TEST(BestSizesWithAttention, AreSmaller) {
  const auto with_attention = [](double n) { return 6 * n + 6 * std::cbrt(n * n) * 10; };
  const TrainingSize plain = optimum(epoch(), Flops(1e22));
  const TrainingSize size = optimum(epoch(), Flops(1e22), with_attention);
  EXPECT_NEAR(with_attention(size.parameters) * size.tokens / 1e22, 1, 1e-9);
  EXPECT_LT(size.parameters * size.tokens, plain.parameters * plain.tokens);
  const double least = loss(epoch(), size.parameters, size.tokens);
  EXPECT_GT(least, loss(epoch(), plain.parameters, plain.tokens));
  const TrainingSize cheapest = cheapest_for_loss(epoch(), least, with_attention);
  EXPECT_NEAR(training_flops(cheapest, with_attention).si() / 1e22, 1, 1e-6);
}

// Linear propagation of the same errors, with the covariances on view: log N = (log(alpha A) - log(beta B) +
// beta log(C/6)) / (alpha + beta).
TEST(Interval, IsThatOfLinearPropagation) {
  ScalingLaw law = epoch();
  law.uncertainty = LossUncertainty{};
  law.uncertainty->standard_error = {0.014, 0.02, 0.03, 0.001, 0.001};
  for (std::size_t i = 0; i < 5; ++i) law.uncertainty->correlation[i][i] = 1;
  law.uncertainty->correlation[1][3] = law.uncertainty->correlation[3][1] = 0.9;
  law.uncertainty->correlation[2][4] = law.uncertainty->correlation[4][2] = 0.8;
  const double budget = 1e23, step = 1e-6;
  const auto log_n = [&](double a, double b, double alpha, double beta) {
    return (std::log(alpha) + a - std::log(beta) - b + beta * std::log(budget / 6)) / (alpha + beta);
  };
  const double a = std::log(482.01), b = std::log(2085.43), middle = log_n(a, b, 0.3478, 0.3658);
  const double slopes[4] = {
      (log_n(a + step, b, 0.3478, 0.3658) - middle) / step, (log_n(a, b + step, 0.3478, 0.3658) - middle) / step,
      (log_n(a, b, 0.3478 + step, 0.3658) - middle) / step, (log_n(a, b, 0.3478, 0.3658 + step) - middle) / step};
  const double errors[4] = {0.02, 0.03, 0.001, 0.001};
  double variance = 0;
  for (int i = 0; i < 4; ++i) variance += std::pow(slopes[i] * errors[i], 2);
  variance += 2 * 0.9 * slopes[0] * errors[0] * slopes[2] * errors[2];
  variance += 2 * 0.8 * slopes[1] * errors[1] * slopes[3] * errors[3];
  const double z90 = 1.6448536;  // of a normal distribution, 5% on either side
  const auto range = optimum_interval(law, Flops(budget), 0.9);
  ASSERT_TRUE(range.has_value());
  EXPECT_NEAR(std::log(range->parameters.second / range->parameters.first), 2 * z90 * std::sqrt(variance),
              0.05 * 2 * z90 * std::sqrt(variance));
  EXPECT_NEAR(std::sqrt(range->parameters.first * range->parameters.second) / std::exp(middle), 1, 0.01);
  EXPECT_NEAR(range->parameters.first * range->tokens.second * 6 / budget, 1, 1e-6);
}

}  // namespace
}  // namespace stepcast
