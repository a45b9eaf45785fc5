/// Dense decoder-only transformers. Operator order: Megatron-LM `TransformerLayer.forward`; parameter counts:
/// Narayanan et al. 2021 (arXiv 2104.04473) equation 2 for GPT, the published counts for Llama.

#include "models/families.hpp"

namespace stepcast {
namespace {

Block attention_and_mlp(const Architecture& model) {
  const std::int64_t h = model.hidden;
  const std::int64_t q = model.heads * model.head_dim;
  const std::int64_t kv = model.kv_heads * model.head_dim;
  const std::int64_t f = model.ffn.value_or(0);
  const std::int64_t fc1_width = model.gated() ? 2 * f : f;
  const double dropout = model.dropout.value_or(0);
  const NormOp norm{model.norm};

  Block layer;
  auto add = [&layer](std::string_view name, auto op) { layer.ops.push_back({name, op}); };

  add("input_norm", norm);
  add("linear_qkv", LinearOp{.in = h,
                             .out = q + 2 * kv,
                             .bias = model.bias || model.qkv_bias,
                             .split = TensorSplit::column,
                             .parts = {q, kv, kv}});
  if (model.position == Position::rope) add("rotary", RotaryOp{model.heads, model.kv_heads, model.head_dim});
  add("core_attention", CoreAttentionOp{.heads = model.heads,
                                        .kv_heads = model.kv_heads,
                                        .head_dim = model.head_dim,
                                        .window = model.attention_window.value_or(0),
                                        .alibi = model.position == Position::alibi,
                                        .dropout = dropout});
  add("linear_proj", LinearOp{.in = q,
                              .out = h,
                              .bias = model.bias,
                              .split = TensorSplit::row,
                              .parts = {h},
                              .ends_region = !model.parallel_block});
  if (!model.parallel_block) add("attention_residual", ResidualOp{model.bias, dropout});
  add("mlp_norm", norm);  // GPT-NeoX's parallel block has its own norm for the MLP as well
  add("linear_fc1", LinearOp{.in = h,
                             .out = fc1_width,
                             .bias = model.bias,
                             .split = TensorSplit::column,
                             .parts = model.gated() ? std::vector<std::int64_t>{f, f} : std::vector<std::int64_t>{f},
                             .starts_region = !model.parallel_block});
  add("activation", ActivationOp{model.activation, f, model.bias});
  add("linear_fc2", LinearOp{.in = f, .out = h, .bias = model.bias, .split = TensorSplit::row, .parts = {h}});
  add("mlp_residual", ResidualOp{model.bias, dropout});
  return layer;
}

}  // namespace

ModelGraph dense_transformer(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  ModelGraph graph;
  graph.hidden = model.hidden;
  graph.embedding.ops.push_back(
      {"embedding", EmbeddingOp{.vocab = vocab,
                                .positions = model.position == Position::learned ? positions : 0,
                                .norm = model.embedding_norm,
                                .dropout = model.dropout.value_or(0)}});
  graph.kinds.push_back(attention_and_mlp(model));
  graph.layer_kinds.assign(static_cast<std::size_t>(model.layers), 0);
  graph.head.ops.push_back({"final_norm", NormOp{model.norm}});
  graph.head.ops.push_back({"lm_head", LmHeadOp{vocab, model.tied_embeddings}});
  graph.head.ops.push_back({"cross_entropy", CrossEntropyOp{vocab}});
  return graph;
}

}  // namespace stepcast
