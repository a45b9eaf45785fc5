#pragma once
/// Scaling laws as values: the loss of a model of N parameters trained on D tokens, or the best N and D of a budget.
///
/// Symbols of this folder: N parameters, D tokens of training, C = FLOPs of training (6 N D unless a law counts
/// otherwise), L loss in nats per token. models/scaling_laws/ holds the published ones, input/scaling_law_reader reads.
/// What is asked of a law (its optimum, the price of over-training) is in compute_optimum.hpp.

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "simulator/units/units.hpp"

namespace stepcast {

/// A model and the tokens that it is trained on.
struct TrainingSize {
  double parameters = 0;  ///< as the law counts them (SizeCount)
  double tokens = 0;
};

/// L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv 2203.15556, equation 2).
struct ParametricLoss {
  double E = 0;  ///< irreducible: the entropy of text
  double A = 0, B = 0;
  double alpha = 0, beta = 0;
};

/// L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D (Kaplan et al. 2020, arXiv 2001.08361, equation 1.5).
struct KaplanLoss {
  double N_c = 0, D_c = 0;
  double alpha_N = 0, alpha_D = 0;
};

/// coefficient * C^exponent
struct PowerLaw {
  double coefficient = 0;
  double exponent = 0;

  double operator()(double x) const;
};

/// Best sizes as powers of the budget in FLOPs.
struct Frontier {
  PowerLaw parameters;
  std::optional<PowerLaw> tokens;  ///< absent: D = C / (6 N)
  /// 10th and 90th percentile of the parameters' exponent, where published, and the budget (FLOPs) about which the line
  /// turns: the middle of the runs that it was drawn through.
  std::optional<std::pair<double, double>> exponent_range;
  double pivot = 0;
};

/// What a law calls the size of a model.
enum class SizeCount {
  total,         ///< all parameters
  non_embedding  ///< without token and position embeddings (Kaplan)
};

/// What a law calls the FLOPs of a budget.
enum class ComputeCount {
  six_n_d,                 ///< C = 6 N D
  non_embedding_per_token  ///< C = M D, M = 72 L h^2 + 12 L h s: linears of the layers and attention (DeepSeek LLM)
};

/// Text repeated: what a token read again is worth, and parameters beyond what the unique tokens can fill
/// (Muennighoff et al. 2023, arXiv 2305.16264, equations 5 to 8).
struct Repetition {
  double R_D = 0;  ///< R_D*: repeats after which a repeated token has lost 1 - 1/e of its worth
  double R_N = 0;  ///< R_N*: the same of excess parameters
};

/// How far the constants of a ParametricLoss may be off, in the coordinates in which it is fitted:
/// log E, log A, log B, alpha, beta.
struct LossUncertainty {
  std::array<double, 5> standard_error{};
  /// Row-major; the identity when the errors are taken as independent.
  std::array<std::array<double, 5>, 5> correlation{};
  bool correlated = false;  ///< false: nobody published how the errors hang together, and intervals are too wide
  std::string source;
};

/// Lowest and highest of the runs that a law was fitted to; 0: not stated.
struct FittedRange {
  std::pair<double, double> parameters{0, 0};
  std::pair<double, double> tokens{0, 0};
  std::pair<double, double> compute{0, 0};  ///< FLOPs
  std::string source;
};

/// What DeepSeek LLM found best at a budget (arXiv 2401.02954, section 3.1).
struct Hyperparameters {
  PowerLaw batch_tokens;
  PowerLaw learning_rate;
};

struct ScalingLaw {
  std::string name;
  std::string description;
  std::string source;
  std::string note;  ///< what a reader should know
  std::optional<std::variant<ParametricLoss, KaplanLoss>> form;
  std::optional<Frontier> frontier;  ///< goes before the form when the best sizes of a budget are asked for
  SizeCount size = SizeCount::total;
  ComputeCount compute = ComputeCount::six_n_d;
  std::optional<LossUncertainty> uncertainty;
  FittedRange fitted;
  std::optional<Repetition> repetition;  ///< of its own
  std::optional<Hyperparameters> hyperparameters;

  /// Tokens that there are; more are repeats. Set by with_unique_tokens().
  std::optional<double> unique_tokens;
};

/// Whether the law says what the loss is, and not only which sizes are best.
bool has_loss(const ScalingLaw& law);

/// Whether the sizes that it calls best are those of least loss by its own formula: for the rest, over-training has no
/// price.
bool is_consistent(const ScalingLaw& law);

/// Nats per token. @throws UserError for a law without a loss, and sizes that are not above zero
double loss(const ScalingLaw& law, double parameters, double tokens);

/// The loss of an endless model on endless text.
double lowest_loss(const ScalingLaw& law);
/// The same of a model of that size: what no amount of text gets below.
double lowest_loss(const ScalingLaw& law, double parameters);

/// The law where there is no more text than that, and tokens beyond it are repeats:
///   D_eff = U + U R_D* (1 - exp(-R / R_D*)),  R = D / U - 1, and the like for parameters beyond the optimum of U.
/// @throws UserError without a parametric loss
ScalingLaw with_unique_tokens(ScalingLaw law, double unique_tokens, const Repetition& repetition);

/// D_eff and N_eff of such a law: what the sizes are worth.
TrainingSize effective(const ScalingLaw& law, const TrainingSize& size);

/// The line through published pairs of a budget and its best size, least squares of logarithms.
PowerLaw power_law_through(const std::vector<std::pair<double, double>>& points);

/// The power law of an exponent through one point.
PowerLaw power_law_through(double x, double y, double exponent);

}  // namespace stepcast
