#include "simulator/budget/compute_optimum.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/engine/expected_slowest.hpp"
#include "simulator/engine/random.hpp"

namespace stepcast {
namespace {

void check_budget(Flops budget) {
  if (!std::isfinite(budget.si()) || !(budget.si() > 0))
    throw UserError(fmt::format("a budget is a number of FLOPs above zero, not {}", budget.si()));
}

/// Constants of a user's law may be such that its answers are no numbers.
void check_finite(const ScalingLaw& law, const TrainingSize& size) {
  if (!std::isfinite(size.parameters) || !std::isfinite(size.tokens))
    throw UserError(fmt::format("the law '{}' has its best sizes beyond all numbers: {} parameters, {} tokens",
                                law.name, size.parameters, size.tokens));
}

void check_is_a_run(const ScalingLaw& law, const TrainingSize& size, double wanted) {
  check_finite(law, size);
  if (size.parameters < 1 || size.tokens < 1)
    throw UserError(
        fmt::format("a loss of {} takes no training: by the law '{}' {:.2g} parameters and {:.2g} tokens do", wanted,
                    law.name, size.parameters, size.tokens));
}

double per_token(const FlopsPerToken& flops_per_token, double parameters) {
  return flops_per_token ? flops_per_token(parameters) : 6 * parameters;
}

const ParametricLoss* parametric(const ScalingLaw& law) {
  return law.form && !law.unique_tokens ? std::get_if<ParametricLoss>(&*law.form) : nullptr;
}

TrainingSize closed_form(const ParametricLoss& form, double budget) {
  const double sum = form.alpha + form.beta;
  const double g = std::pow(form.alpha * form.A / (form.beta * form.B), 1 / sum);
  return {g * std::pow(budget / 6, form.beta / sum), std::pow(budget / 6, form.alpha / sum) / g};
}

TrainingSize on_frontier(const ScalingLaw& law, double budget, const FlopsPerToken& flops_per_token) {
  TrainingSize size{law.frontier->parameters(budget), 0};
  if (law.compute == ComputeCount::non_embedding_per_token) size.parameters /= 6;  // the line is of M
  size.tokens = law.frontier->tokens && !flops_per_token ? (*law.frontier->tokens)(budget)
                                                         : budget / per_token(flops_per_token, size.parameters);
  return size;
}

TrainingSize of_least_loss(const ScalingLaw& law, double budget, const FlopsPerToken& flops_per_token) {
  const auto* form = parametric(law);
  if (form != nullptr && !flops_per_token) return closed_form(*form, budget);
  const auto tokens = [&](double log_n) { return budget / per_token(flops_per_token, std::exp(log_n)); };
  const double log_n = lowest_point([&](double x) { return loss(law, std::exp(x), tokens(x)); }, 0,
                                    std::max(1e-6, std::log(budget / 6)));
  return {std::exp(log_n), tokens(log_n)};
}

/// Standard deviations that hold that share of outcomes between them.
double half_width(double confidence) { return normal_quantile((1 + confidence) / 2); }

/// Lower triangle whose product with its transpose is the matrix; rows of a matrix that is not positive stop short.
using Matrix = std::array<std::array<double, 5>, 5>;
Matrix lower_triangle(const Matrix& matrix) {
  Matrix lower{};
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double rest = matrix[i][j];
      for (std::size_t k = 0; k < j; ++k) rest -= lower[i][k] * lower[j][k];
      lower[i][j] = i == j ? std::sqrt(std::max(0.0, rest)) : lower[j][j] > 0 ? rest / lower[j][j] : 0;
    }
  }
  return lower;
}

std::pair<double, double> middle_of(std::vector<double> values, double confidence) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {at((1 - confidence) / 2), at((1 + confidence) / 2)};
}

SizeRange drawn(const ParametricLoss& form, const LossUncertainty& uncertainty, double budget, double confidence) {
  constexpr int draws = 4096;
  constexpr std::uint64_t seed = 1;
  const Matrix lower = lower_triangle(uncertainty.correlation);
  std::vector<double> parameters, tokens;
  for (int i = 0; i < draws; ++i) {
    std::array<double, 5> normal{}, shift{};
    for (std::size_t j = 0; j < 5; ++j) normal[j] = random_normal(seed, i, static_cast<std::int64_t>(j));
    for (std::size_t j = 0; j < 5; ++j) {
      for (std::size_t k = 0; k <= j; ++k) shift[j] += lower[j][k] * normal[k];
      shift[j] *= uncertainty.standard_error[j];
    }
    const ParametricLoss other{form.E * std::exp(shift[0]), form.A * std::exp(shift[1]), form.B * std::exp(shift[2]),
                               form.alpha + shift[3], form.beta + shift[4]};
    if (other.alpha <= 0 || other.beta <= 0) continue;  // more would be worse
    const TrainingSize size = closed_form(other, budget);
    parameters.push_back(size.parameters);
    tokens.push_back(size.tokens);
  }
  return {middle_of(std::move(parameters), confidence), middle_of(std::move(tokens), confidence), confidence,
          uncertainty.correlated
              ? "standard errors and their correlation: " + uncertainty.source
              : "standard errors taken as independent, which makes it too wide: " + uncertainty.source};
}

