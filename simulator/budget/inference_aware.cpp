#include "simulator/budget/inference_aware.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/base/optimise.hpp"

namespace stepcast {
namespace {

void check(const InferenceDemand& demand) {
  for (const double tokens : {demand.prompt_tokens, demand.output_tokens}) {
    if (!(tokens >= 0) || !std::isfinite(tokens))
      throw UserError(fmt::format("tokens served are a number of zero or more, not {}", tokens));
  }
}

void check(const PricedCompute& compute, const char* of) {
  if (!(compute.peak.si() > 0) || !(compute.utilisation > 0 && compute.utilisation <= 1) ||
      !(compute.dollars_per_hour > 0))
    throw UserError(fmt::format(
        "the price of {} needs a peak rate, a utilisation of 0 to 1 and dollars an hour, all above zero: not "
        "{:.3g} FLOP/s, {} and {}",
        of, compute.peak.si(), compute.utilisation, compute.dollars_per_hour));
}

}  // namespace

double PricedCompute::dollars_per_flop() const { return dollars_per_hour / 3600 / (peak.si() * utilisation); }

LifetimeCost lifetime_cost(const TrainingSize& size, const InferenceDemand& demand,
                           const std::optional<LifetimePrices>& prices, const FlopsPerToken& flops_per_token) {
  const Flops forward = training_flops({size.parameters, 1}, flops_per_token) / 3;
  LifetimeCost cost;
  cost.size = size;
  cost.training = training_flops(size, flops_per_token);
  cost.inference = forward * (demand.prompt_tokens + demand.output_tokens);
  if (prices) {
    cost.training_dollars = cost.training.si() * prices->training.dollars_per_flop();
    cost.inference_dollars = forward.si() * (demand.prompt_tokens * prices->prompt.dollars_per_flop() +
                                             demand.output_tokens * prices->output.dollars_per_flop());
  }
  return cost;
}

InferenceAware inference_aware(const ScalingLaw& law, double wanted, const InferenceDemand& demand,
                               const std::optional<LifetimePrices>& prices, const FlopsPerToken& flops_per_token) {
  check(demand);
  if (prices) {
    check(prices->training, "training");
    if (demand.prompt_tokens > 0) check(prices->prompt, "prompts");
    if (demand.output_tokens > 0) check(prices->output, "output");
  }
  const auto of = [&](const TrainingSize& size) { return lifetime_cost(size, demand, prices, flops_per_token); };
  const auto total = [&](const LifetimeCost& cost) { return prices ? cost.dollars() : cost.flops().si(); };

  InferenceAware answer;
  answer.cheapest_to_train = of(cheapest_for_loss(law, wanted, flops_per_token));
  // Serving costs grow with N, so nothing larger is cheaper over its life.
  const double largest = std::log(answer.cheapest_to_train.size.parameters);
  const auto cost_at = [&](double log_n) {
    const auto tokens = tokens_for_loss(law, std::exp(log_n), wanted);
    return tokens ? total(of({std::exp(log_n), *tokens})) : std::numeric_limits<double>::infinity();
  };
  constexpr double widest = 16;  // e^16: a model nine million times smaller never has the same loss
  const double n = std::exp(lowest_point(cost_at, largest - widest, largest));
  answer.best = of({n, tokens_for_loss(law, n, wanted).value_or(answer.cheapest_to_train.size.tokens)});
  if (total(answer.best) >= total(answer.cheapest_to_train)) answer.best = answer.cheapest_to_train;
  answer.saving = 1 - total(answer.best) / total(answer.cheapest_to_train);
  return answer;
}

}  // namespace stepcast
