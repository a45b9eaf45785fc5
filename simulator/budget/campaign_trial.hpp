#pragma once
/// One trial of a campaign, from its first step to its last.

#include <atomic>
#include <cstdint>

#include "simulator/budget/campaign.hpp"
#include "simulator/budget/timetable.hpp"

namespace stepcast {

/// What all trials share. Times are in seconds.
struct CampaignPlan {
  const CampaignInput& input;
  Timetable timetable;
  std::int64_t spare_nodes = 0;
  std::int64_t replica_nodes = 0;  ///< without which nothing runs
  std::int64_t replicas = 0;
  double failure_rate = 0;   ///< of the job
  double planned_every = 0;  ///< infinite: never
};

struct CampaignTrial {
  CampaignTime time;
  double failures = 0, planned = 0, spikes = 0;
  double nodes_in_repair = 0;  ///< integral over the run's time
  bool waited = false;
  bool ended = true;  ///< false: it was given up, after 200 times its undisturbed time or five million stops
};

/// Whether a trial is going nowhere, and others need not go on.
using GivenUp = std::atomic<bool>;

/// Jumps from interruption to interruption. Nothing is random but by the seed and the trial's number.
CampaignTrial run_trial(const CampaignPlan& plan, std::uint64_t seed, std::int64_t trial, GivenUp& given_up);

}  // namespace stepcast
