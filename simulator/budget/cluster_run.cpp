#include "simulator/budget/cluster_run.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/budget/training_compute.hpp"
#include "simulator/units/calendar.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

std::optional<double> loss_of(const ScalingLaw& law, const Architecture& model, double tokens) {
  if (!has_loss(law)) return std::nullopt;
  return loss(law, law_parameters(law, model), tokens);
}

/// Nobody plans for longer; and failures of longer runs are too many to be simulated.
constexpr Seconds longest_run = 10 * year;

}  // namespace

double law_parameters(const ScalingLaw& law, const Architecture& model) {
  const ModelSize count = count_parameters(model);
  return law.size == SizeCount::non_embedding ? count.non_embedding : count.active;
}

ClusterAnswer ClusterRun::of(const TrainingSize& wanted, const Pace* known) const {
  ClusterAnswer run;
  run.name = option_.name;
  run.wanted = wanted;
  run.gpus = option_.base.cluster.gpus;
  if (run.gpus > option_.base.cluster.domain_gpus() && option_.base.cluster.fabric.name == "none") {
    run.problem = "nothing joins several nodes: the cluster has no `fabric`";
    return run;
  }
  try {
    run.model = question_.model ? *question_.model : shaped(wanted.parameters);
  } catch (const UserError& no_shape) {
    run.problem = fmt::format("it asks for a model of {} parameters on {} tokens: {}", size_text(wanted.parameters),
                              size_text(wanted.tokens), no_shape.what());
    return run;
  }
  const ModelSize count = count_parameters(run.model);
  run.parameters = count.total;
  run.active_parameters = count.active;
  // The model that can be built is a little larger or smaller than was wanted: the tokens make up for it.
  const bool fixed = question_.model && question_.budget.kind == Budget::Kind::none;
  run.tokens = fixed || question_.tokens ? wanted.tokens : wanted.parameters * wanted.tokens / count.active;
  if (question_.budget.kind == Budget::Kind::loss && !question_.tokens) {
    run.tokens = tokens_for_loss(question_.law, law_parameters(question_.law, run.model), question_.budget.amount)
                     .value_or(run.tokens);
  }
  run.compute = Flops(6 * count.active * run.tokens);
  run.loss = loss_of(question_.law, run.model, run.tokens);
  if (question_.law.unique_tokens) {
    run.repeated = {*question_.law.unique_tokens, effective(question_.law, {count.active, run.tokens}).tokens};
  }
  if (question_.served) {
    run.life = lifetime_cost({count.active, run.tokens}, *question_.served, question_.prices);
  }

  Job base = option_.base;
  base.model = run.model;
  run.pace = pace_of(base, phases_of(question_.recipe, run.tokens), option_.space, known);
  run.problem = run.pace.problem;
  if (const Seconds steps = run.pace.productive(); run.problem.empty() && steps > longest_run) {
    run.problem = fmt::format("its steps alone take {} years on {} GPUs", size_text(steps / year),
                              count_text(static_cast<double>(run.gpus)));
  }
  if (run.problem.empty()) spend(run);
  return run;
}

Architecture ClusterRun::shaped(double parameters) const {
  ShapeRequest request = question_.shape;
  request.parameters = parameters;
  request.of = question_.law.size == SizeCount::non_embedding ? ShapeSize::non_embedding : ShapeSize::active;
  if (question_.law.compute == ComputeCount::non_embedding_per_token) {
    request.of = ShapeSize::non_embedding_with_attention;
  }
  for (const RecipeRule& rule : question_.recipe) {
    request.sequence_length = std::max(request.sequence_length, static_cast<double>(rule.sequence_length));
  }
  if (parameters > 3e9) request.tensor_parallel = std::min(8, option_.base.cluster.gpus_per_node);
  request.layers_divide_by = parameters > 2e11 ? 8 : parameters > 2e10 ? 4 : parameters > 3e9 ? 2 : 1;
  ShapeAnswer found = shape_of(request);
  if (!found.shape) {
    request.tensor_parallel = request.layers_divide_by = 1;
    found = shape_of(request);
  }
  if (found.shape) return found.shape->model;
  if (found.nearest) return found.nearest->model;
  throw UserError(found.refusal);
}

