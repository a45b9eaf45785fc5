/// Multi-head latent attention: DeepSeek-V2 (arXiv 2405.04434) section 2.1, operators and their tensor-parallel splits as
/// in Megatron-LM `multi_latent_attention.py`.
///
/// r_q, r_kv: ranks of the latents; n, r, v: head dimensions without positions, with rotary positions, of values.
/// Down-projections are whole on every rank and run on the tokens that it stores.

#include "models/families.hpp"
#include "models/parts.hpp"

namespace stepcast {

void add_latent_attention(const Architecture& model, Block& layer) {
  const LatentAttention& mla = *model.mla;
  const std::int64_t h = model.hidden;
  const std::int64_t a = model.heads;
  const std::int64_t qk = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
  const std::int64_t v = mla.v_head_dim;
  const double dropout = model.dropout.value_or(0);
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  add("input_norm", NormOp{model.norm}, module::layernorm);
  if (mla.q_lora_rank) {
    add("q_down", LinearOp{.in = h, .out = *mla.q_lora_rank, .split = TensorSplit::whole, .parts = {}});
    add("q_norm", NormOp{model.norm, *mla.q_lora_rank});
    add("q_up", LinearOp{.in = *mla.q_lora_rank, .out = a * qk, .split = TensorSplit::column, .parts = {}},
        module::latent_up_projection);
  } else {
    add("linear_q", LinearOp{.in = h, .out = a * qk, .split = TensorSplit::column, .parts = {}},
        module::latent_up_projection);
  }
  add("kv_down", LinearOp{.in = h,
                          .out = mla.kv_lora_rank + mla.qk_rope_head_dim,
                          .split = TensorSplit::whole,
                          .parts = {},
                          .saves_input = false});
  add("kv_norm", NormOp{model.norm, mla.kv_lora_rank});
  add("kv_up",
      LinearOp{
          .in = mla.kv_lora_rank, .out = a * (mla.qk_nope_head_dim + v), .split = TensorSplit::column, .parts = {}},
      module::latent_up_projection);
  // Heads of q and k are put together from their two parts, and v is made contiguous.
  add("rotary", RotaryOp{.width = a * (2 * qk + v), .assembles = true}, module::latent_up_projection);
  add("core_attention", CoreAttentionOp{.heads = a, .kv_heads = a, .head_dim = qk, .head_dim_v = v, .dropout = dropout},
      module::core_attention);
  add("linear_proj", LinearOp{.in = a * v, .out = h, .bias = model.bias, .split = TensorSplit::row, .parts = {h}});
  add("attention_residual", ResidualOp{model.bias, dropout});
}

ModelGraph latent_attention(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

}  // namespace stepcast
