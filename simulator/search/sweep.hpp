#pragma once
/// A sweep as values: what is varied, what is wanted, what is not allowed.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/search/constraint.hpp"
#include "simulator/search/plan_keys.hpp"

namespace stepcast {

/// One key of a plan and the values that it takes.
struct Axis {
  const PlanKey* key = nullptr;
  std::vector<std::string> texts;
  std::vector<ParallelPlan> samples;  ///< a plan with each value set
};

/// A base job, one model on one cluster, and the axes of its plans. A plan is a number: its digits, most significant first,
/// are places in the axes.
struct Variant {
  std::string name;  ///< what sets it apart from the others; empty: it is the only one
  Job base;
  std::vector<Axis> axes;  ///< in the order of plan_keys()
  double price_per_gpu_hour = 0;

  std::uint64_t size() const;
  ParallelPlan plan(std::uint64_t id) const;
};

/// What is best.
struct Facts {
  double step_s = 0;
  double memory_bytes = 0, capacity_bytes = 1;
  double tokens_per_step = 0;  ///< of the plan
  double gpus = 1;
  double price_per_gpu_hour = 0;
  double tokens = 0;           ///< to be trained on
  double flops_per_token = 0;  ///< of the model, in the scenario's convention
  double peak_flops = 1;       ///< per second, of one GPU
};

struct Objective {
  std::string_view name;
  std::string_view description;
  double (*score)(const Facts&);  ///< less is better; grows with the step's time, or knows nothing of it
  double (*shown)(const Facts&);
  std::string_view unit;
  bool needs_price = false, needs_tokens = false;
};
std::span<const Objective> objectives();
const Objective* find_objective(std::string_view name);

struct Sweep {
  std::string name;
  std::vector<Variant> variants;
  std::vector<Constraint> constraints;
  const Objective* objective = nullptr;
  std::vector<const Objective*> pareto;  ///< two, or none
  double memory_headroom_bytes = 0;      ///< that must stay free
  double tokens = 0;
  int top = 10;
  std::string fingerprint;  ///< of everything above: results of another sweep are not mixed in

  std::uint64_t size() const;
};

/// The facts of a variant that no plan changes.
Facts facts_of(const Variant& variant, const Sweep& sweep);

/// Sets the degree of data parallelism and the schedule that go with the other values, as the scenario reader does.
/// @return false when the degrees do not divide the cluster's GPUs
bool complete(ParallelPlan& plan, const Job& base);

/// Whether the key changes nothing in this plan, whatever its value: then only its first value is looked at.
/// @param experts  the model has them: they have copies of their own
bool is_idle(const PlanKey& key, const ParallelPlan& plan, bool experts);

}  // namespace stepcast