void ClusterRun::spend(ClusterAnswer& run) const {
  Flops with_attention;
  Seconds at_peak;  // that the model's FLOPs would take
  for (const PacedPhase& phase : run.pace.phases) {
    with_attention += flops_per_token(run.model, static_cast<double>(phase.phase.sequence_length)) * phase.phase.tokens;
    at_peak += phase.time() * phase.report.mfu;
  }
  run.compute_with_attention = with_attention;
  run.mfu = at_peak / run.pace.productive();
  take_time(run);
  if (!run.campaign.feasible) {
    run.problem = run.campaign.infeasible_reason;
    return;
  }
  take_energy(run);
  take_money(run);
}

std::int64_t ClusterRun::nodes_of(const ClusterAnswer& run) const {
  const std::int64_t gpus_per_node = option_.base.cluster.gpus_per_node;
  return (run.gpus + gpus_per_node - 1) / gpus_per_node;
}

void ClusterRun::take_time(ClusterAnswer& run) const {
  const PacedPhase& main = run.pace.main();
  CampaignInput input;
  for (const PacedPhase& phase : run.pace.phases) {
    input.phases.push_back({std::max<std::int64_t>(1, std::llround(phase.steps())), phase.report.step_time * slower_});
  }
  input.gpus_per_node = option_.base.cluster.gpus_per_node;
  input.nodes = nodes_of(run);
  input.spare_nodes = option_.spare_nodes;
  if (option_.elastic) {
    input.elastic_replica_nodes =
        std::max<std::int64_t>(1, run.gpus / main.job.plan.data_parallel / input.gpus_per_node);
  }
  input.reliability = option_.reliability;
  const CheckpointStorage storage =
      option_.storage.value_or(default_checkpoint_storage(static_cast<double>(input.nodes)));
  input.checkpoint = checkpoint_cost(checkpoint_size(run.parameters, option_.checkpoint_state), run.gpus, storage,
                                     option_.checkpoint_mode);
  input.checkpoint_interval = option_.checkpoint_interval;
  input.evaluation = question_.evaluation;
  input.spikes.per_step = question_.loss_spikes / run.pace.steps();
  input.data_share = question_.data_share;
  run.checkpoint = input.checkpoint;
  run.campaign = simulate_campaign(input, question_.trials, question_.seed);
  run.gpus_held = run.gpus + run.campaign.spare_nodes * input.gpus_per_node;
  run.gpu_hours = static_cast<double>(run.gpus_held) * run.campaign.days.mean * 24;
}

void ClusterRun::take_energy(ClusterAnswer& run) const {
  const Watts limit = option_.base.cluster.gpu.power_limit.value;
  Joules in_steps;
  for (const PacedPhase& phase : run.pace.phases) in_steps += average_power(phase.report, limit) * phase.time();
  run.power_per_gpu = option_.power_per_gpu > Watts(0) ? option_.power_per_gpu : in_steps / run.pace.productive();
  const CampaignGpuTime time = gpu_time(run.campaign, nodes_of(run), option_.base.cluster.gpus_per_node);
  run.energy = energy(time.in_steps, run.power_per_gpu, time.standing, limit * PowerLevels{}.waiting,
                      option_.node_power.value_or(NodePower{}), option_.site);
}

void ClusterRun::take_money(ClusterAnswer& run) const {
  if (!option_.tenure) return;
  Usage usage;
  usage.gpus = static_cast<double>(run.gpus_held);
  usage.wall = run.wall();
  usage.energy = run.energy.facility;
  usage.checkpoint = run.checkpoint.size;
  usage.checkpoints_kept = option_.checkpoints_kept;
  usage.kept_for = run.wall() * 0.5;
  usage.dataset = option_.dataset;
  usage.egress = option_.egress;
  run.bill = bill(usage, *option_.tenure, option_.storage_terms);
}

}  // namespace stepcast
