#pragma once
/// Which model, on how many tokens, for a compute budget: the law's optimum, or what a person fixes instead.

#include <optional>

#include "simulator/budget/inference_aware.hpp"

namespace stepcast {

/// What is fixed besides the budget; nothing: the law decides. Of the first three at most one.
struct SizeWish {
  std::optional<double> parameters{};            ///< of a given model
  std::optional<double> tokens{};                ///< that there are to be trained on
  std::optional<double> tokens_per_parameter{};  ///< over-training by intent
  /// Tokens to be served once it is trained: then sizes are chosen that are cheapest for their loss over the whole life.
  std::optional<InferenceDemand> served{};
  std::optional<LifetimePrices> prices{};  ///< by which; without, FLOPs count
};

/// Sizes whose training takes C = 6 N D of the budget.
/// @throws UserError where the wish cannot be had from the law
TrainingSize size_for(const ScalingLaw& law, Flops budget, const SizeWish& wish);

/// The cheapest such sizes that reach a loss.
/// @throws UserError at or below what is irreducible, for the model or at all
TrainingSize size_for_loss(const ScalingLaw& law, double loss, const SizeWish& wish);

}  // namespace stepcast
