#include <array>

#include "models/parts.hpp"

namespace stepcast {
namespace {

/// What tells one layer from another.
struct LayerKind {
  bool routed = false;
  bool windowed = false;

  std::size_t index() const { return static_cast<std::size_t>(2 * routed + windowed); }
};

Block layer_of(const Architecture& model, LayerKind kind) {
  Block layer;
  if (model.mla) {
    add_latent_attention(model, layer);
  } else {
    add_attention(model, kind.windowed ? *model.attention_window : 0, layer);
  }
  kind.routed ? add_experts(model, layer) : add_mlp(model, layer);
  return layer;
}

LayerKind kind_of(const Architecture& model, std::int64_t index) {
  return {model.moe && model.moe->routes(index, model.layers),
          model.attention_window && index % model.window_every == 0};
}

/// One module of multi-token prediction (DeepSeek-V3, arXiv 2412.19437 section 2.2): the last layer's output beside the
/// next token's embedding, one more layer, and the shared head once again.
void add_prediction_module(const Architecture& model, std::int64_t vocab, Block& head) {
  auto add = [&head](std::string_view name, auto op) { head.ops.push_back({name, op}); };
  add("mtp_hidden_norm", NormOp{model.norm});
  add("mtp_embedding_norm", NormOp{model.norm});
  add("mtp_projection",
      LinearOp{.in = 2 * model.hidden, .out = model.hidden, .split = TensorSplit::whole, .parts = {}});
  const Block layer = layer_of(model, kind_of(model, model.layers - 1));
  head.ops.insert(head.ops.end(), layer.ops.begin(), layer.ops.end());
  add("mtp_final_norm", NormOp{model.norm});
  add("mtp_lm_head", LmHeadOp{vocab, true});
  add("mtp_cross_entropy", CrossEntropyOp{vocab});
}

}  // namespace

ModelGraph decoder(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  ModelGraph graph;
  graph.hidden = model.hidden;
  graph.embedding.ops.push_back(
      {"embedding", EmbeddingOp{.vocab = vocab,
                                .positions = model.position == Position::learned ? positions : 0,
                                .norm = model.embedding_norm,
                                .dropout = model.dropout.value_or(0)}});
  std::array<int, 4> known{-1, -1, -1, -1};
  for (std::int64_t index = 0; index < model.layers; ++index) {
    const LayerKind kind = kind_of(model, index);
    int& number = known[kind.index()];
    if (number < 0) {
      number = static_cast<int>(graph.kinds.size());
      graph.kinds.push_back(layer_of(model, kind));
    }
    graph.layer_kinds.push_back(number);
  }
  graph.head.ops.push_back({"final_norm", NormOp{model.norm}});
  graph.head.ops.push_back({"lm_head", LmHeadOp{vocab, model.tied_embeddings}});
  graph.head.ops.push_back({"cross_entropy", CrossEntropyOp{vocab}});
  for (std::int64_t i = 0; i < model.predicted_ahead; ++i) add_prediction_module(model, vocab, graph.head);
  return graph;
}

}  // namespace stepcast
