/// Expert parallelism: the operators of a mixture-of-experts layer on one rank (Megatron-LM `moe_layer.py`,
/// `token_dispatcher.py`, `experts.py`).
///
/// A rank sends the rows of its T_sp tokens (k each) to the ranks of their experts, which multiply them in one launch a
/// linear, and get the results back. The backward pass mirrors that: the gradient of a combination is dispatched, and that
/// of a dispatch combined.

#include "simulator/parallelism/block_builder.hpp"

namespace stepcast {

double expert_rows(const Sharding& sharding, const Routing& routing) {
  const double sent = sharding.stored_tokens() * static_cast<double>(routing.top_k) * sharding.expert.tensor;
  return sent * (routing.capacity_factor > 0 ? routing.capacity_factor : sharding.expert.load);
}

double local_experts(const Sharding& sharding, const Routing& routing) {
  return static_cast<double>(routing.experts) / sharding.expert.parallel;
}

double BlockBuilder::width_of(const ActivationOp& activation) const {
  return static_cast<double>(activation.width) / (activation.routing.experts > 0 ? s_.expert.tensor : t_);
}

// --- exchange ---------------------------------------------------------------------------------------------------

namespace {

/// One exchange of a microbatch, on the busiest rank.
TokenExchange token_exchange(const Sharding& s, const Routing& routing, double row) {
  const double padded = routing.capacity_factor > 0 ? routing.capacity_factor : s.expert.load;
  return {.tokens = s.stored_tokens() * padded,
          .experts = static_cast<double>(routing.experts),
          .copies = static_cast<double>(routing.top_k),
          .row = row,
          .groups = static_cast<double>(routing.groups),
          .groups_taken = static_cast<double>(routing.groups_taken),
          .group = s.expert.group};
}

}  // namespace

void BlockBuilder::exchange_tokens(std::string_view name, const Collective& exchange, Pass pass, OpList& ops) {
  if (s_.expert.parallel == 1) return;
  ops.push_back(
      {.name = name, .pass = pass, .work = exchange, .lane = Lane::expert, .after = static_cast<int>(ops.size()) - 1});
  const auto sent = static_cast<int>(ops.size()) - 1;
  // What goes to the experts first: tokens forward, their results' gradients backward.
  const bool first = name == "dispatch";
  pending_ = later_ = -1;
  pass == Pass::backward_input ? backward_beside(!first, ops) : forward_beside(first, pass, ops);
  await_first(sent);
}

void BlockBuilder::expert_tensor_collective(const Routing& routing, std::string_view name, CollectiveKind kind,
                                            Pass pass, OpList& ops) {
  if (s_.expert.tensor == 1) return;
  ops.push_back({.name = name,
                 .pass = pass,
                 .work = Collective{kind, GroupKind::expert_tensor, Bytes(e_ * expert_rows(s_, routing) * h_)},
                 .lane = Lane::comm,
                 .after = static_cast<int>(ops.size()) - 1});
  await(static_cast<int>(ops.size()) - 1);
}

/// Rows are put in the order of their ranks, sent, and put in the order of their experts.
void BlockBuilder::send_to_experts(const Routing& routing, double element, Pass pass, OpList& ops) {
  const TokenExchange exchange = token_exchange(s_, routing, e_ * h_);
  const Dispatcher& dispatcher = *s_.expert.dispatcher;
  const double rows = expert_rows(s_, routing);
  const bool alone = s_.expert.parallel == 1;
  if (dispatcher.sorts_by_rank || alone) {  // each token read once, its copies written
    memory(ops, "permute", pass, (1 + exchange.copies) * exchange.tokens * exchange.row);
  }
  exchange_tokens("dispatch", dispatcher.dispatch(token_exchange(s_, routing, element * h_)), pass, ops);
  expert_tensor_collective(routing, "all_gather_expert_input", CollectiveKind::all_gather, pass, ops);
  if (alone) return;
  if (!dispatcher.sorts_by_rank) {
    memory(ops, "permute", pass, (dispatcher.arriving(exchange) * s_.expert.tensor + rows) * exchange.row);
  } else if (local_experts(s_, routing) > 1) {
    memory(ops, "sort_by_expert", pass, 2 * rows * exchange.row);
  }
}

/// The same in reverse: rows that belong to one token are summed where they meet.
void BlockBuilder::send_to_tokens(const Routing& routing, Pass pass, OpList& ops) {
  const TokenExchange exchange = token_exchange(s_, routing, e_ * h_);
  const Dispatcher& dispatcher = *s_.expert.dispatcher;
  const double rows = expert_rows(s_, routing);
  const bool alone = s_.expert.parallel == 1;
  if (!alone && !dispatcher.sorts_by_rank) {
    memory(ops, "unpermute", pass, (dispatcher.arriving(exchange) * s_.expert.tensor + rows) * exchange.row);
  } else if (!alone && local_experts(s_, routing) > 1) {
    memory(ops, "sort_by_rank", pass, 2 * rows * exchange.row);
  }
  expert_tensor_collective(routing, "reduce_scatter_expert_output", CollectiveKind::reduce_scatter, pass, ops);
  exchange_tokens("combine", dispatcher.combine(exchange), pass, ops);
  if (dispatcher.sorts_by_rank || alone) {
    memory(ops, "unpermute", pass, (1 + exchange.copies) * exchange.tokens * exchange.row);
  }
}

// --- shared experts ---------------------------------------------------------------------------------------------

/// Megatron-LM shared_experts.py, `--moe-shared-expert-overlap`: the first linear and the activation run beside the
/// dispatch, the second linear beside the combination. It does not go with computing them again.
bool BlockBuilder::waits_for_exchange(const ModelOp& op) const {
  if (!s_.expert.overlap_shared || s_.expert.parallel == 1 || (op.modules & module::shared_experts) == 0) return false;
  return !recomputed_ || (s_.recompute_modules & (module::shared_experts | module::moe)) == 0;
}

namespace {

bool in_first_half(const ModelOp& op) {
  const auto* linear = std::get_if<LinearOp>(&op.what);
  return linear == nullptr || linear->split == TensorSplit::column;
}

}  // namespace

void BlockBuilder::forward_beside(bool first_half, Pass pass, OpList& ops) {
  for (const ModelOp& op : block_.ops) {
    if (!waits_for_exchange(op) || in_first_half(op) != first_half) continue;
    std::visit([&](const auto& what) { forward(what, op.name, pass, ops); }, op.what);
  }
}

void BlockBuilder::backward_beside(bool first_half, OpList& ops) {
  const bool frozen = frozen_, passes_gradient = passes_gradient_;
  for (std::size_t i = block_.ops.size(); i-- > first_with_backward();) {
    if (waits_for_exchange(block_.ops[i]) && in_first_half(block_.ops[i]) == first_half) backward_at(i, ops);
  }
  frozen_ = frozen;
  passes_gradient_ = passes_gradient;
}

// --- forward ----------------------------------------------------------------------------------------------------

void BlockBuilder::forward(const RouterOp& router, std::string_view name, Pass pass, OpList& ops) {
  const double experts = static_cast<double>(router.routing.experts);
  kernel(ops, name, pass, Gemm{.m = T_sp_, .n = experts, .k = h_, .precision = wide_precision(), .layout = Layout::tn});
  const double kernels = framework_.router_kernels;
  memory(ops, "router_scores", pass, kernels * 8 * T_sp_ * experts, kernels);  // fp32 in and out
}

void BlockBuilder::forward(const DispatchOp& dispatch, std::string_view, Pass pass, OpList& ops) {
  send_to_experts(dispatch.routing, s_.expert.element, pass, ops);
}

void BlockBuilder::forward(const ExpertLinearOp& linear, std::string_view name, Pass pass, OpList& ops) {
  const double experts = local_experts(s_, linear.routing);
  const double rows = expert_rows(s_, linear.routing);
  const bool row = linear.split == TensorSplit::row;
  const double k = static_cast<double>(linear.in) / (row ? s_.expert.tensor : 1);
  const double n = static_cast<double>(linear.out) / (row ? 1 : s_.expert.tensor);
  quantise(ops, pass, rows * k, experts * n * k);
  kernel(ops, name, pass,
         GroupedGemm{.experts = experts,
                     .m = rows / experts,
                     .n = n,
                     .k = k,
                     .precision = linear_precision(),
                     .layout = Layout::tn});
}

void BlockBuilder::forward(const CombineOp& combine, std::string_view, Pass pass, OpList& ops) {
  send_to_tokens(combine.routing, pass, ops);
}

// --- backward ---------------------------------------------------------------------------------------------------

void BlockBuilder::backward(const CombineOp& combine, std::string_view, OpList& ops) {
  send_to_experts(combine.routing, e_, Pass::backward_input, ops);
}

void BlockBuilder::backward(const ExpertLinearOp& linear, std::string_view name, OpList& ops) {
  const double experts = local_experts(s_, linear.routing);
  const double rows = expert_rows(s_, linear.routing);
  const bool row = linear.split == TensorSplit::row;
  const double k = static_cast<double>(linear.in) / (row ? s_.expert.tensor : 1);
  const double n = static_cast<double>(linear.out) / (row ? 1 : s_.expert.tensor);
  quantise_backward(ops, rows * n, rows * k, experts * n * k);
  kernel(ops, name, Pass::backward_input,
         GroupedGemm{.experts = experts,
                     .m = rows / experts,
                     .n = k,
                     .k = n,
                     .precision = linear_precision(),
                     .layout = Layout::nn});
  if (frozen_) return;
  kernel(ops, name, Pass::backward_weight,
         GroupedGemm{.experts = experts,
                     .m = k,
                     .n = n,
                     .k = rows / experts,
                     .precision = linear_precision(),
                     .layout = Layout::nt,
                     .accumulate_fp32 = *framework_.gradient_accumulation_fusion && s_.gradient == 4});
  accumulate_weight_gradient(ops, experts * n * k);
  if (linear.bias) memory(ops, "bias_gradient", Pass::backward_weight, e_ * rows * n);
}

void BlockBuilder::backward(const DispatchOp& dispatch, std::string_view, OpList& ops) {
  send_to_tokens(dispatch.routing, Pass::backward_input, ops);
}

void BlockBuilder::backward(const RouterOp& router, std::string_view name, OpList& ops) {
  const double experts = static_cast<double>(router.routing.experts);
  const double kernels = framework_.router_kernels;
  memory(ops, "router_scores", Pass::backward_input, kernels * 8 * T_sp_ * experts, kernels);
  kernel(ops, name, Pass::backward_input,
         Gemm{.m = T_sp_, .n = h_, .k = experts, .precision = wide_precision(), .layout = Layout::nn});
  if (frozen_) return;
  kernel(ops, name, Pass::backward_weight,
         Gemm{.m = h_, .n = experts, .k = T_sp_, .precision = wide_precision(), .layout = Layout::nt});
}

}  // namespace stepcast
