#pragma once
/// A scaling law of one's own: E + A / N^alpha + B / D^beta through measured (N, D, loss) points.
///
/// As Hoffmann et al. 2022 (arXiv 2203.15556, section 3.3) and Besiroglu et al. 2024 (arXiv 2404.10102) do it: the sum of
/// Huber losses of log-loss residuals is minimised over log E, log A, log B, alpha and beta from a grid of starts, and
/// again over resampled points for how far the constants may be off.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "simulator/budget/scaling_law.hpp"

namespace stepcast {

/// One trained model.
struct LossPoint {
  double parameters = 0;
  double tokens = 0;
  double loss = 0;  ///< nats per token
  int line = 0;     ///< in the file that it came from; 0: none
};

/// Reads a table of trained models by the usual names of its columns: N (params, n_params, model_size ...), D (tokens,
/// training_tokens, tokens_6nd ...) or C (train_flop, flops, compute ...), and loss. Of N, D and C two are enough.
/// @throws UserError
std::vector<LossPoint> read_loss_points(const std::string& path);

struct FitSettings {
  double huber_delta = 1e-3;  ///< residuals beyond it count by their size and not its square
  int bootstrap = 0;          ///< resamplings; 0: no standard errors
  std::uint64_t seed = 1;
  double confidence = 0.95;                          ///< of the intervals
  std::function<void(int done, int of)> progress{};  ///< of the resamplings; called by one thread at a time
};

/// A constant, how far it may be off, and where resampling put it.
struct FittedConstant {
  std::string name;  ///< E, A, B, alpha, beta, and a = beta / (alpha + beta): N_opt ~ C^a
  double value = 0;
  double standard_error = 0;
  double low = 0, high = 0;  ///< of the interval; equal to the value without resampling
};

struct Residual {
  LossPoint point;
  double predicted = 0;
  double log_ratio = 0;  ///< log(measured / predicted)
};

/// Residuals of a third of the points, by budget.
struct ResidualClass {
  double from = 0, to = 0;  ///< FLOPs
  int points = 0;
  double bias = 0;    ///< mean log ratio
  double median = 0;  ///< of its absolute value
};

struct LawFit {
  ParametricLoss loss;
  double objective = 0;  ///< mean Huber loss
  std::vector<FittedConstant> constants;
  LossUncertainty uncertainty;  ///< of the law that is written; meaningless without resampling
  std::vector<Residual> residuals;
  double median_residual = 0;          ///< of absolute log ratios
  std::vector<ResidualClass> classes;  ///< by budget
  std::vector<Residual> outliers;      ///< beyond six medians, the farthest first
  int resamplings = 0;                 ///< that gave a law
  std::vector<ParametricLoss> resampled;

  /// The fit as a law that other commands take.
  ScalingLaw law(const std::string& name, const std::string& source) const;
};

/// @throws UserError for fewer than eight points, and points that all have one N or one D
LawFit fit_law(const std::vector<LossPoint>& points, const FitSettings& settings = {});

/// Without the highest losses: early in training the law does not hold yet.
std::vector<LossPoint> without_highest(std::vector<LossPoint> points, int how_many);

/// The sum that is minimised, per point, and its gradient over (log E, log A, log B, alpha, beta): for tests.
double huber_objective(const std::vector<LossPoint>& points, double delta, const std::vector<double>& at,
                       std::vector<double>& gradient);

}  // namespace stepcast
