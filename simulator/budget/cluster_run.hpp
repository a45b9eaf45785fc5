#pragma once
/// A model of given size on one cluster, whole: its shape, its pace, its calendar, what it draws and what it costs.

#include "simulator/budget/answer.hpp"

namespace stepcast {

/// N as the law counts it.
double law_parameters(const ScalingLaw& law, const Architecture& model);

/// What a run that is like another takes from it.
struct Start {
  const ClusterAnswer* near = nullptr;  ///< compute to begin the search with
  bool keeps_plans = false;             ///< and its plans, where they still run
  double step_time = 1;                 ///< of the simulated one

  const Pace* plans() const { return near != nullptr && keeps_plans ? &near->pace : nullptr; }
};

class ClusterRun {
 public:
  ClusterRun(const Question& question, const ClusterOption& option, const Start& start = {})
      : question_(question), option_(option), slower_(start.step_time) {}

  /// @param wanted  as law and budget have it
  /// @param known   the pace of nearly the same run, whose plans are taken over
  ClusterAnswer of(const TrainingSize& wanted, const Pace* known) const;

  /// Heads and layers divide by the degrees that models of that size are trained with; if none such comes near the size,
  /// by nothing.
  /// @throws UserError when the family has no such model
  Architecture shaped(double parameters) const;

 private:
  std::int64_t nodes_of(const ClusterAnswer& run) const;
  void spend(ClusterAnswer& run) const;
  void take_time(ClusterAnswer& run) const;
  void take_energy(ClusterAnswer& run) const;
  void take_money(ClusterAnswer& run) const;

  const Question& question_;
  const ClusterOption& option_;
  double slower_;
};

}  // namespace stepcast
