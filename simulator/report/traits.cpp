#include "simulator/report/traits.hpp"

#include <fmt/format.h>

namespace stepcast {
namespace {

std::string model_family(const Architecture& model) {
  if (model.moe) return "experts";
  return model.gated() ? "dense, gated MLP" : "dense, plain MLP";
}

/// The ways that split a layer or the stack of layers, in the order of their names; else how copies are kept.
std::string parallelism(const ParallelPlan& plan) {
  std::string ways;
  const auto add = [&ways](bool used, const char* name) {
    if (used) ways += (ways.empty() ? "" : " ") + std::string(name);
  };
  add(plan.tensor_parallel > 1, "TP");
  add(plan.pipeline_parallel > 1, "PP");
  add(plan.context_parallel > 1, "CP");
  add(plan.expert_parallel > 1, "EP");
  add(plan.zero >= 2, "ZeRO-2/3");
  return ways.empty() ? "DP alone" : ways;
}

}  // namespace

RunTraits traits_of(const Job& job) {
  RunTraits t;
  t.framework = job.framework.name;
  t.framework_family = job.framework.family;
  t.gpu = job.cluster.gpu.name;
  t.generation = job.cluster.gpu.generation;
  t.model_family = model_family(job.model);
  t.parallelism = parallelism(job.plan);
  t.gpus = job.cluster.gpus;
  t.precision = name_of(job.plan.precision);
  t.model = job.model.name;
  t.tokens_per_step = static_cast<double>(job.plan.global_batch * job.plan.sequence_length);
  return t;
}

std::string size_class(std::int64_t gpus) {
  std::int64_t low = 1, high = 8;
  while (gpus > high) low = high + 1, high *= 8;
  return fmt::format("{}-{} GPUs", low, high);
}

}  // namespace stepcast
