#pragma once
/// What a rank runs once a step over its gradients and parameters, all of it bound by memory.

#include "simulator/profiles/framework.hpp"
#include "simulator/workload/plan.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// Bytes read and written; zero: the framework does without.
struct StepWork {
  Bytes clear;   ///< the gradient buffer is zeroed before the first backward pass
  Bytes scale;   ///< gradients divided by the number of data ranks before they are reduced
  Bytes norm;    ///< read for the norm of all gradients
  Bytes update;  ///< clipping, Adam, and the copy to the training precision; clipping alone when Adam runs on the CPU
  double owned = 0;  ///< trained parameters that this rank updates
};

/// Of one rank of a pipeline stage. A sharded optimizer updates the rank's own share (Megatron-LM distrib_optimizer.py).
StepWork step_work(const ShardedModel& model, int stage, const ParallelPlan& plan, const Framework& framework);

}  // namespace stepcast
