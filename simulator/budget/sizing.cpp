#include "simulator/budget/sizing.hpp"

#include <cmath>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

/// The point that a function which grows with x reaches zero at, between two powers of e.
template <class Function>
double zero_of(Function&& grows, double from, double to) {
  for (int i = 0; i < 200 && to - from > 1e-12 * std::max(1.0, std::abs(from)); ++i) {
    const double middle = 0.5 * (from + to);
    (grows(middle) > 0 ? to : from) = middle;
  }
  return 0.5 * (from + to);
}

double six_n_d(const TrainingSize& size) { return 6 * size.parameters * size.tokens; }

/// Of all sizes that are cheapest for their loss over the life of a model, those whose training takes the budget.
TrainingSize served_size(const ScalingLaw& law, double budget, const SizeWish& wish) {
  // A loss between that of the budget without serving, which is the least that it can reach, and that of next to nothing.
  const TrainingSize best = optimum(law, Flops(budget));
  const double least = loss(law, best.parameters, best.tokens), lowest = lowest_loss(law);
  const auto of = [&](double log_excess) { return size_for_loss(law, lowest + std::exp(log_excess), wish); };
  const double from = std::log(least - lowest);
  return of(zero_of([&](double x) { return budget - six_n_d(of(x)); }, from, from + 5));
}

}  // namespace

TrainingSize size_for(const ScalingLaw& law, Flops budget, const SizeWish& wish) {
  const double c = budget.si();
  if (wish.parameters) return {*wish.parameters, c / (6 * *wish.parameters)};
  if (wish.tokens) return {c / (6 * *wish.tokens), *wish.tokens};
  if (wish.tokens_per_parameter) {
    const double parameters = std::sqrt(c / (6 * *wish.tokens_per_parameter));
    return {parameters, parameters * *wish.tokens_per_parameter};
  }
  if (wish.served && has_loss(law)) return served_size(law, c, wish);
  TrainingSize size = optimum(law, budget);
  size.tokens = c / (6 * size.parameters);  // a law that counts its budget otherwise leaves the model, not the bill
  return size;
}

TrainingSize size_for_loss(const ScalingLaw& law, double loss_wanted, const SizeWish& wish) {
  if (wish.parameters) {
    const auto tokens = tokens_for_loss(law, *wish.parameters, loss_wanted);
    if (!tokens) {
      throw UserError(fmt::format(
          "a model of {} parameters does not get to a loss of {} with any amount of text: {} is "
          "its lowest by {}",
          number_text(*wish.parameters), loss_wanted, number_text(lowest_loss(law, *wish.parameters), 5), law.name));
    }
    return {*wish.parameters, *tokens};
  }
  if (wish.served) return inference_aware(law, loss_wanted, *wish.served, wish.prices).best.size;
  const TrainingSize cheapest = cheapest_for_loss(law, loss_wanted);
  if (!wish.tokens && !wish.tokens_per_parameter) return cheapest;
  // The loss falls with the parameters, at these tokens or at this ratio.
  const auto at = [&](double log_n) -> TrainingSize {
    const double n = std::exp(log_n);
    return {n, wish.tokens ? *wish.tokens : n * *wish.tokens_per_parameter};
  };
  const double most = std::log(1e18);
  if (loss(law, std::exp(most), at(most).tokens) > loss_wanted) {
    throw UserError(
        fmt::format("{} tokens do not bring any model to a loss of {}", number_text(at(most).tokens), loss_wanted));
  }
  return at(zero_of([&](double x) { return loss_wanted - loss(law, at(x).parameters, at(x).tokens); }, 0, most));
}

}  // namespace stepcast
