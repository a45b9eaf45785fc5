#pragma once
/// In which type gradients are accumulated and reduced: what a framework does with what the plan says.

#include "simulator/profiles/framework.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// Bytes of an element that is computed with: activations and the gradients that autograd makes (2 under fp8).
double computed_bytes(const ParallelPlan& plan);

/// Bytes of an element of the data-parallel reduction. The plan's type is resolved.
double reduced_bytes(const ParallelPlan& plan);

/// Bytes of an element of the sum over microbatches, by the framework's `gradient_dtype`.
double accumulated_bytes(const ParallelPlan& plan, const Framework& framework);

/// Bytes of gradients alive per parameter at the end of a backward pass: the sum, and autograd's own gradients beside
/// it where the framework keeps them until the pass is over.
double held_bytes(const ParallelPlan& plan, const Framework& framework);

}  // namespace stepcast
