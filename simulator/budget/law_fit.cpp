#include "simulator/budget/law_fit.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>

#include <fmt/format.h>
#include <tbb/parallel_for.h>

#include "simulator/base/error.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/engine/random.hpp"

namespace stepcast {
namespace {

constexpr std::size_t unknowns = 5;
enum Place : std::size_t { log_E, log_A, log_B, alpha, beta };

/// A point as the objective needs it: logarithms, and how often resampling drew it.
struct Logarithms {
  double n = 0, d = 0, loss = 0, weight = 1;
};

std::vector<Logarithms> logarithms_of(const std::vector<LossPoint>& points) {
  std::vector<Logarithms> logs;
  for (const LossPoint& point : points)
    logs.push_back({std::log(point.parameters), std::log(point.tokens), std::log(point.loss), 1});
  return logs;
}

/// Sum of Huber(log-sum-exp(log A - alpha log N, log B - beta log D, log E) - log L).
double objective_of(const std::vector<Logarithms>& points, double delta, const std::vector<double>& at,
                    std::vector<double>& gradient) {
  double sum = 0;
  std::array<double, unknowns> slope{};
  for (const Logarithms& point : points) {
    if (point.weight == 0) continue;
    const double by_n = at[log_A] - at[alpha] * point.n, by_d = at[log_B] - at[beta] * point.d;
    const double most = std::max({by_n, by_d, at[log_E]});
    const double exp_n = std::exp(by_n - most), exp_d = std::exp(by_d - most), exp_e = std::exp(at[log_E] - most);
    const double whole = exp_n + exp_d + exp_e;
    const double residual = most + std::log(whole) - point.loss;
    const double size = std::abs(residual);
    sum += point.weight * (size <= delta ? 0.5 * size * size : delta * (size - 0.5 * delta));
    const double pull = point.weight * std::clamp(residual, -delta, delta) / whole;
    slope[log_A] += pull * exp_n;
    slope[log_B] += pull * exp_d;
    slope[log_E] += pull * exp_e;
    slope[alpha] -= pull * exp_n * point.n;
    slope[beta] -= pull * exp_d * point.d;
  }
  gradient.assign(slope.begin(), slope.end());
  return sum;
}

/// Coordinates in which the descent is short: A and B as what they contribute at the middle of the points, and the whole
/// in units of delta, so that its gradient is of the order of one.
class Descent {
 public:
  Descent(const std::vector<Logarithms>& points, double delta) : points_(points), delta_(delta) {
    for (const Logarithms& point : points) middle_n_ += point.n, middle_d_ += point.d;
    middle_n_ /= static_cast<double>(points.size());
    middle_d_ /= static_cast<double>(points.size());
  }

  std::vector<double> lowest_from(const std::vector<double>& start) const {
    const SmoothFunction function = [this](const std::vector<double>& at, std::vector<double>& gradient) {
      const double value = objective_of(points_, delta_, outside(at), gradient);
      gradient[alpha] += middle_n_ * gradient[log_A];
      gradient[beta] += middle_d_ * gradient[log_B];
      for (double& slope : gradient) slope /= delta_;
      return value / delta_;
    };
    std::vector<double> at = inside(start);
    // A restart forgets the curvature of far away.
    for (int i = 0; i < 3; ++i) at = minimise_smooth(function, at, 300);
    return outside(at);
  }

 private:
  std::vector<double> inside(std::vector<double> at) const {
    at[log_A] -= at[alpha] * middle_n_;
    at[log_B] -= at[beta] * middle_d_;
    return at;
  }
  std::vector<double> outside(std::vector<double> at) const {
    at[log_A] += at[alpha] * middle_n_;
    at[log_B] += at[beta] * middle_d_;
    return at;
  }

