#pragma once
/// What a plan file asks: a budget of one kind, what is already fixed, and the clusters to compare.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simulator/budget/campaign.hpp"
#include "simulator/budget/energy.hpp"
#include "simulator/budget/money.hpp"
#include "simulator/budget/pace.hpp"
#include "simulator/budget/scaling_law.hpp"
#include "simulator/budget/shape.hpp"
#include "simulator/budget/sizing.hpp"
#include "simulator/job.hpp"
#include "simulator/report/interval.hpp"

namespace stepcast {

/// What there is to spend, or to reach. `none`: model and tokens are both given.
struct Budget {
  enum class Kind { none, compute, gpu_hours, dollars, days, loss };
  Kind kind = Kind::none;
  double amount = 0;  ///< FLOPs (6 N D), GPU-hours, dollars, days on the calendar, nats per token
};

/// A stretch of training with one batch and one sequence length, before the number of tokens is known.
struct RecipeRule {
  std::optional<double> until;  ///< tokens from the start of training
  std::optional<double> last;   ///< tokens before its end (a context extension); neither: what lies between
  double batch_tokens = 0;
  std::int64_t sequence_length = 0;
};

/// The stretches of a run of so many tokens; those that it never gets to are left out.
std::vector<RecipePhase> phases_of(const std::vector<RecipeRule>& rules, double tokens);

/// One cluster that the run could have.
struct ClusterOption {
  std::string name;
  Job base;  ///< cluster, framework and precision; the model is put in its place
  PlanSpace space;
  Reliability reliability;
  std::optional<CheckpointStorage> storage;  ///< absent: default_checkpoint_storage()
  CheckpointMode checkpoint_mode = CheckpointMode::asynchronous;
  CheckpointState checkpoint_state;
  std::optional<Seconds> checkpoint_interval;
  std::optional<std::int64_t> spare_nodes;
  bool elastic = false;
  std::optional<Tenure> tenure;  ///< absent: no dollars
  StorageTerms storage_terms;
  double checkpoints_kept = 0;
  Bytes dataset;
  Bytes egress;  ///< that leaves the site
  std::optional<NodePower> node_power;
  Site site;
  Watts power_per_gpu;  ///< zero: from the simulated step
};

/// The bandwidths that hold when nobody states any, by node: Llama-3's storage writes 2 TB/s for 2,048 nodes (arXiv
/// 2407.21783, sec. 3.3.1); a trillion parameters were read at 1 TB/s on 384 (Narayanan et al. 2021, sec. 5.10).
CheckpointStorage default_checkpoint_storage(double nodes);

struct Question {
  std::string name;
  Budget budget;
  ScalingLaw law;
  std::vector<ScalingLaw> other_laws;  ///< to be compared with
  std::optional<Architecture> model;   ///< given, not derived
  ShapeRequest shape;                  ///< of a derived model
  std::optional<double> tokens, tokens_per_parameter;
  std::optional<InferenceDemand> served;
  std::optional<LifetimePrices> prices;  ///< of serving, and of training beside it
  std::vector<RecipeRule> recipe;
  EvaluationStops evaluation;
  double loss_spikes = 0;  ///< over the whole run
  double data_share = 0;
  std::vector<ClusterOption> clusters;
  LearnedErrors learned;  ///< of predictions, for the interval of the step time
  int trials = 1000;
  std::uint64_t seed = 1;
};

}  // namespace stepcast
