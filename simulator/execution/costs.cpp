#include "simulator/execution/costs.hpp"

#include <algorithm>
#include <array>

#include "simulator/collectives/collective_time.hpp"
#include "simulator/collectives/communicator.hpp"
#include "simulator/engine/expected_slowest.hpp"

namespace stepcast {

CostModel::CostModel(const Cluster& cluster, const ParallelPlan& plan, bool expected_spread)
    : cluster_(cluster), plan_(plan), expected_spread_(expected_spread), order_(parse_rank_order(plan.placement)) {
  std::vector<GemmModel> gemm;
  for (std::size_t p = 0; p < precision_names.size(); ++p) gemm.emplace_back(cluster.gpu, static_cast<Precision>(p));
  gemm_ = std::make_shared<const std::vector<GemmModel>>(std::move(gemm));
  expect_spread();
}

CostModel::CostModel(const CostModel& other, const ParallelPlan& plan)
    : cluster_(other.cluster_),
      plan_(plan),
      expected_spread_(other.expected_spread_),
      order_(plan.placement == other.plan_.placement ? other.order_ : parse_rank_order(plan.placement)),
      sharding_cluster_(other.sharding_cluster_),
      gemm_(other.gemm_) {
  expect_spread();
}

void CostModel::expect_spread() {
  if (!expected_spread_) return;
  clock_slowdown_ = 1 + cluster_.gpu.speed_spread * expected_slowest(static_cast<double>(plan_.gpus_in_step()));
  launch_slowdown_ = 1 + cluster_.gpu.launch_spread * expected_slowest(plan_.tensor_parallel);
}

namespace {

using enum RankDimension;

Placement dense_placement(const RankOrder& order, const ParallelPlan& plan) {
  return {order, {plan.tensor_parallel, plan.context_parallel, 1, plan.data_parallel, plan.pipeline_parallel}};
}

/// Experts share out the ranks of a stage anew: their own tensor parallelism, then expert parallelism, and replicas.
Placement expert_placement(const RankOrder& order, const ParallelPlan& plan) {
  return {
      order,
      {plan.expert_tensor_parallel.value_or(1), 1, plan.expert_parallel, plan.expert_copies(), plan.pipeline_parallel}};
}

}  // namespace

GroupShape CostModel::shape(GroupKind group) const {
  const auto along = [&](const Placement& placement, std::initializer_list<RankDimension> dimensions) {
    return placement.shape(cluster_, {dimensions.begin(), dimensions.size()});
  };
  switch (group) {
    case GroupKind::tensor: return along(dense_placement(order_, plan_), {tensor});
    case GroupKind::context: return along(dense_placement(order_, plan_), {context});
    case GroupKind::data:
      return along(dense_placement(order_, plan_), {context, data});  // gradients are reduced over both
    case GroupKind::expert: return along(expert_placement(order_, plan_), {expert});
    case GroupKind::expert_tensor: return along(expert_placement(order_, plan_), {tensor});
    case GroupKind::expert_data: return along(expert_placement(order_, plan_), {data});
    case GroupKind::data_inner: return data_inner_shape();
    case GroupKind::data_outer: {
      const Placement dense = dense_placement(order_, plan_);
      const std::int64_t inner = plan_.data_inner(), cp = plan_.context_parallel;
      const std::int64_t stride =
          inner < cp ? dense.stride(context) * inner : dense.stride(data) * std::max<std::int64_t>(1, inner / cp);
      return group_shape(cluster_, plan_.dense_copies() / inner, stride);
    }
    case GroupKind::context_inner:
      return group_shape(cluster_, plan_.context_inner(), dense_placement(order_, plan_).stride(context));
    case GroupKind::context_outer:
      return group_shape(cluster_, plan_.context_parallel / plan_.context_inner(),
                         dense_placement(order_, plan_).stride(context) * plan_.context_inner());
    case GroupKind::tensor_row:
      return group_shape(cluster_, plan_.tensor_side(), dense_placement(order_, plan_).stride(tensor));
    case GroupKind::tensor_column:
      return group_shape(cluster_, plan_.tensor_side(),
                         dense_placement(order_, plan_).stride(tensor) * plan_.tensor_side());
    case GroupKind::tensor_depth: {
      const std::int64_t layer = std::int64_t{plan_.tensor_side()} * plan_.tensor_side();
      return group_shape(cluster_, plan_.tensor_parallel / layer,
                         dense_placement(order_, plan_).stride(tensor) * layer);
    }
    case GroupKind::embedding:  // the first stage and the last
      return group_shape(cluster_, 2, dense_placement(order_, plan_).stride(pipeline) * (plan_.pipeline_parallel - 1));
    case GroupKind::world: return group_shape(cluster_, plan_.gpus(), 1);
  }
  return {};
}

GroupShape CostModel::data_inner_shape() const {
  const std::int64_t inner = plan_.data_inner(), cp = plan_.context_parallel;
  ParallelPlan part = plan_;
  part.context_parallel = static_cast<int>(std::min(inner, cp));
  part.data_parallel = static_cast<int>(std::max<std::int64_t>(1, inner / cp));
  const RankDimension dimensions[] = {context, data};
  return dense_placement(order_, part).shape(cluster_, dimensions);
}

bool CostModel::stages_cross_network() const {
  return distance_crosses_network(cluster_, dense_placement(order_, plan_).stride(pipeline));
}

Seconds CostModel::collective(CollectiveKind kind, GroupKind group, Bytes size) const {
  const bool sharding = group == GroupKind::data || group == GroupKind::expert_data || group == GroupKind::data_inner;
  const Cluster& cluster = sharding && sharding_cluster_ ? *sharding_cluster_ : cluster_;
  return collective_time(kind, size, shape(group), cluster);
}

Bytes CostModel::wire(const Collective& collective) const {
  const GroupShape group = shape(collective.group);
  if (group.ranks <= 1) return Bytes(0);
  if (collective.exchange) return group.crosses_network() ? collective.exchange->outside : collective.exchange->inside;
  const double n = static_cast<double>(group.ranks), inside = static_cast<double>(group.per_domain);
  const double rounds = collective.kind == CollectiveKind::all_reduce ? 2 : 1;
  if (!group.crosses_network()) return rounds * (n - 1) / n * collective.size;
  if (collective.kind == CollectiveKind::all_to_all) return (n - inside) / n * collective.size;
  return rounds * (n - 1) / n * collective.size / inside;  // the ring's channels share the NICs of a domain's members
}

double CostModel::sms(GroupKind group) const {
  const GroupShape of = shape(group);
  if (of.ranks <= 1 || nccl_generation(cluster_.gpu.generation) == nullptr) return 0;
  return communicator(of, cluster_).channels;
}

Bytes memory_traffic(const Collective& collective) {
  switch (collective.kind) {
    case CollectiveKind::all_reduce: return 2.5 * collective.size;
    case CollectiveKind::reduce_scatter: return 3.0 * collective.size;
    default: return 2.0 * collective.size;
  }
}

void CostModel::limit_sharding_nics(int nics) {
  if (nics >= cluster_.fabric.nics_per_node) return;
  Cluster limited = cluster_;
  limited.fabric.nics_per_node = nics;
  sharding_cluster_ = std::make_shared<const Cluster>(std::move(limited));
}

Seconds CostModel::memory_pass(Bytes bytes) const {
  return op({.name = "", .pass = Pass::step, .work = MemoryBound{bytes, 1}}).duration.seconds();
}

KernelTime CostModel::kernel_time(const LocalOp& op) const {
  if (const auto* gemm = std::get_if<Gemm>(&op.work))
    return (*gemm_)[static_cast<std::size_t>(gemm->precision)].time(*gemm);
  if (const auto* grouped = std::get_if<GroupedGemm>(&op.work)) {
    return (*gemm_)[static_cast<std::size_t>(grouped->precision)].time(*grouped);
  }
  if (const auto* attention = std::get_if<AttentionKernel>(&op.work)) return attention_time(*attention, cluster_.gpu);
  return memory_time(std::get<MemoryBound>(op.work), cluster_.gpu);
}

namespace {

Bucket bucket_of(GroupKind group) {
  switch (group) {
    case GroupKind::context:
    case GroupKind::context_inner:
    case GroupKind::context_outer: return Bucket::cp_comm;
    case GroupKind::data:
    case GroupKind::data_inner:
    case GroupKind::data_outer: return Bucket::dp_comm;
    case GroupKind::expert:
    case GroupKind::expert_tensor: return Bucket::ep_comm;
    default: return Bucket::tp_comm;
  }
}

}  // namespace

OpCost CostModel::op(const LocalOp& op) const {
  if (const auto* collective_op = std::get_if<Collective>(&op.work)) {
    const auto& [kind, group, size, exchange] = *collective_op;
    const Seconds time =
        exchange ? token_exchange_time(*exchange, shape(group), cluster_) : collective(kind, group, size);
    const Bucket bucket = bucket_of(group);
    return {to_ticks(time), time, bucket, Bound::network, evidence_of(cluster_.node.intra.efficiency.basis), false};
  }
  const KernelTime kernel = kernel_time(op);
  const double slowdown = (kernel.clocked ? clock_slowdown_ : 1) * launch_slowdown_;
  return {to_ticks(kernel.time * slowdown * op.stretch + *cluster_.gpu.launch_gap),
          kernel.time,
          Bucket::compute,
          kernel.bound,
          kernel.evidence,
          kernel.clocked};
}

namespace {

/// One operator of a list that is being folded.
struct Placed {
  SimTime start, end;
  Bucket bucket{};
  int held_up_by = -1;  ///< what of its lane's order and its dependency ended last
};

/// Charges the idle stretch [from, to) of the compute lane to the collective that ended it, and what of the stretch lies
/// before that one's start to the one that held it up.
void charge(const std::vector<Placed>& placed, int cause, SimTime from, SimTime to, BucketTimes& parts) {
  while (to > from && cause >= 0) {
    const Placed& comm = placed[static_cast<std::size_t>(cause)];
    const SimTime began = std::max(from, comm.start);
    parts[static_cast<std::size_t>(comm.bucket)] += to - began;
    to = began;
    cause = comm.held_up_by;
  }
}

}  // namespace

FoldedPass CostModel::fold(const OpList& ops, Seconds host_time) const {
  FoldedPass folded;
  std::vector<Placed> placed(ops.size());
  std::array<int, lane_count> last;
  last.fill(-1);
  const auto end_of = [&](int index) { return index < 0 ? SimTime{} : placed[static_cast<std::size_t>(index)].end; };
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const OpCost cost = op(ops[i]);
    int& previous = last[static_cast<std::size_t>(ops[i].lane)];
    const SimTime free = end_of(previous);
    Placed& at = placed[i];
    const SimTime ready = end_of(ops[i].after);
    at = {std::max(free, ready), {}, cost.bucket, ready > free ? ops[i].after : previous};
    at.end = at.start + cost.duration;
    if (ops[i].lane == Lane::compute) {
      charge(placed, ops[i].after, free, at.start, folded.parts);
      folded.parts[static_cast<std::size_t>(cost.bucket)] += cost.duration;
      if (cost.clocked) folded.clocked += cost.duration;
    }
    previous = static_cast<int>(i);
  }
  const SimTime compute = end_of(last[0]);
  const int latest = end_of(last[2]) > end_of(last[1]) ? last[2] : last[1];
  const SimTime gpu = std::max(compute, end_of(latest));
  charge(placed, latest, compute, gpu, folded.parts);
  folded.duration = std::max(gpu, to_ticks(host_time));
  folded.parts[static_cast<std::size_t>(Bucket::host)] = folded.duration - gpu;
  return folded;
}

}  // namespace stepcast