  const std::vector<Logarithms>& points_;
  double delta_;
  double middle_n_ = 0, middle_d_ = 0;
};

/// Where Hoffmann et al. begin: every combination of these.
std::vector<std::vector<double>> grid() {
  std::vector<std::vector<double>> starts;
  for (const double e : {-1.0, -0.5, 0.0, 0.5, 1.0})
    for (const double a : {0.0, 5.0, 10.0, 15.0, 20.0, 25.0})
      for (const double b : {0.0, 5.0, 10.0, 15.0, 20.0, 25.0})
        for (const double by_n : {0.0, 0.5, 1.0, 1.5, 2.0})
          for (const double by_d : {0.0, 0.5, 1.0, 1.5, 2.0}) starts.push_back({e, a, b, by_n, by_d});
  return starts;
}

struct Found {
  std::vector<double> at;
  double value = 0;
};

/// The best starts of the grid, each followed downhill; the lowest first.
std::vector<Found> descents(const std::vector<Logarithms>& points, double delta) {
  constexpr std::size_t followed = 24;
  std::vector<Found> starts;
  std::vector<double> gradient;
  for (std::vector<double>& start : grid()) {
    const double value = objective_of(points, delta, start, gradient);
    starts.push_back({std::move(start), value});
  }
  const auto lower = [](const Found& a, const Found& b) { return a.value < b.value; };
  std::partial_sort(starts.begin(), starts.begin() + followed, starts.end(), lower);
  starts.resize(followed);
  const Descent descent(points, delta);
  tbb::parallel_for(std::size_t{0}, starts.size(), [&](std::size_t i) {
    std::vector<double> unused;
    starts[i].at = descent.lowest_from(starts[i].at);
    starts[i].value = objective_of(points, delta, starts[i].at, unused);
  });
  std::sort(starts.begin(), starts.end(), lower);
  return starts;
}

ParametricLoss loss_of(const std::vector<double>& at) {
  return {std::exp(at[log_E]), std::exp(at[log_A]), std::exp(at[log_B]), at[alpha], at[beta]};
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double quantile_of(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

void check(const std::vector<LossPoint>& points, const FitSettings& settings) {
  constexpr std::size_t fewest = 8;  // three more than there are constants
  if (points.size() < fewest)
    throw UserError(
        fmt::format("a law has five constants: {} points are too few, {} are needed", points.size(), fewest));
  for (const auto& [member, name] : {std::pair{&LossPoint::parameters, "N (parameters)"},
                                     {&LossPoint::tokens, "D (tokens)"},
                                     {&LossPoint::loss, "loss"}}) {
    std::vector<double> values;
    for (const LossPoint& point : points) {
      if (!(point.*member > 0) || !std::isfinite(point.*member))
        throw UserError(fmt::format("line {}: {} is a number above zero, not {}", point.line, name, point.*member));
      values.push_back(point.*member);
    }
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    if (values.size() < 3)
      throw UserError(
          fmt::format("all points have {} of {}: no exponent follows from that, three different ones are needed",
                      values.size() == 1 ? "one value" : "two values", name));
  }
  if (!(settings.huber_delta > 0 && settings.huber_delta <= 1))
    throw UserError(fmt::format("a Huber delta lies between 0 and 1, not at {}", settings.huber_delta));
  if (settings.bootstrap < 0 || settings.bootstrap == 1 || settings.bootstrap > 1'000'000)
    throw UserError(fmt::format("resamplings are none, or from 2 to 1,000,000, not {}", settings.bootstrap));
}

/// Laws of points drawn with replacement, in the order of their numbers whatever the threads do.
std::vector<std::vector<double>> resample(const std::vector<Logarithms>& points, const FitSettings& settings,
                                          const std::vector<std::vector<double>>& starts) {
  std::vector<std::vector<double>> found(static_cast<std::size_t>(settings.bootstrap));
  std::atomic<int> done = 0;
  std::mutex one_at_a_time;
  tbb::parallel_for(std::size_t{0}, found.size(), [&](std::size_t i) {
    std::vector<Logarithms> drawn = points;
    for (Logarithms& point : drawn) point.weight = 0;
    for (std::size_t j = 0; j < points.size(); ++j)
      drawn[random_bits(settings.seed, static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)) % points.size()]
          .weight += 1;
    const Descent descent(drawn, settings.huber_delta);
    double lowest = std::numeric_limits<double>::infinity();
    std::vector<double> unused;
    for (const std::vector<double>& start : starts) {
      std::vector<double> at = descent.lowest_from(start);
      const double value = objective_of(drawn, settings.huber_delta, at, unused);
      if (value < lowest) lowest = value, found[i] = std::move(at);
    }
    const int count = ++done;
    if (settings.progress) {
      const std::lock_guard lock(one_at_a_time);
      settings.progress(count, settings.bootstrap);
    }
  });
  return found;
}

using Quantity = double (*)(const ParametricLoss&);
constexpr std::pair<const char*, Quantity> quantities[] = {
    {"E", [](const ParametricLoss& l) { return l.E; }},
    {"A", [](const ParametricLoss& l) { return l.A; }},
    {"B", [](const ParametricLoss& l) { return l.B; }},
    {"alpha", [](const ParametricLoss& l) { return l.alpha; }},
    {"beta", [](const ParametricLoss& l) { return l.beta; }},
    {"a", [](const ParametricLoss& l) { return l.beta / (l.alpha + l.beta); }},
};

FittedConstant constant_of(const char* name, Quantity quantity, const LawFit& fit, double confidence) {
  FittedConstant constant{name, quantity(fit.loss), 0, quantity(fit.loss), quantity(fit.loss)};
  if (fit.resampled.empty()) return constant;
  std::vector<double> values;
  for (const ParametricLoss& loss : fit.resampled) values.push_back(quantity(loss));
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  constant.standard_error = std::sqrt(squares / (n - 1));
  std::sort(values.begin(), values.end());
  constant.low = quantile_of(values, (1 - confidence) / 2);
  constant.high = quantile_of(values, (1 + confidence) / 2);
  return constant;
}

LossUncertainty uncertainty_of(const std::vector<std::vector<double>>& resampled) {
  LossUncertainty uncertainty;
  const double n = static_cast<double>(resampled.size());
  std::array<double, unknowns> mean{};
  for (const std::vector<double>& at : resampled)
    for (std::size_t i = 0; i < unknowns; ++i) mean[i] += at[i] / n;
  std::array<std::array<double, unknowns>, unknowns> covariance{};
  for (const std::vector<double>& at : resampled)
    for (std::size_t i = 0; i < unknowns; ++i)
      for (std::size_t j = 0; j < unknowns; ++j) covariance[i][j] += (at[i] - mean[i]) * (at[j] - mean[j]) / (n - 1);
  for (std::size_t i = 0; i < unknowns; ++i) uncertainty.standard_error[i] = std::sqrt(covariance[i][i]);
  for (std::size_t i = 0; i < unknowns; ++i)
    for (std::size_t j = 0; j < unknowns; ++j)
      uncertainty.correlation[i][j] =
          i == j ? 1 : covariance[i][j] / (uncertainty.standard_error[i] * uncertainty.standard_error[j]);
  uncertainty.correlated = true;
  return uncertainty;
}

void add_residuals(const std::vector<LossPoint>& points, LawFit& fit) {
  ScalingLaw law;
  law.form = fit.loss;
  std::vector<double> sizes;
  for (const LossPoint& point : points) {
    Residual residual{point, loss(law, point.parameters, point.tokens), 0};
    residual.log_ratio = std::log(point.loss / residual.predicted);
    sizes.push_back(std::abs(residual.log_ratio));
    fit.residuals.push_back(residual);
  }
  fit.median_residual = median_of(sizes);
  constexpr double far = 6;  // medians: four standard deviations of a normal spread
  for (const Residual& residual : fit.residuals)
    if (std::abs(residual.log_ratio) > far * fit.median_residual) fit.outliers.push_back(residual);
  std::sort(fit.outliers.begin(), fit.outliers.end(),
            [](const Residual& a, const Residual& b) { return std::abs(a.log_ratio) > std::abs(b.log_ratio); });

  std::vector<const Residual*> by_budget;
  for (const Residual& residual : fit.residuals) by_budget.push_back(&residual);
  const auto budget = [](const Residual* r) { return 6 * r->point.parameters * r->point.tokens; };
  std::sort(by_budget.begin(), by_budget.end(),
            [&](const Residual* a, const Residual* b) { return budget(a) < budget(b); });
  constexpr std::size_t thirds = 3;
  for (std::size_t third = 0; third < thirds; ++third) {
    const std::size_t from = by_budget.size() * third / thirds, to = by_budget.size() * (third + 1) / thirds;
    ResidualClass group{budget(by_budget[from]), budget(by_budget[to - 1]), static_cast<int>(to - from), 0, 0};
    std::vector<double> absolute;
    for (std::size_t i = from; i < to; ++i) {
      group.bias += by_budget[i]->log_ratio / static_cast<double>(to - from);
      absolute.push_back(std::abs(by_budget[i]->log_ratio));
    }
    group.median = median_of(absolute);
    fit.classes.push_back(group);
  }
}

}  // namespace

double huber_objective(const std::vector<LossPoint>& points, double delta, const std::vector<double>& at,
                       std::vector<double>& gradient) {
  const double n = static_cast<double>(points.size());
  const double value = objective_of(logarithms_of(points), delta, at, gradient) / n;
  for (double& slope : gradient) slope /= n;
  return value;
}

std::vector<LossPoint> without_highest(std::vector<LossPoint> points, int how_many) {
  if (how_many < 0 || static_cast<std::size_t>(how_many) > points.size())
    throw UserError(fmt::format("of {} points {} cannot be left out", points.size(), how_many));
  for (int i = 0; i < how_many; ++i) {
    points.erase(std::max_element(points.begin(), points.end(),
                                  [](const LossPoint& a, const LossPoint& b) { return a.loss < b.loss; }));
  }
  return points;
}

LawFit fit_law(const std::vector<LossPoint>& points, const FitSettings& settings) {
  check(points, settings);
  const std::vector<Logarithms> logs = logarithms_of(points);
  const std::vector<Found> found = descents(logs, settings.huber_delta);

  LawFit fit;
  fit.loss = loss_of(found.front().at);
  fit.objective = found.front().value / static_cast<double>(points.size());
  if (!(fit.loss.alpha > 0) || !(fit.loss.beta > 0))
    throw UserError(
        fmt::format("the points fit no scaling law: the best has the exponents {:.3g} of N and {:.3g} of D, and "
                    "loss does not fall with both",
                    fit.loss.alpha, fit.loss.beta));
  if (settings.bootstrap > 0) {
    const std::vector<std::vector<double>> starts{found.front().at};
    const std::vector<std::vector<double>> resampled = resample(logs, settings, starts);
    for (const std::vector<double>& at : resampled) fit.resampled.push_back(loss_of(at));
    fit.resamplings = static_cast<int>(resampled.size());
    fit.uncertainty = uncertainty_of(resampled);
    fit.uncertainty.source =
        fmt::format("{} resamplings of {} points, seed {}", fit.resamplings, points.size(), settings.seed);
  }
  for (const auto& [name, quantity] : quantities)
    fit.constants.push_back(constant_of(name, quantity, fit, settings.confidence));
  add_residuals(points, fit);
  return fit;
}

ScalingLaw LawFit::law(const std::string& name, const std::string& source) const {
  ScalingLaw law;
  law.name = name;
  law.source = source;
  law.form = loss;
  if (resamplings > 0) law.uncertainty = uncertainty;
  const auto widen = [](std::pair<double, double>& range, double value) {
    range.first = range.first == 0 ? value : std::min(range.first, value);
    range.second = std::max(range.second, value);
  };
  for (const Residual& residual : residuals) {
    widen(law.fitted.parameters, residual.point.parameters);
    widen(law.fitted.tokens, residual.point.tokens);
    widen(law.fitted.compute, 6 * residual.point.parameters * residual.point.tokens);
  }
  law.fitted.source = "the fitted points";
  return law;
}

}  // namespace stepcast
