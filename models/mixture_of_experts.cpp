/// Mixture-of-experts layers: operators as in Megatron-LM `moe_layer.py`; shared experts see every token
/// (DeepSeekMoE, arXiv 2401.06066).

#include "models/families.hpp"
#include "models/parts.hpp"

namespace stepcast {

void add_experts(const Architecture& model, Block& layer) {
  const MixtureOfExperts& moe = *model.moe;
  const std::int64_t h = model.hidden;
  const std::int64_t f = moe.expert_ffn;
  const std::int64_t gates = model.gated() ? 2 : 1;
  const Routing routing{moe.experts, moe.top_k, moe.capacity_factor.value_or(0), moe.groups, moe.groups_per_token};
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  if (model.norm_place != NormPlace::after) add("mlp_norm", NormOp{model.norm}, module::layernorm);
  add("router", RouterOp{routing, model.bias}, module::moe);
  if (const std::int64_t shared = moe.shared_ffn.value_or(0); shared > 0) {
    constexpr unsigned both = module::moe | module::shared_experts;
    add("shared_fc1",
        LinearOp{.in = h,
                 .out = gates * shared,
                 .bias = model.bias,
                 .split = TensorSplit::column,
                 .parts = {},
                 .saves_input = false},  // the router keeps it
        both);
    add("shared_activation", ActivationOp{model.activation, shared, model.bias}, both);
    add("shared_fc2", LinearOp{.in = shared, .out = h, .bias = model.bias, .split = TensorSplit::row, .parts = {h}},
        both);
    if (moe.shared_gate) {
      add("shared_gate", LinearOp{.in = h, .out = 1, .split = TensorSplit::whole, .parts = {}, .saves_input = false},
          both);
    }
  }
  add("dispatch", DispatchOp{routing}, module::moe);
  add("expert_fc1", ExpertLinearOp{routing, h, gates * f, model.bias, TensorSplit::column}, module::moe);
  add("expert_activation", ActivationOp{model.activation, f, model.bias, routing},
      module::moe | module::expert_activation);
  add("expert_fc2", ExpertLinearOp{routing, f, h, model.bias, TensorSplit::row}, module::moe);
  add("combine", CombineOp{routing}, module::moe);
  add_norm_after(model, "mlp_norm_after", layer);
  add("mlp_residual", ResidualOp{model.bias, model.dropout.value_or(0)});
}

ModelGraph mixture_of_experts(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

}  // namespace stepcast