SizeRange turned(const ScalingLaw& law, double budget, double confidence) {
  const Frontier& frontier = *law.frontier;
  const double stretch = half_width(confidence) / half_width(0.8);
  const TrainingSize middle = on_frontier(law, budget, nullptr);
  const auto factor = [&](double exponent) {
    return std::pow(budget / frontier.pivot, stretch * (exponent - frontier.parameters.exponent));
  };
  auto [low, high] = std::minmax({factor(frontier.exponent_range->first), factor(frontier.exponent_range->second)});
  low = std::min(low, 1.0), high = std::max(high, 1.0);  // a published exponent is rounded, and may lie outside
  return {{middle.parameters * low, middle.parameters * high},
          {middle.tokens / high, middle.tokens / low},
          confidence,
          "published 10th and 90th percentile of the exponent"};
}

}  // namespace

TrainingSize optimum(const ScalingLaw& law, Flops budget, const FlopsPerToken& flops_per_token) {
  check_budget(budget);
  const TrainingSize best =
      law.frontier ? on_frontier(law, budget.si(), flops_per_token) : of_least_loss(law, budget.si(), flops_per_token);
  check_finite(law, best);
  if (best.parameters < 1 || best.tokens < 1)
    throw UserError(fmt::format(
        "a budget of {:.3g} FLOPs trains no model: the law '{}' gives it {:.2g} parameters and {:.2g} tokens{}",
        budget.si(), law.name, best.parameters, best.tokens,
        law.fitted.compute.first > 0 ? fmt::format("; its smallest run took {:.3g} FLOPs", law.fitted.compute.first)
                                     : ""));
  return best;
}

std::optional<SizeRange> optimum_interval(const ScalingLaw& law, Flops budget, double confidence) {
  check_budget(budget);
  if (!(confidence > 0 && confidence < 1))
    throw UserError(fmt::format("a confidence lies between 0 and 1, not at {}", confidence));
  if (law.frontier) {
    if (!law.frontier->exponent_range) return std::nullopt;
    return turned(law, budget.si(), confidence);
  }
  const auto* form = parametric(law);
  if (form == nullptr || !law.uncertainty) return std::nullopt;
  return drawn(*form, *law.uncertainty, budget.si(), confidence);
}

std::optional<double> tokens_for_loss(const ScalingLaw& law, double parameters, double wanted) {
  if (!(lowest_loss(law, parameters) < wanted)) return std::nullopt;
  if (const auto* form = parametric(law)) {
    const double left = wanted - form->E - form->A * std::pow(parameters, -form->alpha);
    return std::pow(form->B / left, 1 / form->beta);
  }
  double low = 0, high = 1;  // of log D
  while (loss(law, parameters, std::exp(high)) > wanted) {
    low = high, high *= 2;
    if (high > 600) return std::nullopt;  // less above its floor than numbers can tell
  }
  while (high - low > 1e-13 * high) {
    const double middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    (loss(law, parameters, std::exp(middle)) > wanted ? low : high) = middle;
  }
  return std::exp(high);
}

Flops training_flops(const TrainingSize& size, const FlopsPerToken& flops_per_token) {
  return Flops(per_token(flops_per_token, size.parameters) * size.tokens);
}

namespace {

/// What a loss a little above the least takes, for who asked for less.
std::string nearest_text(const ScalingLaw& law, double floor, const FlopsPerToken& flops_per_token) {
  constexpr double near = 0.05;
  if (!(floor + near > floor)) return "";
  try {
    const TrainingSize nearest = cheapest_for_loss(law, floor + near, flops_per_token);
    return fmt::format("; {:.2f} above it takes {:.3g} FLOPs ({:.3g} parameters, {:.3g} tokens)", near,
                       training_flops(nearest, flops_per_token).si(), nearest.parameters, nearest.tokens);
  } catch (const UserError&) {
    return "";  // nor is that within reach
  }
}

}  // namespace

