// Sizes for a budget against the closed form, PLAN-like figures of the literature, and each other.

#include "simulator/budget/sizing.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/question.hpp"
#include "simulator/input/scaling_law_reader.hpp"

namespace stepcast {
namespace {

const ScalingLaw& epoch() {
  static const ScalingLaw law = load_scaling_law("besiroglu");
  return law;
}

// Besiroglu et al. 2024 at Chinchilla's budget: 72.2 billion parameters, 1.33 trillion tokens.
TEST(Sizing, ChinchillasBudgetByTheEpochRefit) {
  const TrainingSize size = size_for(epoch(), Flops(5.76e23), {});
  EXPECT_NEAR(size.parameters, 7.2249e10, 2e7);
  EXPECT_NEAR(size.tokens, 1.32874e12, 5e8);
}

TEST(Sizing, EveryWishSpendsTheWholeBudget) {
  for (const SizeWish& wish : {SizeWish{}, SizeWish{.parameters = 7e10}, SizeWish{.tokens = 2e12},
                               SizeWish{.tokens_per_parameter = 100}, SizeWish{.served = InferenceDemand{0, 1e13}}}) {
    const TrainingSize size = size_for(epoch(), Flops(1e24), wish);
    EXPECT_NEAR(6 * size.parameters * size.tokens, 1e24, 1e18);
  }
}

// Sardana et al. 2024: what is served later makes the model smaller and its training longer. For the loss of Chinchilla
// and 1e13 tokens the Epoch refit gives 34.5 billion parameters and 3.75 trillion tokens, which train for 7.76e23 FLOPs.
TEST(Sizing, ServingMakesModelsSmallerForTheSameTraining) {
  const SizeWish served{.served = InferenceDemand{0, 1e13}};
  const TrainingSize plain = size_for(epoch(), Flops(7.76e23), {}), size = size_for(epoch(), Flops(7.76e23), served);
  EXPECT_NEAR(size.parameters, 3.45e10, 2e8);
  EXPECT_NEAR(size.tokens, 3.75e12, 2e10);
  EXPECT_LT(size.parameters, plain.parameters);
}

TEST(Sizing, ALossIsReachedBySizesOfThatLoss) {
  for (const SizeWish& wish : {SizeWish{}, SizeWish{.parameters = 7e10}, SizeWish{.tokens = 4e12},
                               SizeWish{.tokens_per_parameter = 100}, SizeWish{.served = InferenceDemand{0, 1e12}}}) {
    const TrainingSize size = size_for_loss(epoch(), 1.97, wish);
    EXPECT_NEAR(loss(epoch(), size.parameters, size.tokens), 1.97, 1e-6);
  }
}

TEST(Sizing, WhatNoTextCanDoIsRefused) {
  EXPECT_THROW(size_for_loss(epoch(), 1.9, {.parameters = 1e9}), UserError);
  EXPECT_THROW(size_for_loss(epoch(), 1.85, {.tokens = 1e10}), UserError);
  EXPECT_THROW(size_for_loss(epoch(), 1.8, {}), UserError);  // below E = 1.8172
}

// Llama 3 405B (arXiv 2407.21783, sec. 3.4.1): 4M tokens a step until 252M tokens, 8M until 2.87T, then 16M; the last
// 800B in long sequences.
TEST(Phases, FollowEachOtherUntilTheLastToken) {
  const std::vector<RecipeRule> rules{{252e6, {}, 4194304, 4096},
                                      {2.87e12, {}, 8388608, 8192},
                                      {{}, {}, 16777216, 8192},
                                      {{}, 800e9, 16777216, 131072}};
  const std::vector<RecipePhase> phases = phases_of(rules, 15.6e12);
  ASSERT_EQ(phases.size(), 4U);
  EXPECT_DOUBLE_EQ(phases[0].tokens, 252e6);
  EXPECT_DOUBLE_EQ(phases[1].tokens, 2.87e12 - 252e6);
  EXPECT_DOUBLE_EQ(phases[2].tokens, 15.6e12 - 800e9 - 2.87e12);
  EXPECT_DOUBLE_EQ(phases[3].tokens, 800e9);
}

TEST(Phases, ThoseThatAShortRunNeverGetsToAreLeftOut) {
  const std::vector<RecipeRule> rules{{1e9, {}, 4e6, 4096}, {{}, {}, 8e6, 4096}, {{}, 1e9, 8e6, 131072}};
  for (const double tokens : {5e8, 1e9, 1.5e9, 2e9, 2.5e9, 1e12}) {
    double sum = 0;
    for (const RecipePhase& phase : phases_of(rules, tokens)) {
      EXPECT_GT(phase.tokens, 0);
      sum += phase.tokens;
    }
    EXPECT_NEAR(sum, tokens, 1e-3) << tokens;
  }
}

}  // namespace
}  // namespace stepcast
