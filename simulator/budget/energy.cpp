#include "simulator/budget/energy.hpp"

#include <string_view>

#include "simulator/base/error.hpp"
#include "simulator/units/calendar.hpp"

namespace stepcast {
namespace {

/// Shares of compute time that operators leave the matrix units idle.
struct ComputeShares {
  double memory = 0;
  double waiting = 0;
};

ComputeShares compute_shares(const Report& report) {
  Seconds all, memory, waiting;
  for (const OperatorTime& op : report.operators) {
    if (op.block == "step" || op.bound == "network") continue;
    all += op.total();
    if (op.bound == "HBM") memory += op.total();
    if (op.bound == "launch") waiting += op.total();
  }
  if (all <= Seconds(0)) return {};
  return {memory / all, waiting / all};
}

}  // namespace

Occupation occupation(const Breakdown& breakdown, double memory_share, double waiting_share) {
  const Seconds total = breakdown.total();
  CHECK(total > Seconds(0), "power is of a step that was timed");
  CHECK(memory_share >= 0 && waiting_share >= 0 && memory_share + waiting_share <= 1 + 1e-9, "shares of compute time");
  Occupation shares;
  shares.matrix = breakdown.compute * (1 - memory_share - waiting_share) / total;
  shares.memory = (breakdown.compute * memory_share + breakdown.optimizer) / total;
  shares.communication_inside = breakdown.tp_comm_exposed / total;
  shares.communication_between =
      (breakdown.cp_comm_exposed + breakdown.ep_comm_exposed + breakdown.dp_comm_exposed + breakdown.pp_comm_exposed) /
      total;
  shares.waiting = (breakdown.compute * waiting_share + breakdown.bubble + breakdown.host_other) / total;
  return shares;
}

Occupation occupation(const Report& report) {
  Breakdown mean;
  for (const StageReport& stage : report.per_stage) {
    mean.compute += stage.breakdown.compute;
    mean.tp_comm_exposed += stage.breakdown.tp_comm_exposed;
    mean.cp_comm_exposed += stage.breakdown.cp_comm_exposed;
    mean.ep_comm_exposed += stage.breakdown.ep_comm_exposed;
    mean.dp_comm_exposed += stage.breakdown.dp_comm_exposed;
    mean.pp_comm_exposed += stage.breakdown.pp_comm_exposed;
    mean.bubble += stage.breakdown.bubble;
    mean.optimizer += stage.breakdown.optimizer;
    mean.host_other += stage.breakdown.host_other;
  }
  const ComputeShares shares = compute_shares(report);
  return occupation(report.per_stage.empty() ? report.breakdown : mean, shares.memory, shares.waiting);
}

Watts average_power(const Occupation& occupation, Watts power_limit, const PowerLevels& levels) {
  return power_limit *
         (occupation.matrix * levels.matrix + occupation.memory * levels.memory +
          occupation.communication_inside * levels.communication_inside +
          occupation.communication_between * levels.communication_between + occupation.waiting * levels.waiting);
}

Watts average_power(const Report& report, Watts power_limit, const PowerLevels& levels) {
  return average_power(occupation(report), power_limit, levels);
}

EnergyUse energy(Seconds running, Watts power, Seconds idle, Watts idle_power, const NodePower& node,
                 const Site& site) {
  EnergyUse use;
  use.gpus = power * running + idle_power * idle;
  use.nodes = node.factor * use.gpus;
  use.facility = site.pue.value * use.nodes;
  constexpr double grams_per_tonne = 1e6;
  use.tonnes_co2e = use.facility / kilowatt_hour * site.grams_co2e_per_kwh.value / grams_per_tonne;
  return use;
}

EnergyUse energy(Seconds gpu_time, Watts power, const NodePower& node, const Site& site) {
  return energy(gpu_time, power, Seconds(0), Watts(0), node, site);
}

}  // namespace stepcast
