#include "simulator/advise.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "simulator/parallelism/recompute.hpp"
#include "simulator/predict.hpp"
#include "simulator/resolve.hpp"

namespace stepcast {
namespace {

bool moves_replicas(Job& job, int& degree) {
  if (job.plan.data_parallel % 2 != 0) return false;
  job.plan.data_parallel /= 2;
  degree *= 2;
  return true;
}

/// Only from less to more: none, parts of a layer, some layers, all of them.
bool recomputes(Job& job, const char* policy) {
  constexpr const char* order[] = {"none", "selective", "selective-layernorm", "selective-op", "every-other-layer"};
  const auto place = [&](std::string_view name) { return std::find(std::begin(order), std::end(order), name); };
  if (job.plan.recompute == "full" || place(job.plan.recompute) >= place(policy)) return false;
  job.plan.recompute = policy;
  return true;
}

bool shards(Job& job, int stage) {
  ParallelPlan& plan = job.plan;
  if (plan.zero >= stage || plan.dense_copies() == 1) return false;
  if (stage >= 2 && plan.pipeline_parallel > 1) return false;  // gradients and parameters would be whole again
  plan.zero = stage;
  return true;
}

constexpr Remedy rows[] = {
    {"recompute the attention core", "plan.recompute selective",
     [](Job& job) { return !job.plan.flash_attention.value_or(true) && recomputes(job, "selective"); }},
    {"recompute the norms", "plan.recompute selective-layernorm",
     [](Job& job) { return recomputes(job, "selective-layernorm"); }},
    {"recompute every second matrix product", "plan.recompute selective-op",
     [](Job& job) { return recomputes(job, "selective-op"); }},
    {"recompute every second layer", "plan.recompute every-other-layer",
     [](Job& job) { return recomputes(job, "every-other-layer"); }},
    {"recompute every layer", "plan.recompute full",
     [](Job& job) {
       if (job.plan.recompute == "full") return false;
       job.plan.recompute = "full";
       return true;
     }},
    {"sequence parallelism", "plan.sequence_parallel true",
     [](Job& job) {
       if (job.plan.tensor_parallel == 1 || job.plan.sequence_parallel) return false;
       return job.plan.sequence_parallel = true;
     }},
    {"half the microbatch", "plan.microbatch",
     [](Job& job) {
       if (job.plan.microbatch % 2 != 0) return false;
       job.plan.microbatch /= 2;
       return true;
     }},
    {"twice the tensor parallelism", "plan.tensor_parallel, half the replicas",
     [](Job& job) {
       ParallelPlan& plan = job.plan;
       const bool within =
           2 * plan.tensor_parallel <= std::max(job.cluster.gpus_per_node, job.cluster.node.domain_gpus);
       if (!within || !moves_replicas(job, plan.tensor_parallel)) return false;
       return plan.sequence_parallel = true;
     }},
    {"twice the pipeline stages", "plan.pipeline_parallel, half the replicas",
     [](Job& job) {
       ParallelPlan& plan = job.plan;
       if (plan.layer_split == LayerSplit::given || plan.zero >= 2 || !moves_replicas(job, plan.pipeline_parallel)) {
         return false;
       }
       if (plan.schedule == "none") plan.schedule = "1f1b";
       return true;
     }},
    {"twice the context parallelism", "plan.context_parallel, half the replicas",
     [](Job& job) { return moves_replicas(job, job.plan.context_parallel); }},
    {"twice the expert parallelism", "plan.expert_parallel",
     [](Job& job) {
       if (!job.model.moe) return false;
       job.plan.expert_parallel *= 2;
       return true;
     }},
    {"optimizer sharded", "plan.zero 1", [](Job& job) { return shards(job, 1); }},
    {"gradients sharded too", "plan.zero 2", [](Job& job) { return shards(job, 2); }},
    {"parameters sharded too", "plan.zero 3",
     [](Job& job) {
       if (!shards(job, 3)) return false;
       job.plan.reshard_after_forward = true;
       return true;
     }},
    {"parameters gathered again for the backward pass", "plan.reshard_after_forward true",
     [](Job& job) {
       if (job.plan.zero < 3 || job.plan.reshard_after_forward.value_or(job.plan.pipeline_parallel == 1)) return false;
       job.plan.reshard_after_forward = true;
       return true;
     }},
    {"moments in bf16", "plan.moment_dtype bf16",
     [](Job& job) {
       if (job.plan.moment_dtype || *job.framework.moment_bytes <= 2) return false;
       job.plan.moment_dtype = "bf16";
       return true;
     }},
    {"optimizer on the CPU", "plan.cpu_offload optimizer",
     [](Job& job) {
       if (job.plan.optimizer_on_cpu()) return false;
       job.plan.cpu_offload = "optimizer";
       return true;
     }},
    {"optimizer and parameters on the CPU", "plan.cpu_offload all",
     [](Job& job) {
       if (job.plan.parameters_on_cpu() || job.plan.zero < 3) return false;
       job.plan.cpu_offload = "all";
       return true;
     }},
    {"activations on the CPU", "plan.offload_activations",
     [](Job& job) {
       if (job.plan.pipeline_parallel > 1 || job.plan.offload_activations > 0) return false;
       job.plan.offload_activations = static_cast<int>(job.model.layers);
       return true;
     }},
};

/// What the change set in the plan, where the remedy's text names a key whose value it reckons.
std::string setting_of(const Remedy& remedy, const ParallelPlan& plan) {
  const std::string text(remedy.description);
  const auto with = [&](std::string_view key, std::int64_t value) {
    return text.rfind(key, 0) == 0 ? fmt::format("{} {}{}", key, value, text.substr(key.size())) : "";
  };
  for (const std::string& set :
       {with("plan.microbatch", plan.microbatch), with("plan.tensor_parallel", plan.tensor_parallel),
        with("plan.pipeline_parallel", plan.pipeline_parallel), with("plan.context_parallel", plan.context_parallel),
        with("plan.expert_parallel", plan.expert_parallel),
        with("plan.offload_activations", plan.offload_activations)}) {
    if (!set.empty()) return set;
  }
  return text;
}

}  // namespace

std::span<const Remedy> remedies() { return rows; }

std::vector<Advice> advise(const Job& job, const Report& report) {
  std::vector<Advice> found;
  for (const Remedy& remedy : rows) {
    Job changed = job;
    if (!remedy.apply(changed) || !recompute_policy(changed.plan.recompute)) continue;
    const Report answer = predict(changed, ExecutionOptions{});
    if (!answer.has_time() || answer.memory.allocated() >= report.memory.allocated()) continue;
    Advice advice;
    advice.change = remedy.name;
    advice.setting = setting_of(remedy, changed.plan);
    advice.memory = answer.memory.peak();
    advice.saved =
        report.memory.allocated() + report.memory.outside() - (answer.memory.allocated() + answer.memory.outside());
    advice.fits = answer.feasible;
    advice.step_time = answer.step_time;
    if (report.has_time()) advice.cost = answer.step_time / report.step_time - 1;
    found.push_back(std::move(advice));
  }
  std::stable_sort(found.begin(), found.end(), [](const Advice& a, const Advice& b) {
    return std::tuple(!a.fits, a.step_time) < std::tuple(!b.fits, b.step_time);
  });
  return found;
}

}  // namespace stepcast
