#pragma once
/// A training run on the calendar: when it ends, and what became of the time that was not training.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simulator/budget/checkpoint.hpp"
#include "simulator/budget/distribution.hpp"
#include "simulator/budget/reliability.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// A stretch of steps that take the same time: batch size and sequence length change from one to the next.
struct TrainingPhase {
  std::int64_t steps = 0;
  Seconds step_time;
};

/// Stops for evaluation.
struct EvaluationStops {
  std::int64_t every_steps = 0;  ///< 0: none
  Seconds time;
};

/// Sudden rises of the loss after which training goes back and skips the data that came before.
struct LossSpikes {
  double per_step = 0;            ///< how often; PaLM 540B met about 20 (arXiv 2204.02311, sec. 5.1)
  std::int64_t back_steps = 100;  ///< to the last checkpoint that is at least so much older; 100 as PaLM did
};

struct CampaignInput {
  std::vector<TrainingPhase> phases;
  std::int64_t nodes = 1;  ///< of the job, without spare ones
  int gpus_per_node = 8;
  std::optional<std::int64_t> spare_nodes;  ///< as many as recommended when left out
  /// Nodes of one replica: with fewer than all, the run goes on with the replicas that are whole while no spare node is
  /// there, at the same global batch. 0: all, the run waits for a node.
  std::int64_t elastic_replica_nodes = 0;
  Reliability reliability;
  CheckpointCost checkpoint;
  std::optional<Seconds> checkpoint_interval;           ///< productive time between two; the optimum when left out
  std::optional<MemoryCheckpoints> memory_checkpoints;  ///< between those in storage
  EvaluationStops evaluation;
  LossSpikes spikes;
  double data_share = 0;  ///< share of a step's time that it waits for data besides
};

/// Where wall-clock time goes; the parts sum to it.
struct CampaignTime {
  Seconds productive;   ///< steps that count, at the simulated step time
  Seconds checkpoints;  ///< stalls
  Seconds evaluation;
  Seconds data;       ///< waiting for it
  Seconds slow;       ///< slow nodes
  Seconds lost_work;  ///< done again after failures and spikes
  Seconds restart;    ///< detection, replacement, restart, reading the checkpoint: unexpected interruptions
  Seconds planned;    ///< the same of planned ones, with the checkpoint before them
  Seconds waiting;    ///< for nodes: none running, or fewer (elastic)

  Seconds total() const {
    return productive + checkpoints + evaluation + data + slow + lost_work + restart + planned + waiting;
  }
};

struct CampaignTimePart {
  const char* label;
  const char* key;
  Seconds CampaignTime::*time;
};
inline constexpr std::array<CampaignTimePart, 9> parts_of_campaign{{
    {"productive steps", "productive", &CampaignTime::productive},
    {"checkpoint stalls", "checkpoints", &CampaignTime::checkpoints},
    {"evaluation", "evaluation", &CampaignTime::evaluation},
    {"waiting for data", "data", &CampaignTime::data},
    {"slow nodes", "slow", &CampaignTime::slow},
    {"lost work", "lost_work", &CampaignTime::lost_work},
    {"detection and restart", "restart", &CampaignTime::restart},
    {"planned interruptions", "planned", &CampaignTime::planned},
    {"waiting for nodes", "waiting", &CampaignTime::waiting},
}};

struct CampaignOutcome {
  bool feasible = true;
  std::string infeasible_reason;  ///< why it never ends, and what would help

  int trials = 0;
  Distribution days;        ///< wall-clock
  Histogram histogram;      ///< of the days
  double goodput = 0;       ///< productive time over wall-clock time, means of both
  CampaignTime time;        ///< mean
  Distribution failures;    ///< unexpected interruptions
  Distribution planned;     ///< planned interruptions
  Distribution spikes;      ///< loss spikes
  double waited_share = 0;  ///< of the trials that waited for a node at some time

  Seconds mean_time_between_failures;
  Seconds checkpoint_interval;             ///< productive time between two, whole steps
  std::int64_t checkpoint_steps = 0;       ///< of the longest phase
  std::int64_t checkpoints = 0;            ///< that a run keeps
  std::optional<Seconds> memory_interval;  ///< between two copies in memory
  double expected_goodput = 0;             ///< of failures and checkpoints alone: Daly's exponential model
  double nodes_in_repair = 0;              ///< mean
  std::int64_t spare_nodes = 0;            ///< of the run
  std::int64_t recommended_spares = 0;
  std::vector<std::string> remarks;  ///< what was done otherwise than asked, and why
};

/// Monte Carlo of `trials` runs; the same seed gives the same outcome on any number of threads.
///
/// One trial jumps from interruption to interruption: its cost is per failure, not per step. Failures may come at any
/// time but while the job waits for a node: also during a restart. A restart begins at the last checkpoint that was safe
/// when the failure came; work since then is lost. A node that leaves is repaired in a time drawn from an exponential
/// distribution; spare nodes do not fail. A planned interruption saves first, and is not held when one falls into
/// downtime. The last step is followed by a checkpoint; the first start is not counted.
CampaignOutcome simulate_campaign(const CampaignInput& input, int trials, std::uint64_t seed);

/// GPU-time of a run by what the GPUs do, for energy and bills; held from the first step to the last.
struct CampaignGpuTime {
  Seconds in_steps;  ///< steps that count, slow ones, and those that were lost
  Seconds standing;  ///< stalls, evaluation and restarts; waiting; spare nodes all along

  Seconds held() const { return in_steps + standing; }
};

/// The mean of the trials. Evaluation is reckoned as standing, so that its power is a lower estimate.
CampaignGpuTime gpu_time(const CampaignOutcome& outcome, std::int64_t nodes, int gpus_per_node);

}  // namespace stepcast
