#pragma once
/// The model that is cheapest over its life: training to a loss, and serving all that will be asked of it.
///
/// Sardana et al. 2024, arXiv 2401.00448: minimise 6 N D + 2 N D_inf over the N and D of one loss (equation 3), or what
/// both cost (equation 5). A smaller model, trained for longer, is as good and cheaper to serve.

#include <optional>

#include "simulator/budget/compute_optimum.hpp"

namespace stepcast {

/// Tokens served over the life of a model.
struct InferenceDemand {
  double prompt_tokens = 0;
  double output_tokens = 0;
};

/// FLOPs bought by the hour.
struct PricedCompute {
  FlopsPerSecond peak;          ///< of one GPU, dense
  double utilisation = 0;       ///< of that, by model FLOPs
  double dollars_per_hour = 0;  ///< of one GPU

  double dollars_per_flop() const;
};

struct LifetimePrices {
  PricedCompute training;
  PricedCompute prompt;  ///< many tokens at once: bound by arithmetic
  PricedCompute output;  ///< one token after the other: bound by memory, at a few percent of the peak
};

struct LifetimeCost {
  TrainingSize size;
  Flops training, inference;
  double training_dollars = 0, inference_dollars = 0;  ///< zero without prices

  Flops flops() const { return training + inference; }
  double dollars() const { return training_dollars + inference_dollars; }
};

/// A token costs a forward pass, a third of its training: 2 N.
LifetimeCost lifetime_cost(const TrainingSize& size, const InferenceDemand& demand,
                           const std::optional<LifetimePrices>& prices = std::nullopt,
                           const FlopsPerToken& flops_per_token = nullptr);

struct InferenceAware {
  LifetimeCost best;               ///< cheapest over its life: dollars with prices, else FLOPs
  LifetimeCost cheapest_to_train;  ///< of the same loss
  double saving = 0;               ///< share of the whole cost of the latter
};

/// @throws UserError for a loss that cannot be reached, a demand below zero and prices that are not above zero
InferenceAware inference_aware(const ScalingLaw& law, double loss, const InferenceDemand& demand,
                               const std::optional<LifetimePrices>& prices = std::nullopt,
                               const FlopsPerToken& flops_per_token = nullptr);

}  // namespace stepcast
