#include "simulator/report/summarize.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulator/report/operators.hpp"
#include "simulator/units/text.hpp"
#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

std::string cluster_text(const Cluster& cluster) {
  const std::int64_t nodes = (cluster.gpus + cluster.gpus_per_node - 1) / std::max(1, cluster.gpus_per_node);
  std::string text = fmt::format("{} x {}, {} node{}", count_text(static_cast<double>(cluster.gpus)),
                                 cluster.gpu.description.empty() ? cluster.gpu.name : cluster.gpu.description,
                                 count_text(static_cast<double>(nodes)), nodes == 1 ? "" : "s");
  if (nodes > 1) text += ", " + (cluster.fabric.description.empty() ? cluster.fabric.name : cluster.fabric.description);
  return text;
}

std::string plan_text(const ParallelPlan& plan) {
  std::string text = fmt::format("TP {}{}", plan.tensor_parallel, plan.sequence_parallel ? " (sequence parallel)" : "");
  text += fmt::format(", PP {}", plan.pipeline_parallel);
  if (plan.virtual_stages > 1) text += fmt::format(" x {} chunks", plan.virtual_stages);
  if (plan.pipeline_parallel > 1) text += fmt::format(" ({})", plan.schedule);
  text += fmt::format(", DP {}", plan.data_parallel);
  if (plan.context_parallel > 1) text += fmt::format(", CP {}", plan.context_parallel);
  if (plan.expert_parallel > 1) text += fmt::format(", EP {}", plan.expert_parallel);
  if (plan.expert_tensor_parallel.value_or(1) > 1) text += fmt::format(", ETP {}", *plan.expert_tensor_parallel);
  if (plan.zero > 0) text += fmt::format(", ZeRO-{}", plan.zero);
  if (plan.attention_length) {
    text += fmt::format(", documents of {} tokens", count_text(std::round(*plan.attention_length)));
  }
  if (plan.lora) text += fmt::format(", LoRA of rank {}", plan.lora->rank);
  if (plan.frozen_layers > 0) text += fmt::format(", first {} layers frozen", plan.frozen_layers);
  text += fmt::format("; microbatch {} of {} sequences of {} tokens; recompute {}; {}", plan.microbatch,
                      count_text(static_cast<double>(plan.global_batch)),
                      count_text(static_cast<double>(plan.sequence_length)), plan.recompute, name_of(plan.precision));
  return text;
}

Breakdown breakdown_of(const std::array<SimTime, bucket_count>& buckets) {
  const auto in = [&](Bucket bucket) { return buckets[static_cast<std::size_t>(bucket)].seconds(); };
  return {in(Bucket::compute), in(Bucket::tp_comm), in(Bucket::cp_comm),   in(Bucket::ep_comm), in(Bucket::dp_comm),
          in(Bucket::pp_comm), in(Bucket::bubble),  in(Bucket::optimizer), in(Bucket::host)};
}

std::string contents_text(const ChunkContents& chunk) {
  std::string text = fmt::format("{} layer{}", chunk.layer_count(), chunk.layer_count() == 1 ? "" : "s");
  if (chunk.embedding) text = "embedding + " + text;
  if (chunk.head) text += " + head";
  return text;
}

double matrix_flops(const OpList& ops) {
  double sum = 0;
  for (const LocalOp& op : ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op.work)) sum += gemm->flops().si();
    if (const auto* grouped = std::get_if<GroupedGemm>(&op.work)) sum += grouped->flops().si();
    if (const auto* attention = std::get_if<AttentionKernel>(&op.work)) sum += attention->flops().si();
  }
  return sum;
}

/// Executed matrix FLOPs of one GPU in a step, averaged over the stages.
double executed_flops(const SummaryInput& in) {
  double sum = 0;
  for (const auto& stage : in.model.stages) {
    for (const ChunkContents& chunk : stage) {
      for_each_block(in.model, chunk, [&](const LocalBlock& block, int count) {
        sum += (matrix_flops(block.forward) + matrix_flops(block.backward)) * count;
      });
    }
  }
  const double microbatches = static_cast<double>(in.job.plan.microbatches()) * in.model.microbatch_share;
  return sum * microbatches / static_cast<double>(in.model.stages.size());
}

std::pair<std::string_view, Bytes> largest_part(const MemoryUse& m) {
  const std::initializer_list<std::pair<std::string_view, Bytes>> parts{{"parameters", m.parameters},
                                                                        {"gradients", m.gradients},
                                                                        {"optimizer states", m.optimizer},
                                                                        {"activations", m.activations},
                                                                        {"buffers", m.buffers}};
  return *std::max_element(parts.begin(), parts.end(),
                           [](const auto& one, const auto& other) { return one.second < other.second; });
}

}  // namespace

