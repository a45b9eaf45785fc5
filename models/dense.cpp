/// Dense decoder-only transformers. Operator order: Megatron-LM `TransformerLayer.forward`; parameter counts:
/// Narayanan et al. 2021 (arXiv 2104.04473) equation 2 for GPT, the published counts for Llama.

#include "models/families.hpp"
#include "models/parts.hpp"

namespace stepcast {

void add_attention(const Architecture& model, std::int64_t window, Block& layer) {
  const std::int64_t h = model.hidden;
  const std::int64_t q = model.heads * model.head_dim;
  const std::int64_t kv = model.kv_heads * model.head_dim;
  const double dropout = model.dropout.value_or(0);
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  add("input_norm", NormOp{model.norm}, module::layernorm);
  add("linear_qkv", LinearOp{.in = h,
                             .out = q + 2 * kv,
                             .bias = model.bias || model.qkv_bias,
                             .split = TensorSplit::column,
                             .parts = {q, kv, kv}});
  if (model.position == Position::rope) add("rotary", RotaryOp{.width = q + kv});
  add("core_attention",
      CoreAttentionOp{.heads = model.heads,
                      .kv_heads = model.kv_heads,
                      .head_dim = model.head_dim,
                      .head_dim_v = model.head_dim,
                      .window = window,
                      .alibi = model.position == Position::alibi,
                      .dropout = dropout},
      module::core_attention);
  add("linear_proj", LinearOp{.in = q,
                              .out = h,
                              .bias = model.bias,
                              .split = TensorSplit::row,
                              .parts = {h},
                              .ends_region = !model.parallel_block});
  if (!model.parallel_block) add("attention_residual", ResidualOp{model.bias, dropout});
}

void add_mlp(const Architecture& model, Block& layer) {
  const std::int64_t h = model.hidden;
  const std::int64_t f = model.ffn.value_or(0);
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  add("mlp_norm", NormOp{model.norm},
      module::layernorm);  // GPT-NeoX's parallel block has its own norm for the MLP as well
  add("linear_fc1",
      LinearOp{.in = h,
               .out = model.gated() ? 2 * f : f,
               .bias = model.bias,
               .split = TensorSplit::column,
               .parts = model.gated() ? std::vector<std::int64_t>{f, f} : std::vector<std::int64_t>{f},
               .starts_region = !model.parallel_block},
      module::mlp);
  add("activation", ActivationOp{model.activation, f, model.bias}, module::mlp);
  add("linear_fc2", LinearOp{.in = f, .out = h, .bias = model.bias, .split = TensorSplit::row, .parts = {h}},
      module::mlp);
  add("mlp_residual", ResidualOp{model.bias, model.dropout.value_or(0)});
}

ModelGraph dense_transformer(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return decoder(model, vocab, positions);
}

}  // namespace stepcast
