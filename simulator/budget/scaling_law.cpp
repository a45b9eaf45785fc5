#include "simulator/budget/scaling_law.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

double value_of(const ParametricLoss& form, double parameters, double tokens) {
  return form.E + form.A * std::pow(parameters, -form.alpha) + form.B * std::pow(tokens, -form.beta);
}

double value_of(const KaplanLoss& form, double parameters, double tokens) {
  return std::pow(std::pow(form.N_c / parameters, form.alpha_N / form.alpha_D) + form.D_c / tokens, form.alpha_D);
}

/// amount = U + U R* (1 - exp(-R / R*)), R = amount / U - 1.
double worth(double amount, double unique, double decay) {
  if (amount <= unique) return amount;
  const double repeats = amount / unique - 1;
  return unique * (1 - decay * std::expm1(-repeats / decay));
}

/// Parameters for which that many tokens are the best: where both terms gain alike from more FLOPs.
double parameters_for(const ParametricLoss& form, double tokens) {
  return std::pow(form.alpha * form.A / (form.beta * form.B) * std::pow(tokens, form.beta), 1 / form.alpha);
}

void require_loss(const ScalingLaw& law) {
  if (!has_loss(law))
    throw UserError(fmt::format("the scaling law '{}' gives the best sizes of a budget, and no loss", law.name));
}

double form_value(const ScalingLaw& law, double parameters, double tokens) {
  return std::visit([&](const auto& form) { return value_of(form, parameters, tokens); }, *law.form);
}

constexpr double endless = std::numeric_limits<double>::infinity();

}  // namespace

double PowerLaw::operator()(double x) const { return coefficient * std::pow(x, exponent); }

bool has_loss(const ScalingLaw& law) { return law.form.has_value(); }

bool is_consistent(const ScalingLaw& law) { return has_loss(law) && !law.frontier; }

double loss(const ScalingLaw& law, double parameters, double tokens) {
  require_loss(law);
  if (!(parameters > 0) || !(tokens > 0))
    throw UserError(fmt::format("a loss is of a model of more than {} parameters and {} tokens", parameters, tokens));
  const TrainingSize size = effective(law, {parameters, tokens});
  return form_value(law, size.parameters, size.tokens);
}

double lowest_loss(const ScalingLaw& law) { return lowest_loss(law, endless); }

double lowest_loss(const ScalingLaw& law, double parameters) { return loss(law, parameters, endless); }

ScalingLaw with_unique_tokens(ScalingLaw law, double unique_tokens, const Repetition& repetition) {
  require_loss(law);
  if (!std::holds_alternative<ParametricLoss>(*law.form))
    throw UserError(
        fmt::format("repeated text needs a law of the form E + A/N^alpha + B/D^beta, which '{}' is not", law.name));
  if (!(unique_tokens >= 1) || !std::isfinite(unique_tokens))
    throw UserError(fmt::format("{} unique tokens are none to train on", unique_tokens));
  law.unique_tokens = unique_tokens;
  law.repetition = repetition;
  return law;
}

TrainingSize effective(const ScalingLaw& law, const TrainingSize& size) {
  if (!law.unique_tokens) return size;
  const double unique = *law.unique_tokens;
  const double fills = parameters_for(std::get<ParametricLoss>(*law.form), std::min(unique, size.tokens));
  return {worth(size.parameters, fills, law.repetition->R_N), worth(size.tokens, unique, law.repetition->R_D)};
}

PowerLaw power_law_through(const std::vector<std::pair<double, double>>& points) {
  CHECK(points.size() >= 2, "a line needs two points");
  double sum_x = 0, sum_y = 0;
  for (const auto& [x, y] : points) sum_x += std::log(x), sum_y += std::log(y);
  const double n = static_cast<double>(points.size()), mean_x = sum_x / n, mean_y = sum_y / n;
  double xx = 0, xy = 0;
  for (const auto& [x, y] : points) {
    xx += (std::log(x) - mean_x) * (std::log(x) - mean_x);
    xy += (std::log(x) - mean_x) * (std::log(y) - mean_y);
  }
  CHECK(xx > 0, "a line needs two different points");
  const double exponent = xy / xx;
  return {std::exp(mean_y - exponent * mean_x), exponent};
}

PowerLaw power_law_through(double x, double y, double exponent) { return {y / std::pow(x, exponent), exponent}; }

}  // namespace stepcast
