#pragma once
/// What no step of a plan can be shorter than, without simulating it.

#include "simulator/evaluator.hpp"

namespace stepcast {

/// A lower bound of `evaluator.step()`, admissible for every plan: simulating never finds less.
///
/// Of each stage that may take longest: what its compute stream runs (the passes of all microbatches in folded time, the
/// exchanges that block it, the work of the step's end), after a microbatch has come through the stages before it, and,
/// where the schedule ends with the backward pass of the first chunk, before gradients have gone back through them. The
/// norm of all gradients is a barrier: what comes before it on any stage, then what comes after it on any. Beside it, what
/// the stream of data parallelism has to carry when parameters are gathered block by block.
///
/// Passes in two parts count as the shorter of whole and parts; passes that share the GPU by what their kernels keep it
/// busy. Waiting inside the pipeline is left out, but for the way in and out: so the bound is a little low, and never high.
Seconds lower_bound(const Evaluator& evaluator);

}  // namespace stepcast
