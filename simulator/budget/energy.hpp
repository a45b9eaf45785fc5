#pragma once
/// What a run draws from the wall, and what that emits.

#include <string>

#include "simulator/profiles/sourced.hpp"
#include "simulator/report/report.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// Power of a GPU by what it does, as shares of its power limit.
///
/// FlagPerf's operator and system reports of A100-SXM4-40GB at 400 W (github.com/FlagOpen/FlagPerf, commit 5b1a030): bf16
/// GEMM 338 W in the system test and 393 W in the operator test, HBM bandwidth test 239 W, all-reduce inside a node 146 W
/// and between nodes 103 W, host-to-device copies 85 W, which stand for a GPU that waits.
struct PowerLevels {
  double matrix = (338.4 + 392.9) / 2 / 400;
  double memory = 239.3 / 400;
  double communication_inside = 146.0 / 400;
  double communication_between = 103.0 / 400;
  double waiting = 85.0 / 400;
};

/// Shares of a GPU's time by what it does; they sum to one.
struct Occupation {
  double matrix = 0;                 ///< matrix multiplication and attention
  double memory = 0;                 ///< kernels bound by HBM, the optimizer
  double communication_inside = 0;   ///< exposed collectives inside the node
  double communication_between = 0;  ///< exposed transfers between nodes
  double waiting = 0;                ///< bubbles, launch gaps, the host
};

/// What the GPUs do in a predicted step, the mean of its stages: the parts of their time, `compute` by what binds its
/// operators. Tensor-parallel communication is taken to be inside the node, every other between nodes.
Occupation occupation(const Report& report);
/// Of one rank's step; `memory_share` and `waiting_share` are of its compute time.
Occupation occupation(const Breakdown& breakdown, double memory_share, double waiting_share = 0);

Watts average_power(const Occupation& occupation, Watts power_limit, const PowerLevels& levels = {});

/// Mean power of one GPU in a predicted step.
Watts average_power(const Report& report, Watts power_limit, const PowerLevels& levels = {});

/// Where the machines stand.
struct Site {
  std::string name;
  std::string description;
  Sourced<double> pue{1, Basis::assumed, "the machines alone"};  ///< of the building over that of its machines
  Sourced<double> grams_co2e_per_kwh;                            ///< of the grid at the place (location-based)
};

/// What a server draws beyond its GPUs: processors, memory, NICs, fans, and the share of switches.
struct NodePower {
  /// Of the server over its GPUs. A DGX A100 under GEMM draws 3,354 to 4,485 W, its GPUs 8 x 338 W (FlagPerf, as above).
  double factor = (3354.0 + 4485.0) / 2 / (8 * 338.4);
};
/// GPUs alone, as model cards count.
inline constexpr NodePower gpus_alone{1};

struct EnergyUse {
  Joules gpus;
  Joules nodes;     ///< with their GPUs
  Joules facility;  ///< with cooling and losses
  double tonnes_co2e = 0;
};

/// @param running,power  GPU-time in steps, and the mean power of a GPU there
/// @param idle           GPU-time held besides: restarts, waiting, spare nodes; at `idle_power`
EnergyUse energy(Seconds running, Watts power, Seconds idle, Watts idle_power, const NodePower& node, const Site& site);
/// GPU-time at one power.
EnergyUse energy(Seconds gpu_time, Watts power, const NodePower& node, const Site& site);

}  // namespace stepcast
