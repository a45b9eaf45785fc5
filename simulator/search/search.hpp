#pragma once
/// The best plans of a sweep, proven: what is left out cannot be better.
///
/// Every configuration has a lower bound of its score (lower_bound.hpp). They are simulated in the order of their bounds,
/// until the bound of the next is above the K-th best score found: so the K best are those of the whole space. With two
/// objectives a configuration is left out when a simulated one is at least as good in both even at its bound.
///
/// Configurations are numbers, and of those that are waiting only so many are held; where a space has more, it is walked
/// through again from the bound at which the first walk stopped.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "simulator/search/distributor.hpp"
#include "simulator/search/result.hpp"
#include "simulator/search/sweep.hpp"
#include "simulator/search/tally.hpp"

namespace stepcast {

struct Progress {
  std::uint64_t walked = 0, of = 0;  ///< configurations, in the walk
  std::uint64_t simulated = 0, waiting = 0;
  const Result* best = nullptr;
};

/// Where results go, and where those of an earlier run come from. Called by one thread at a time.
class Recorder {
 public:
  virtual ~Recorder() = default;
  /// @return whether the configuration was simulated before; then `result` is filled in
  virtual bool known(std::uint32_t variant, std::uint64_t id, Result& result) = 0;
  virtual void record(const Result& result) = 0;
  virtual void refuse(const Refusal&) {}
};

struct SearchOptions {
  int jobs = 0;  ///< threads; 0: one a core
  int top = 10;
  bool exhaustive = false;    ///< simulate everything that fits
  int shard = 0, shards = 1;  ///< only configurations of this part
  std::size_t most_waiting = std::size_t{1} << 21U;
  Recorder* recorder = nullptr;
  Distributor* distributor = nullptr;                  ///< to the processes that search together; null: this one alone
  std::function<void(const Progress&)> progress = {};  ///< now and then
};

struct SearchResult {
  std::vector<Result> best;   ///< the first `top`, best first; equal scores in the order of their numbers. Of two
                              ///< objectives: the best of the first alone
  std::vector<Result> front;  ///< of two objectives, by the first
  Tally tally;
  double seconds = 0;
  double bounds_per_s = 0, simulated_per_s = 0;
};

/// @throws UserError for a space in which nothing is feasible at all, or that is empty
SearchResult search(const Sweep& sweep, const SearchOptions& options);

/// What a process does for the one that coordinates a search of the same sweep with the same options: its distributor
/// serves this. The sweep must outlive it.
Distributor::Perform make_search_part(const Sweep& sweep, const SearchOptions& options);

/// What a search of these results would answer: the best, and the front of two objectives. Tallies are left out.
SearchResult best_of(const Sweep& sweep, const std::vector<Result>& results, int top);

/// The score of a result under an objective.
double score(const Sweep& sweep, const Result& result, const Objective& objective);
Facts facts_of(const Sweep& sweep, const Result& result);

}  // namespace stepcast