Report describe(const Job& job) {
  Report report;
  report.scenario = job.name;
  report.id = job.id;
  report.model_name = job.model.name;
  report.cluster_text = cluster_text(job.cluster);
  report.plan_text = plan_text(job.plan);
  report.framework_name = job.framework.name;
  report.gpus = job.cluster.gpus;
  report.gpus_per_node = std::max(1, job.cluster.gpus_per_node);
  report.tokens_per_step = job.plan.global_batch * job.plan.sequence_length;
  report.flops_convention = find_flops_convention(job.flops_convention) ? job.flops_convention : "full-attention";
  report.mfu_peak = job.cluster.gpu.peak_rate(job.plan.precision);
  report.assumed = job.assumed;
  report.defaults_taken = job.defaults_taken;
  report.reference = job.reference;
  return report;
}

void summarize_model(const SummaryInput& in, Report& report) {
  report.model_parameters = parameters(in.graph);
  report.active_parameters = active_parameters(in.graph);
  report.trained_parameters = trained_parameters(in.graph);
  for (std::size_t stage = 0; stage < in.model.stages.size(); ++stage) {
    StageReport row;
    row.stage = static_cast<int>(stage);
    row.parameters = in.model.parameters(row.stage);
    row.memory = in.memory[stage];
    for (const ChunkContents& chunk : in.model.stages[stage]) {
      row.contents.push_back(contents_text(chunk));
      row.layers += chunk.layer_count();
    }
    row.microbatches_in_flight =
        static_cast<double>(in.chunks_in_flight[stage]) / static_cast<double>(in.model.stages[stage].size());
    if (stage == 0 || row.memory.peak() > report.memory.peak()) {
      report.memory = row.memory;
      report.memory_stage = row.stage;
    }
    report.per_stage.push_back(std::move(row));
  }
  report.feasible = report.memory.fits();
  if (!report.feasible) {
    const auto [part, size] = largest_part(report.memory);
    report.infeasible_reason =
        fmt::format("stage {} needs {} of {}, {} of it {}", report.memory_stage, to_text(report.memory.peak()),
                    to_text(report.memory.capacity), to_text(size), part);
  }
}

void summarize(const SummaryInput& in, const Timeline& timeline, Report& report) {
  const Job& job = in.job;
  report.step_time = timeline.step.seconds();
  const double step = report.step_time.si();
  const double gpus = static_cast<double>(job.cluster.gpus);
  const double tokens = static_cast<double>(report.tokens_per_step);
  report.tokens_per_s = tokens / step;
  report.tokens_per_s_per_gpu = report.tokens_per_s / gpus;

  const FlopsInput flops{job.model,
                         report.active_parameters,
                         in.padded_vocab,
                         job.plan.attention_length.value_or(static_cast<double>(job.plan.sequence_length)),
                         job.plan.recompute == "full",
                         job.plan.lora.has_value(),
                         static_cast<double>(job.plan.decoder_length.value_or(job.plan.sequence_length)) /
                             static_cast<double>(job.plan.sequence_length)};
  const double rate = tokens / step / gpus / report.mfu_peak.si();
  for (const FlopsConvention& convention : flops_conventions()) {
    auto& table = convention.counts_recompute ? report.hfu_by_convention : report.mfu_by_convention;
    table[std::string(convention.name)] = convention.per_token(flops) * rate;
  }
  const double executed = executed_flops(in) / step / report.mfu_peak.si();
  report.hfu_by_convention["executed"] = executed;
  report.hfu = executed;
  const FlopsConvention* convention = find_flops_convention(report.flops_convention);
  report.mfu = convention->per_token(flops) * rate;
  report.model_tflops_per_gpu = report.mfu * report.mfu_peak.si() / 1e12;

  // The busiest rank of each stage stands for it.
  Seconds busiest;
  for (std::size_t rank = 0; rank < timeline.buckets.size(); ++rank) {
    const auto stage = static_cast<std::size_t>(timeline.stage_of_rank[rank]);
    const Breakdown breakdown = breakdown_of(timeline.buckets[rank]);
    const Seconds busy = breakdown.total() - breakdown.bubble;
    Breakdown& of_stage = report.per_stage[stage].breakdown;
    if (busy > of_stage.total() - of_stage.bubble) of_stage = breakdown;
    if (rank == 0 || busy > busiest) {
      busiest = busy;
      report.breakdown = breakdown;
      report.busiest_stage = static_cast<int>(stage);
    }
  }
  report.bubble_fraction = report.breakdown.bubble / report.step_time;
  report.operators = operator_times(in, report.busiest_stage);
  report.roofs = roofs_of(job.cluster.gpu, job.plan.precision, report.operators);
  report.leans_on = leans_on(report.operators, report.busiest_stage);
  report.simulation.ranks = static_cast<std::int64_t>(timeline.buckets.size());
  report.simulation.instructions = timeline.instructions;
  report.simulation.events = timeline.events;
}

}  // namespace stepcast
