#pragma once
/// How often a cluster fails, and how long it takes to run again.

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/profiles/sourced.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// One reason for unexpected interruptions.
struct FailureCause {
  std::string name;         ///< "GPU HBM3 memory"
  std::string category;     ///< gpu | host | network | software | maintenance | unknown
  double share = 0;         ///< of the unexpected interruptions
  bool takes_node = false;  ///< the node leaves for repair; otherwise a restart on the same nodes is enough
};

/// Failures of a cluster and what follows one. Rates are averages over everything that ran.
///
/// What follows a failure: `detect`, then `replace` when it took a node (a spare one joins), then `restart`, then the
/// checkpoint is read (checkpoint.hpp). Defaults stand for clusters that do not publish a figure.
struct Reliability {
  std::string name;
  std::string description;

  Sourced<Hertz> failures_per_gpu;  ///< unexpected interruptions of the job for each of its GPUs, in time running

  /// Of the failures, those after which a node has to leave. Follows from `causes` where these are known.
  Sourced<double> takes_node{0.78, Basis::assumed,
                             "hardware's share in Llama-3's 54 days (arXiv 2407.21783, sec. 3.3.4)"};
  std::vector<FailureCause> causes;  ///< may be empty

  /// Interruptions by intent (firmware, configuration): of the job as a whole, whatever its size. Progress is saved first.
  Sourced<Hertz> planned{Hertz(0), Basis::assumed, "none"};
  Sourced<Seconds> planned_time{Seconds(0), Basis::assumed, "no longer than a restart"};  ///< beyond a restart

  Sourced<Seconds> detect{Seconds(0), Basis::assumed, "inside restart"};
  Sourced<Seconds> restart{10 * minute, Basis::measured,
                           "ten minutes a restart at about 100,000 GPUs (Meta; public document 58533771818, excerpt)"};
  Sourced<Seconds> replace{Seconds(0), Basis::assumed, "a spare node stands ready"};
  Sourced<Seconds> repair{2 * day, Basis::assumed, "two days until a node that left is back"};

  /// Failures come as a power-law process: (t / observed)^shape of those of the observed period until t. Below one they
  /// are frequent at the start (infant mortality) and rarer later; at one they come as a Poisson process.
  Sourced<double> shape{1, Basis::assumed, "a constant rate"};
  Sourced<Seconds> observed{54 * day, Basis::assumed, "time over which `failures_per_gpu` is an average"};

  /// Share of time that slow nodes and hot afternoons add to every step.
  Sourced<double> slow_share{0, Basis::assumed, "in the simulated step"};
  /// Standard deviation of that share from one restart to the next: other nodes, another day.
  Sourced<double> slow_spread{0, Basis::assumed, "none"};
};

/// Mean time between unexpected interruptions of a job on `gpus` GPUs: 1 / (rate * gpus). Infinite when nothing fails.
///
/// As in Kokolis et al. 2024 (arXiv 2410.21680), where nodes of eight GPUs fail at r_f: MTTF = 1 / (N_nodes * r_f).
Seconds mean_time_between_failures(const Reliability& reliability, std::int64_t gpus);

/// The rate of `failures` per 1,000 days of nodes, as operators count, for each GPU.
Hertz per_thousand_node_days(double failures, int gpus_per_node);

/// Smallest number of spare nodes with which, at a moment of the run, all are in use with at most this probability.
///
/// Nodes in repair are a queue with as many servers as there are nodes: their number is Poisson with mean
/// rate * share that takes a node * nodes * repair time (Palm 1943), whatever the distribution of repair times.
std::int64_t spare_nodes_needed(const Reliability& reliability, std::int64_t nodes, int gpus_per_node,
                                double probability = 0.01);

}  // namespace stepcast
