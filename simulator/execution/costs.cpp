#include "simulator/execution/costs.hpp"

#include <algorithm>

#include "simulator/collectives/collective_time.hpp"
#include "simulator/engine/expected_slowest.hpp"

namespace stepcast {

CostModel::CostModel(const Cluster& cluster, const ParallelPlan& plan, bool expected_spread)
    : cluster_(cluster), plan_(plan) {
  for (std::size_t p = 0; p < precision_names.size(); ++p) gemm_.emplace_back(cluster.gpu, static_cast<Precision>(p));
  if (!expected_spread) return;
  clock_slowdown_ = 1 + cluster.gpu.speed_spread * expected_slowest(static_cast<double>(plan.gpus()));
  launch_slowdown_ = 1 + cluster.gpu.launch_spread * expected_slowest(plan.tensor_parallel);
}

GroupShape CostModel::shape(GroupKind group) const {
  const std::int64_t t = plan_.tensor_parallel;
  const std::int64_t c = plan_.context_parallel;
  const std::int64_t d = plan_.data_parallel;
  const std::int64_t p = plan_.pipeline_parallel;
  switch (group) {
    case GroupKind::tensor: return group_shape(cluster_, t, 1);
    case GroupKind::context: return group_shape(cluster_, c, t);
    case GroupKind::data: return group_shape(cluster_, d * c, t);   // gradients are reduced over both
    case GroupKind::expert: return group_shape(cluster_, plan_.expert_parallel, t);
    case GroupKind::embedding: return group_shape(cluster_, 2, t * c * d * (p - 1));
    case GroupKind::world: return group_shape(cluster_, plan_.gpus(), 1);
  }
  return {};
}

Seconds CostModel::collective(CollectiveKind kind, GroupKind group, Bytes size) const {
  return collective_time(kind, size, shape(group), cluster_);
}

KernelTime CostModel::kernel_time(const LocalOp& op) const {
  if (const auto* gemm = std::get_if<Gemm>(&op.work)) return gemm_[static_cast<std::size_t>(gemm->precision)].time(*gemm);
  if (const auto* grouped = std::get_if<GroupedGemm>(&op.work)) {
    return gemm_[static_cast<std::size_t>(grouped->precision)].time(*grouped);
  }
  if (const auto* attention = std::get_if<AttentionKernel>(&op.work)) return attention_time(*attention, cluster_.gpu);
  return memory_time(std::get<MemoryBound>(op.work), cluster_.gpu);
}

OpCost CostModel::op(const LocalOp& op) const {
  if (const auto* collective_op = std::get_if<Collective>(&op.work)) {
    const Seconds time =
        collective(collective_op->kind, collective_op->group, collective_op->size) * collective_op->exposed_share;
    return {to_ticks(time), time, Bucket::tp_comm, Bound::network,
            evidence_of(cluster_.node.intra.efficiency.basis), false};
  }
  const KernelTime kernel = kernel_time(op);
  const double slowdown = (kernel.clocked ? clock_slowdown_ : 1) * launch_slowdown_;
  return {to_ticks(kernel.time * slowdown + *cluster_.gpu.launch_gap), kernel.time, Bucket::compute,
          kernel.bound, kernel.evidence, kernel.clocked};
}

FoldedPass CostModel::fold(const OpList& ops, Seconds host_time) const {
  FoldedPass folded;
  std::vector<SimTime> finish(ops.size());
  SimTime lane_end[2];
  SimTime& compute_end = lane_end[0];
  SimTime busy;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const OpCost cost = op(ops[i]);
    SimTime& end = lane_end[static_cast<std::size_t>(ops[i].lane)];
    const SimTime ready = ops[i].after >= 0 ? finish[static_cast<std::size_t>(ops[i].after)] : SimTime{};
    end = std::max(end, ready) + cost.duration;
    finish[i] = end;
    if (ops[i].lane == Lane::compute) {
      busy += cost.duration;
      if (cost.clocked) folded.clocked += cost.duration;
    }
  }
  const SimTime gpu = std::max(compute_end, lane_end[1]);
  const SimTime host = to_ticks(host_time);
  folded.duration = std::max(gpu, host);
  folded.parts[static_cast<std::size_t>(Bucket::compute)] = busy;
  folded.parts[static_cast<std::size_t>(Bucket::tp_comm)] = gpu - busy;
  folded.parts[static_cast<std::size_t>(Bucket::host)] = folded.duration - gpu;
  return folded;
}

}  // namespace stepcast
