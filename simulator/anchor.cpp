#include "simulator/anchor.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/predict.hpp"

namespace stepcast {
namespace {

constexpr double repeatability = 0.04;
constexpr double informed_by = 0.002;  // a tenth more of the factor changes a run by at least that

/// One free constant: how far it lies apart between machines of a kind, the range that physics allows, where it stands.
struct FreeConstant {
  std::string name;
  double spread;  ///< standard deviation of its logarithm
  double low, high;
  std::function<void(Job&, double multiplier)> scale;
};

void scale_host(Job& job, double by) {
  Framework& f = job.framework;
  f.host_time_per_layer_forward.value = f.host_time_per_layer_forward.value * by;
  f.host_time_per_layer_backward.value = f.host_time_per_layer_backward.value * by;
  f.host_time_per_moe_operator.value = f.host_time_per_moe_operator.value * by;
}

void scale_clock(Job& job, Precision precision, double by) {
  // fp8 is a constant of its own; the wider formats share one.
  const auto own = job.cluster.gpu.gemm.find(precision);
  const Precision of = own != job.cluster.gpu.gemm.end() ? precision : Precision::bf16;
  job.cluster.gpu.gemm.at(of).sustained.value *= by;
}

std::vector<FreeConstant> free_constants(const Job& job) {
  const Gpu& gpu = job.cluster.gpu;
  const Precision precision = job.plan.precision;
  const double sustained = *gpu.gemm_profile(precision).sustained;
  const double reached = *job.cluster.fabric.nic.efficiency;
  std::vector<FreeConstant> constants{
      // A GPU never sustains more than its bursts; half of them is a part that throttles on heat or power.
      {fmt::format("sustained clock of {} in {}", gpu.name, name_of(precision)), 0.10, 0.5 / sustained, 1.0 / sustained,
       [precision](Job& j, double by) { scale_clock(j, precision, by); }},
      // From the fastest desktop core to a busy server's slowest, Python's interpreter differs by about four.
      {fmt::format("host time per operator of {}", job.framework.name), 0.35, 0.4, 2.5, scale_host},
  };
  if (reached > 0 && job.cluster.gpus > job.cluster.gpus_per_node)
    constants.push_back({fmt::format("share of its bandwidth that {} reaches", job.cluster.fabric.name), 0.20,
                         0.25 / reached, 1.0 / reached,
                         [](Job& j, double by) { j.cluster.fabric.nic.efficiency.value *= by; }});
  return constants;
}

double predicted_s(const Job& job) {
  const Report report = predict(job);
  return report.has_time() ? report.step_time.si() : 0;
}

std::string name_of_run(const Job& run) { return run.id.empty() ? run.name : run.id; }

/// The run with what is predicted of it as the profiles stand.
Anchor::Run compared(const Job& run, const Job& job) {
  const std::string who = "anchor " + name_of_run(run) + ": ";
  if (!run.reference || !run.reference->measured.step_time_s)
    throw UserError(who + "it has no measured step time (measured: {step_time_s: ...})");
  if (run.cluster.gpu.name != job.cluster.gpu.name)
    throw UserError(fmt::format("{}it ran on {}, the scenario is about {}: an anchor is of the same GPU", who,
                                run.cluster.gpu.name, job.cluster.gpu.name));
  if (run.framework.name != job.framework.name)
    throw UserError(fmt::format("{}it ran under {}, the scenario is about {}: an anchor is of the same framework", who,
                                run.framework.name, job.framework.name));
  const Report report = predict(run);
  if (!report.has_time()) throw UserError(who + "it cannot be predicted: " + report.infeasible_reason);
  return {name_of_run(run), Seconds(*run.reference->measured.step_time_s), report.step_time, Seconds(0)};
}

Job with(const std::vector<FreeConstant>& constants, const std::vector<double>& multipliers, Job job) {
  for (std::size_t f = 0; f < constants.size(); ++f)
    if (multipliers[f] != 1) constants[f].scale(job, multipliers[f]);
  return job;
}

}  // namespace

Anchor anchored(const std::vector<Job>& runs, const Job& job) {
  Anchor anchor;
  for (const Job& run : runs) anchor.runs.push_back(compared(run, job));
  const std::vector<FreeConstant> constants = free_constants(job);
  std::vector<Unknown> unknowns;
  for (const FreeConstant& constant : constants) {
    anchor.constants.push_back({constant.name, 1, constant.low, constant.high, false});
    unknowns.push_back(
        {constant.name, std::log(std::min(constant.low, 1.0)), std::log(std::max(constant.high, 1.0)), 0});
  }
  for (std::size_t f = 0; f < constants.size(); ++f) {
    for (std::size_t r = 0; r < runs.size(); ++r) {
      Job scaled = runs[r];
      constants[f].scale(scaled, 0.9);
      if (std::abs(predicted_s(scaled) / anchor.runs[r].before.si() - 1) > informed_by)
        anchor.constants[f].informed = true;
    }
  }
  const auto multipliers_of = [&](const std::vector<double>& logs) {
    std::vector<double> multipliers;
    for (std::size_t f = 0; f < logs.size(); ++f)
      multipliers.push_back(anchor.constants[f].informed ? std::exp(logs[f]) : 1);
    return multipliers;
  };
  const auto objective = [&](const std::vector<double>& logs) {
    const std::vector<double> multipliers = multipliers_of(logs);
    double sum = 0;
    for (std::size_t f = 0; f < logs.size(); ++f) sum += std::pow(logs[f] / constants[f].spread, 2);
    for (std::size_t r = 0; r < runs.size(); ++r) {
      const double ratio = predicted_s(with(constants, multipliers, runs[r])) / anchor.runs[r].measured.si();
      sum += std::pow(std::log(ratio) / repeatability, 2);
    }
    return sum;
  };
  const std::vector<double> multipliers = multipliers_of(minimise(objective, unknowns, {.global = 0, .local = 160}, 1));
  for (std::size_t f = 0; f < constants.size(); ++f) anchor.constants[f].multiplier = multipliers[f];
  for (std::size_t r = 0; r < runs.size(); ++r)
    anchor.runs[r].after = Seconds(predicted_s(with(constants, multipliers, runs[r])));
  return anchor;
}

Job with_anchor(const Anchor& anchor, Job job) {
  for (const FreeConstant& constant : free_constants(job))
    for (const Anchor::Constant& moved : anchor.constants)
      if (moved.name == constant.name && moved.multiplier != 1) constant.scale(job, moved.multiplier);
  return job;
}

}  // namespace stepcast
