#pragma once
/// The answer to a plan file: from a budget to a training run, on each of the clusters.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "simulator/budget/question.hpp"

namespace stepcast {

/// A run on one cluster, whole.
struct ClusterAnswer {
  std::string name;
  std::string problem;                ///< why there is none; empty: here it is
  std::string brief_problem() const;  ///< the same in a few words
  std::vector<std::string> possible;  ///< the nearest that there could be instead

  TrainingSize wanted;  ///< by law and budget
  Architecture model;   ///< that is built
  double parameters = 0, active_parameters = 0;
  double tokens = 0;
  Flops compute;                 ///< 6 N D
  Flops compute_with_attention;  ///< as causal attention multiplies
  std::optional<double> loss;
  struct Repeated {
    double unique = 0;     ///< tokens that there are
    double worth_new = 0;  ///< tokens never seen that would be as good as all that are read
  };
  std::optional<Repeated> repeated;  ///< where text is scarce
  Pace pace;
  double mfu = 0;  ///< over all steps
  /// Days on the calendar if all steps are as quick, or as slow, as the ends of the interval of the simulated step.
  std::optional<std::pair<double, double>> days_of_step_interval{};

  CheckpointCost checkpoint;
  CampaignOutcome campaign;
  std::int64_t gpus = 0;       ///< in the job
  std::int64_t gpus_held = 0;  ///< with spare nodes
  double gpu_hours = 0;        ///< held, on the calendar
  std::optional<Bill> bill;
  Watts power_per_gpu;  ///< in a step
  EnergyUse energy;
  std::optional<LifetimeCost> life;  ///< with what is served, where that was asked

  /// The same model and tokens on other numbers of these GPUs.
  struct Size {
    std::int64_t gpus = 0;
    std::string problem;
    Seconds step_time;
    double mfu = 0;
    double days = 0;  ///< on the calendar, by the mean goodput
    double gpu_hours = 0;
    std::optional<double> dollars;
  };
  std::vector<Size> sizes;

  Seconds wall() const { return Seconds(campaign.days.mean * 86400); }
  std::optional<double> dollars() const;
};

/// What another law says of the same budget.
struct LawAnswer {
  std::string name;
  TrainingSize size;
  std::optional<SizeRange> range;
  std::optional<double> loss;  ///< by that law
  double beyond = 1;           ///< the compute over that of the largest run of its fit; 1: inside, or not known
};

/// One line of "what would change the answer".
struct WhatIf {
  std::string change;
  std::string problem;  ///< why it cannot be
  double parameters = 0, tokens = 0;
  std::optional<double> loss;
  double days = 0;
  std::optional<double> dollars;
};

struct Answer {
  std::string name;
  Budget budget;
  std::string law, law_source;
  std::vector<ClusterAnswer> clusters;
  std::size_t best =
      0;  ///< cluster with the lowest loss (or, by a law without, most compute), then fewest dollars, days

  // Of the best cluster's compute.
  std::vector<LawAnswer> laws;
  std::vector<IsoFlopPoint> iso_flop;
  std::optional<OverTraining> over_training;
  std::vector<WhatIf> what_if;
  std::vector<std::string> assumed;  ///< what was not said and what holds in its place
  double seconds = 0;                ///< that the answer took
};

/// What is being done, now and then: "gpu-hours on h100: sweep 2".
using Told = std::function<void(const std::string&)>;

/// @throws UserError for what no cluster could change, such as a loss below the irreducible
Answer answer(const Question& question, const Told& told = {});

}  // namespace stepcast
