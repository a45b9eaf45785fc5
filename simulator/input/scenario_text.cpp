/// From a job back to YAML, for a plan that was found to be predicted, swept or emitted.

#include <fmt/format.h>

#include "simulator/input/input.hpp"
#include "simulator/input/yaml_tree.hpp"
#include "simulator/profiles/precision.hpp"
#include "simulator/search/plan_keys.hpp"

namespace stepcast {
namespace {

std::string indented(const std::string& text) {
  std::string lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += "  " + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return lines;
}

}  // namespace

std::string scenario_text(const Job& job) {
  std::string plan, framework;
  for (const PlanKey& key : plan_keys()) {
    const std::string value = text_of(job.plan, key);
    if (!value.empty()) (key.of_framework ? framework : plan) += fmt::format("  {}: {}\n", key.name, value);
  }
  plan +=
      fmt::format("  data_parallel: {}\n  sequence_length: {}\n  precision: {}\n  optimizer: {}\n",
                  job.plan.data_parallel, job.plan.sequence_length, name_of(job.plan.precision), job.plan.optimizer);
  if (job.plan.grad_reduce_dtype) plan += "  grad_reduce_dtype: " + *job.plan.grad_reduce_dtype + "\n";
  std::string version = job.framework_version.empty() ? "" : "  version: " + yaml_quoted(job.framework_version) + "\n";
  return fmt::format(
      "name: {}\nmodel:\n{}cluster: {{node: {}, gpus: {}, gpus_per_node: {}, fabric: {}}}\nplan:\n{}framework:\n  "
      "name: "
      "{}\n{}{}",
      yaml_quoted(job.name), indented(model_text(job.model)), job.cluster.node.name, job.cluster.gpus,
      job.cluster.gpus_per_node, job.cluster.fabric.name, plan, job.framework.name, version, framework);
}

}  // namespace stepcast
