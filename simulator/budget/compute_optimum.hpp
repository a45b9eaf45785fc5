#pragma once
/// What a scaling law answers: the best sizes of a budget, the cheapest sizes of a loss, and what other sizes cost.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simulator/budget/scaling_law.hpp"

namespace stepcast {

/// FLOPs of training for a token by a model of N parameters, forward and backward. Left out: 6 N.
using FlopsPerToken = std::function<double(double parameters)>;

/// The best sizes of a budget: the frontier's, else where the loss is least. In closed form for a parametric loss and
/// C = 6 N D: N = G (C/6)^(beta/(alpha+beta)), G = (alpha A / (beta B))^(1/(alpha+beta)) (Hoffmann et al. 2022,
/// equation 4).
/// @param flops_per_token  of a model with attention; only where the law has a loss
/// @throws UserError for a budget that is not a positive finite number, or trains not even one parameter on one token
TrainingSize optimum(const ScalingLaw& law, Flops budget, const FlopsPerToken& flops_per_token = nullptr);

/// Between two quantiles.
struct SizeRange {
  std::pair<double, double> parameters, tokens;
  double confidence = 0;  ///< share of outcomes inside
  std::string basis;      ///< of what it is made, for a reader
};

/// Where the best sizes of a budget lie with that confidence, as far as the law's constants are known; nothing for a law
/// of which nobody said. Left out: that the law itself may not hold.
std::optional<SizeRange> optimum_interval(const ScalingLaw& law, Flops budget, double confidence = 0.8);

/// Tokens that bring a model of that size to the loss; nothing when no amount does.
std::optional<double> tokens_for_loss(const ScalingLaw& law, double parameters, double loss);

/// The sizes that reach the loss with the fewest FLOPs, of those on the frontier where a law has one.
/// @throws UserError at or below the irreducible loss: says which that is and what the nearest costs
TrainingSize cheapest_for_loss(const ScalingLaw& law, double loss, const FlopsPerToken& flops_per_token = nullptr);

/// FLOPs of a run as the law counts them: 6 N D, or those of `flops_per_token`.
Flops training_flops(const TrainingSize& size, const FlopsPerToken& flops_per_token = nullptr);

struct IsoFlopPoint {
  TrainingSize size;
  double loss = 0;
};
/// Loss against N at that budget, `points` models evenly spaced in log N, from 1/`span` to `span` times the optimum.
std::vector<IsoFlopPoint> iso_flop_curve(const ScalingLaw& law, Flops budget, int points = 33, double span = 16,
                                         const FlopsPerToken& flops_per_token = nullptr);

/// What a run pays for not having the best sizes of its budget.
struct OverTraining {
  double loss = 0;
  TrainingSize best;            ///< of the same FLOPs
  double penalty = 0;           ///< nats above the loss of `best`
  TrainingSize cheapest;        ///< that reaches the same loss
  double extra_compute = 1;     ///< FLOPs of the run over those of `cheapest`
  double tokens_over_best = 1;  ///< D / N over that of `best`: above one over-trained, below under-trained
};
/// Nothing for a law whose best sizes are not those of least loss.
std::optional<OverTraining> over_training(const ScalingLaw& law, const TrainingSize& size,
                                          const FlopsPerToken& flops_per_token = nullptr);

/// How far a budget lies outside of the runs that a law was fitted to.
struct Extrapolation {
  double factor = 1;  ///< above one: beyond the largest run; below one: short of the smallest
  std::string text;   ///< "3,160 times beyond the largest run of the fit (1.30e22 FLOPs)"
};
/// Nothing inside of them, and where nobody stated them.
std::optional<Extrapolation> extrapolation(const ScalingLaw& law, Flops budget);

/// DeepSeek LLM's best batch, in tokens, and learning rate at a budget. They were found up to 2e19 FLOPs.
struct SuggestedHyperparameters {
  double batch_tokens = 0;
  double learning_rate = 0;
};
std::optional<SuggestedHyperparameters> suggested_hyperparameters(const ScalingLaw& law, Flops budget);

}  // namespace stepcast
