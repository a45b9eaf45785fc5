#pragma once
/// Durations: every operator and collective of a job in ticks.

#include <memory>
#include <optional>
#include <vector>

#include "simulator/cluster/placement.hpp"
#include "simulator/execution/options.hpp"
#include "simulator/execution/programs.hpp"
#include "simulator/kernels/gemm_model.hpp"
#include "simulator/workload/plan.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// One operator as it runs.
struct OpCost {
  SimTime duration;  ///< with the gap to the next kernel, and the expected wait for the slowest rank
  Seconds bare;      ///< of the kernel alone
  Bucket bucket{};
  Bound bound{};
  Evidence evidence{};
  bool clocked = false;
};

/// A pass of a block, folded: nothing inside it can contend.
struct FoldedPass {
  SimTime duration;
  SimTime clocked;
  BucketTimes parts{};  ///< sums to the duration
};

/// What a ring reads and writes on each GPU: an all_gather every byte once each, a reduce_scatter reads twice (NVIDIA
/// forum 337991; modelled as 2 to 3 bytes a byte of the tensor).
Bytes memory_traffic(const Collective& collective);

class CostModel {
 public:
  /// @param expected_spread  add the expected wait for the slowest of the ranks that synchronise
  CostModel(const Cluster& cluster, const ParallelPlan& plan, bool expected_spread);
  /// The same machines under another plan.
  CostModel(const CostModel& other, const ParallelPlan& plan);

  /// Gathers and scatters of fully sharded parameters reach the network through only that many NICs of a node.
  void limit_sharding_nics(int nics);

  OpCost op(const LocalOp& op) const;
  Seconds collective(CollectiveKind kind, GroupKind group, Bytes size) const;
  /// What a collective moves over each link that it crosses: NVLinks inside a domain, else the members' NICs.
  Bytes wire(const Collective& collective) const;
  /// SMs that a collective of the group keeps busy: one a channel.
  double sms(GroupKind group) const;
  GroupShape shape(GroupKind group) const;
  /// A rank of the next pipeline stage is in another NVLink domain.
  bool stages_cross_network() const;
  /// One kernel that moves that many bytes.
  Seconds memory_pass(Bytes bytes) const;

  /// Runs a list on its two lanes and joins them at the end; pads to what the host needs to launch it.
  FoldedPass fold(const OpList& ops, Seconds host_time) const;

 private:
  KernelTime kernel_time(const LocalOp& op) const;
  GroupShape data_inner_shape() const;

  void expect_spread();

  const Cluster& cluster_;
  const ParallelPlan& plan_;
  bool expected_spread_;
  RankOrder order_;
  std::shared_ptr<const Cluster> sharding_cluster_;     ///< with fewer NICs
  std::shared_ptr<const std::vector<GemmModel>> gemm_;  ///< by precision
  double clock_slowdown_ = 1;   ///< of the slowest GPU of the job, on kernels that follow the clock
  double launch_slowdown_ = 1;  ///< of the slowest of a tensor-parallel group, on each region between collectives
};

}  // namespace stepcast
