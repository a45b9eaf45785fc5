#pragma once
/// From a sharded model to the programs of its ranks: the schedule's passes, the exchanges between pipeline stages,
/// the reduction of gradients and the optimizer, on the streams that the framework uses.

#include "simulator/cluster/cluster.hpp"
#include "simulator/execution/costs.hpp"
#include "simulator/execution/options.hpp"
#include "simulator/execution/pass_costs.hpp"
#include "simulator/execution/programs.hpp"
#include "simulator/profiles/framework.hpp"
#include "simulator/schedules/schedule.hpp"
#include "simulator/workload/pipeline_order.hpp"
#include "simulator/workload/plan.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// What lowering needs of a job; every choice in it is made.
struct LoweringInput {
  const ShardedModel& model;
  const ParallelPlan& plan;
  const Framework& framework;
  const Cluster& cluster;
  const CostModel& costs;
  const PassCosts& passes;
  const PipelineOrder& order;
  Bytes boundary;              ///< activation that one GPU sends to the next stage
  Bytes boundary_gather;       ///< tensor that tensor-parallel ranks then all_gather (0: none)
  double hidden = 1;           ///< width of the model's matrices
  double gradient_bytes = 4;   ///< per parameter, as reduced
  double parameter_bytes = 2;  ///< per parameter, as gathered
  Granularity granularity = Granularity::chunk;
  std::int64_t microbatches = 0;  ///< to write down, when not all of the plan's (see step_time.hpp)
  bool uniform = false;  ///< instructions at the step's end that this plan has no need of are there, and take no time

  PipelineShape shape() const {
    PipelineShape shape = pipeline_shape(plan);
    if (microbatches > 0) shape.microbatches = microbatches;
    return shape;
  }
};

/// How a stage's program was written: group of passes after group, between one exchange and the next.
struct PassGroup {
  std::int32_t first_step = 0, first_instruction = 0;
  std::int32_t like =
      -1;  ///< the group before it that differs in its microbatches alone; -1: none, or data parallelism acts
};
struct Outline {
  std::vector<std::vector<PassGroup>> groups;  ///< by stage, and one behind the last
};

/// @param outline  filled in when not null
Programs lower(const LoweringInput& input, Outline* outline = nullptr);

/// Goes through programs that were lowered for another plan with the same order of passes, and finds what their
/// instructions take in this one. Groups that are like one before it are taken from there.
/// @param durations  of one stage's instructions after the other's
/// @return false when lowering would write other programs: then the durations mean nothing
bool lower_again(const LoweringInput& input, const Programs& known, const Outline& outline,
                 std::vector<SimTime>& durations);

}  // namespace stepcast
