#pragma once
/// Operator lists of passes: a backward pass in its two parts, and two passes that share the GPU.

#include <vector>

#include "simulator/execution/costs.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// Of a backward pass, what the stage before waits for (with what is computed again), or the weight gradients.
OpList input_gradients(const OpList& backward);
OpList weight_gradients(const OpList& backward);

/// One block after another. The first operator of a block follows the last of the one before.
OpList in_turn(const std::vector<std::pair<const OpList*, int>>& blocks);

/// Two passes of different microbatches on the same lanes. Each keeps its order; of their next operators the one that
/// can start sooner comes first, so that one pass computes while the other waits for an exchange (Megatron-LM
/// `combined_1f1b.py`, DualPipe). A kernel beside an exchange has `sms_left` of the multiprocessors, as a share, for as long as both
/// run.
OpList side_by_side(const OpList& one, const OpList& other, const CostModel& costs, double sms_left);

/// Stretches the products of each block that run beside a collective of Transformer Engine's userbuffers, by the
/// multiprocessors that it takes and for as long as it takes them. Ring exchanges go by copy engine and take none.
void share_multiprocessors(ShardedModel& model, const CostModel& costs, double sms_left);

}  // namespace stepcast
