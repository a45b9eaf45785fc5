#include "simulator/search/sweep.hpp"

#include <algorithm>
#include <array>

#include "models/families.hpp"
#include "simulator/resolve.hpp"
#include "simulator/schedules/schedule.hpp"
#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

constexpr double seconds_per_day = 86400;

double days(const Facts& f) { return f.tokens / f.tokens_per_step * f.step_s / seconds_per_day; }
double dollars(const Facts& f) { return days(f) * 24 * f.gpus * f.price_per_gpu_hour; }
double tokens_per_dollar(const Facts& f) {
  return f.tokens_per_step / (f.step_s / 3600 * f.gpus * f.price_per_gpu_hour);
}
double mfu(const Facts& f) { return f.flops_per_token * f.tokens_per_step / (f.step_s * f.gpus * f.peak_flops); }
double used(const Facts& f) { return f.memory_bytes / f.capacity_bytes; }

constexpr Objective rows[] = {
    {"step_time", "the shortest step", [](const Facts& f) { return f.step_s; }, [](const Facts& f) { return f.step_s; },
     "s"},
    {"tokens_per_s", "the highest throughput of the cluster",
     [](const Facts& f) { return f.step_s / f.tokens_per_step; },
     [](const Facts& f) { return f.tokens_per_step / f.step_s; }, "tokens/s"},
    {"tokens_per_s_per_gpu", "the highest throughput of a GPU",
     [](const Facts& f) { return f.step_s * f.gpus / f.tokens_per_step; },
     [](const Facts& f) { return f.tokens_per_step / f.step_s / f.gpus; }, "tokens/s/GPU"},
    {"tokens_per_dollar", "the most tokens for the money; needs `price_per_gpu_hour`",
     [](const Facts& f) { return 1 / tokens_per_dollar(f); }, tokens_per_dollar, "tokens/$", true},
    {"mfu", "the highest model FLOPs utilisation", [](const Facts& f) { return 1 / mfu(f); }, mfu, ""},
    {"memory_headroom", "the most memory left free", used, [](const Facts& f) { return 1 - used(f); }, ""},
    {"memory", "the least memory of a GPU", [](const Facts& f) { return f.memory_bytes; },
     [](const Facts& f) { return f.memory_bytes / 1073741824.0; }, "GiB"},
    {"days", "the shortest training; needs `tokens`", days, days, "days", false, true},
    {"cost", "the cheapest training; needs `tokens` and `price_per_gpu_hour`", dollars, dollars, "$", true, true},
};

}  // namespace

std::span<const Objective> objectives() { return rows; }

const Objective* find_objective(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(rows), std::end(rows), [&](const Objective& row) { return row.name == name; });
  return found == std::end(rows) ? nullptr : found;
}

std::uint64_t Variant::size() const {
  std::uint64_t size = 1;
  for (const Axis& axis : axes) size *= axis.samples.size();
  return size;
}

std::uint64_t Sweep::size() const {
  std::uint64_t size = 0;
  for (const Variant& variant : variants) size += variant.size();
  return size;
}

namespace {

void copy(ParallelPlan& plan, const ParallelPlan& sample, const PlanKey& key) {
  std::visit([&](auto member) { plan.*member = sample.*member; }, key.member);
}

}  // namespace

ParallelPlan Variant::plan(std::uint64_t id) const {
  ParallelPlan plan = base.plan;
  for (std::size_t i = axes.size(); i-- > 0;) {
    copy(plan, axes[i].samples[id % axes[i].samples.size()], *axes[i].key);
    id /= axes[i].samples.size();
  }
  return plan;
}

Facts facts_of(const Variant& variant, const Sweep& sweep) {
  const Job job = resolve(variant.base);
  Facts facts;
  facts.capacity_bytes = job.cluster.gpu.memory->si();
  facts.tokens_per_step = static_cast<double>(job.plan.global_batch) * static_cast<double>(job.plan.sequence_length);
  facts.gpus = static_cast<double>(job.cluster.gpus);
  facts.price_per_gpu_hour = variant.price_per_gpu_hour;
  facts.tokens = sweep.tokens;
  facts.peak_flops = job.cluster.gpu.peak_rate(job.plan.precision).si();
  if (const ModelFamily* family = family_of(job.model)) {
    const ModelGraph graph = family->build(job.model, job.model.vocab, job.plan.sequence_length);
    const FlopsConvention* convention = find_flops_convention(job.flops_convention);
    if (convention == nullptr) convention = find_flops_convention("full-attention");
    const FlopsInput flops{job.model, active_parameters(graph), static_cast<double>(job.model.vocab),
                           static_cast<double>(job.plan.sequence_length), false};
    facts.flops_per_token = convention->per_token(flops);
  }
  return facts;
}

bool complete(ParallelPlan& plan, const Job& base) {
  const std::int64_t replica = std::int64_t{plan.tensor_parallel} * plan.context_parallel * plan.pipeline_parallel;
  if (replica <= 0 || base.cluster.gpus % replica != 0) return false;
  plan.data_parallel = static_cast<int>(base.cluster.gpus / replica);
  const bool usual = plan.schedule == "none" || plan.schedule == "1f1b" || plan.schedule == "interleaved-1f1b";
  if (plan.pipeline_parallel == 1) {
    plan.schedule = "none";
  } else if (usual) {
    plan.schedule = plan.virtual_stages > 1 ? "interleaved-1f1b" : "1f1b";
  }
  return true;
}

bool is_idle(const PlanKey& key, const ParallelPlan& plan, bool experts) {
  using P = ParallelPlan;
  const auto is = [&](auto member) {
    const auto* held = std::get_if<decltype(member)>(&key.member);
    return held != nullptr && *held == member;
  };
  const bool copies = plan.dense_copies() > 1 || experts;
  if (is(&P::sequence_parallel) || is(&P::overlap_tp)) return plan.tensor_parallel == 1;
  if (is(&P::overlap_p2p)) {
    const Schedule* schedule = find_schedule(plan.schedule);
    const bool overlaps_anyhow = schedule != nullptr && schedule->asynchronous;
    return plan.pipeline_parallel == 1 || plan.virtual_stages == 1 || overlaps_anyhow;
  }
  if (is(&P::schedule)) return plan.pipeline_parallel == 1;
  if (is(&P::shard_group)) return plan.zero == 0 || plan.shard_group == plan.dense_copies();
  if (is(&P::reshard_after_forward)) return plan.zero != 3;
  if (is(&P::overlap_grad_reduce)) return !copies;
  if (is(&P::overlap_param_gather)) return !copies || plan.zero == 0;
  if (is(&P::overlap_ep) || is(&P::dispatcher)) return plan.expert_parallel == 1;
  return false;
}

}  // namespace stepcast