TrainingSize cheapest_for_loss(const ScalingLaw& law, double wanted, const FlopsPerToken& flops_per_token) {
  const double floor = lowest_loss(law);
  if (!(wanted > floor))
    throw UserError(fmt::format("no training reaches a loss of {}: by the law '{}' {:.4f} is {}{}", wanted, law.name,
                                floor, law.unique_tokens ? "the least that this much text allows" : "irreducible",
                                nearest_text(law, floor, flops_per_token)));
  if (const auto* form = parametric(law); form != nullptr && !law.frontier && !flops_per_token) {
    // At the optimum alpha A / N^alpha = beta B / D^beta.
    const double left = wanted - form->E;
    const TrainingSize cheapest{std::pow(form->A * (1 + form->alpha / form->beta) / left, 1 / form->alpha),
                                std::pow(form->B * (1 + form->beta / form->alpha) / left, 1 / form->beta)};
    check_is_a_run(law, cheapest, wanted);
    return cheapest;
  }
  const auto best = [&](double log_c) {
    return law.frontier ? on_frontier(law, std::exp(log_c), flops_per_token)
                        : of_least_loss(law, std::exp(log_c), flops_per_token);
  };
  const auto reached = [&](double log_c) {
    const TrainingSize size = best(log_c);
    return loss(law, size.parameters, size.tokens) <= wanted;
  };
  double low = std::log(6.0), high = 50;
  while (!reached(high)) {
    low = high, high *= 1.5;
    if (high > 650)
      throw UserError(
          fmt::format("a loss of {} is nearer to the {:.6f} that the law '{}' calls irreducible than any "
                      "training comes",
                      wanted, floor, law.name));
  }
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (reached(middle) ? high : low) = middle;
  }
  const TrainingSize cheapest = best(high);
  check_is_a_run(law, cheapest, wanted);
  return cheapest;
}

std::vector<IsoFlopPoint> iso_flop_curve(const ScalingLaw& law, Flops budget, int points, double span,
                                         const FlopsPerToken& flops_per_token) {
  check_budget(budget);
  CHECK(points >= 2 && span > 1, "a curve has points and goes somewhere");
  const double best = optimum(law, budget, flops_per_token).parameters;
  std::vector<IsoFlopPoint> curve;
  for (int i = 0; i < points; ++i) {
    const double n = best * std::pow(span, 2.0 * i / (points - 1) - 1);
    const double d = budget.si() / per_token(flops_per_token, n);
    curve.push_back({{n, d}, loss(law, n, d)});
  }
  return curve;
}

std::optional<OverTraining> over_training(const ScalingLaw& law, const TrainingSize& size,
                                          const FlopsPerToken& flops_per_token) {
  if (!is_consistent(law)) return std::nullopt;
  const Flops spent = training_flops(size, flops_per_token);
  OverTraining result;
  result.loss = loss(law, size.parameters, size.tokens);
  result.best = optimum(law, spent, flops_per_token);
  result.penalty = std::max(0.0, result.loss - loss(law, result.best.parameters, result.best.tokens));
  result.cheapest = cheapest_for_loss(law, result.loss, flops_per_token);
  result.extra_compute = std::max(1.0, spent / training_flops(result.cheapest, flops_per_token));
  result.tokens_over_best = size.tokens / size.parameters / (result.best.tokens / result.best.parameters);
  return result;
}

std::optional<Extrapolation> extrapolation(const ScalingLaw& law, Flops budget) {
  check_budget(budget);
  const auto [lowest, highest] = law.fitted.compute;
  if (highest > 0 && budget.si() > highest) {
    const double factor = budget.si() / highest;
    return Extrapolation{factor,
                         fmt::format("{:.3g} times beyond the largest run of the fit ({:.3g} FLOPs)", factor, highest)};
  }
  if (lowest > 0 && budget.si() < lowest) {
    const double factor = budget.si() / lowest;
    return Extrapolation{
        factor, fmt::format("{:.3g} times below the smallest run of the fit ({:.3g} FLOPs)", 1 / factor, lowest)};
  }
  return std::nullopt;
}

std::optional<SuggestedHyperparameters> suggested_hyperparameters(const ScalingLaw& law, Flops budget) {
  check_budget(budget);
  if (!law.hyperparameters) return std::nullopt;
  return SuggestedHyperparameters{law.hyperparameters->batch_tokens(budget.si()),
                                  law.hyperparameters->learning_rate(budget.si())};
}

}  // namespace stepcast
