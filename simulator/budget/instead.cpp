#include "simulator/budget/instead.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/budget/cluster_run.hpp"
#include "simulator/budget/training_compute.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

/// The smallest model of the family above a size that is too small for it.
std::optional<Architecture> smallest_above(const ClusterRun& run, double parameters) {
  for (double n = std::max(parameters, 1e6); n < 1e9; n *= 1.1) {
    try {
      return run.shaped(n);
    } catch (const UserError&) {
      continue;  // still too small
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> possible_instead(const Question& question, const ClusterOption& option,
                                          const ClusterAnswer& failed) {
  std::vector<std::string> found;
  Question probe = question;
  probe.budget = {};
  probe.trials = std::min(question.trials, 100);
  if (probe.shape.family.empty()) probe.shape.family = "llama3";
  const ClusterRun own(probe, option);
  if (failed.model.layers == 0) {  // no shape
    if (const auto smallest = smallest_above(own, failed.wanted.parameters)) {
      const double n = count_parameters(*smallest).active;
      const double ratio = failed.wanted.tokens / failed.wanted.parameters;
      found.push_back(fmt::format("a model of {} parameters, for which {} tokens a parameter are {}", size_text(n),
                                  number_text(ratio), compute_text(Flops(6 * n * n * ratio))));
    }
    return found;
  }
  const auto runs = [&](const Architecture& model, double tokens, std::int64_t gpus) {
    probe.model = model;
    probe.tokens = tokens;
    ClusterOption other = option;
    other.base.cluster.gpus = gpus;
    Job base = other.base;
    base.model = model;
    try {
      if (failed.pace.phases.empty())
        return !pace_of(base, phases_of(probe.recipe, tokens), other.space).phases.empty();
      return ClusterRun(probe, other).of({count_parameters(model).active, tokens}, nullptr).problem.empty();
    } catch (const UserError&) {
      return false;  // such as nodes that nothing joins
    }
  };
  const std::int64_t now = option.base.cluster.gpus;
  const std::int64_t node = option.base.cluster.gpus_per_node;
  const auto add_gpus = [&](std::int64_t gpus) {
    if (!runs(failed.model, failed.tokens, gpus)) return false;
    found.push_back(fmt::format("this model on {} such GPUs", count_text(static_cast<double>(gpus))));
    return true;
  };
  const bool of_memory = failed.pace.reason.find("memory") != std::string::npos;
  std::int64_t most = node;
  while (most * 2 < now) most *= 2;
  for (std::int64_t gpus = most; !of_memory && gpus < now && gpus >= node && !add_gpus(gpus); gpus /= 2) {
  }
  for (std::int64_t gpus = std::max(now, node) * 2; found.empty() && gpus <= 65536 && !add_gpus(gpus); gpus *= 2) {
  }
  if (found.empty() && of_memory) {
    // 16 bytes a parameter: Rajbhandari et al. 2020 (arXiv 1910.02054), sec. 3.1.
    const double needed = std::ceil(16 * failed.parameters / option.base.cluster.gpu.memory.value.si());
    found.push_back(fmt::format(
        "more GPUs{}: weights, gradients and Adam's moments alone, 16 bytes a "
        "parameter, fill {} of these",
        option.base.cluster.fabric.name == "none" ? ", and a fabric that joins them" : "", count_text(needed)));
  }
  for (double n = failed.active_parameters / 2; n > 5e7; n /= 2) {
    probe.model.reset();
    Architecture model;
    try {
      model = own.shaped(n);
    } catch (const UserError&) {
      break;
    }
    if (!runs(model, failed.tokens, now)) continue;
    found.push_back(
        fmt::format("a model of about {} parameters on {}", size_text(count_parameters(model).total),
                    now == 1 ? "this GPU" : fmt::format("these {} GPUs", count_text(static_cast<double>(now)))));
    break;
  }
  return found;
}

}  // namespace stepcast
