/// Dense decoder-only transformers. Operator order: Megatron-LM `TransformerLayer.forward`; parameter counts:
/// Narayanan et al. 2021 (arXiv 2104.04473) equation 2 for GPT, the published counts for Llama.

#include <utility>

#include "models/families.hpp"
#include "models/parts.hpp"

namespace stepcast {

namespace {

/// Of queries and keys, before positions are turned into them.
void add_query_key_norms(const Architecture& model, Block& layer) {
  for (const auto& [name, heads] : {std::pair("q_norm", model.heads), {"k_norm", model.kv_heads}}) {
    if (model.qk_norm == QueryKeyNorm::head) {
      layer.ops.push_back({name, NormOp{.kind = model.norm, .width = model.head_dim, .vectors = heads}});
    } else if (model.qk_norm == QueryKeyNorm::width) {
      layer.ops.push_back({name, NormOp{.kind = model.norm, .width = heads * model.head_dim, .vectors = 1}});
    }
  }
}

}  // namespace

void add_norm_after(const Architecture& model, std::string_view name, Block& layer) {
  if (model.norm_place != NormPlace::before) layer.ops.push_back({name, NormOp{model.norm}, module::layernorm});
}

void add_attention(const Architecture& model, std::int64_t window, bool causal, Block& layer) {
  const std::int64_t h = model.hidden;
  const std::int64_t q = model.heads * model.head_dim;
  const std::int64_t kv = model.kv_heads * model.head_dim;
  const double dropout = model.dropout.value_or(0);
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  if (model.norm_place != NormPlace::after) add("input_norm", NormOp{model.norm}, module::layernorm);
  add("linear_qkv", LinearOp{.in = h,
                             .out = q + 2 * kv,
                             .bias = model.bias || model.qkv_bias,
                             .split = TensorSplit::column,
                             .parts = {q, kv, kv}});
  add_query_key_norms(model, layer);
  if (model.position == Position::rope) add("rotary", RotaryOp{.width = q + kv});
  add("core_attention",
      CoreAttentionOp{.heads = model.heads,
                      .kv_heads = model.kv_heads,
                      .head_dim = model.head_dim,
                      .head_dim_v = model.head_dim,
                      .window = window,
                      .alibi = model.position == Position::alibi || model.position == Position::relative,
                      .dropout = dropout,
                      .causal = causal},
      module::core_attention);
  add("linear_proj", LinearOp{.in = q,
                              .out = h,
                              .bias = model.bias,
                              .split = TensorSplit::row,
                              .parts = {h},
                              .ends_region = !model.parallel_block});
  add_norm_after(model, "attention_norm_after", layer);
  if (!model.parallel_block) add("attention_residual", ResidualOp{model.bias, dropout});
}

void add_cross_attention(const Architecture& model, Block& layer) {
  const std::int64_t h = model.hidden;
  const std::int64_t q = model.heads * model.head_dim;
  const std::int64_t kv = model.kv_heads * model.head_dim;
  const double dropout = model.dropout.value_or(0);
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  add("cross_norm", NormOp{model.norm}, module::layernorm);
  add("cross_q", LinearOp{.in = h, .out = q, .bias = model.bias, .split = TensorSplit::column, .parts = {}});
  // What the encoder made is kept once for all layers, by the norm that ends it.
  add("cross_kv", LinearOp{.in = h,
                           .out = 2 * kv,
                           .bias = model.bias,
                           .split = TensorSplit::column,
                           .parts = {},
                           .saves_input = false,
                           .rows = Rows::encoded});
  add("cross_attention",
      CoreAttentionOp{.heads = model.heads,
                      .kv_heads = model.kv_heads,
                      .head_dim = model.head_dim,
                      .head_dim_v = model.head_dim,
                      .dropout = dropout,
                      .causal = false,
                      .crosses = true},
      module::core_attention);
  add("cross_proj", LinearOp{.in = q, .out = h, .bias = model.bias, .split = TensorSplit::row, .parts = {}});
  add("cross_residual", ResidualOp{model.bias, dropout});
}

void add_mlp(const Architecture& model, Block& layer) {
  const std::int64_t h = model.hidden;
  const std::int64_t f = model.ffn.value_or(0);
  auto add = [&layer](std::string_view name, auto op, unsigned modules = 0) {
    layer.ops.push_back({name, op, modules});
  };

  if (model.norm_place != NormPlace::after && !model.shared_norm) {
    add("mlp_norm", NormOp{model.norm}, module::layernorm);
  }
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
  add_norm_after(model, "mlp_norm_after", layer);
  add("mlp_residual", ResidualOp{model.bias, model.dropout.value_or(0)});
}

ModelGraph dense_transformer(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

}  // namespace stepcast
