/// Layers on top of each other, between an embedding and a head.

#include <algorithm>
#include <vector>

#include "models/families.hpp"
#include "models/parts.hpp"

namespace stepcast {
namespace {

/// T5's table of distances: 32 buckets a head, one table for the encoder and one for the decoder (arXiv 1910.10683,
/// section 2.1).
constexpr std::int64_t distance_buckets = 32;

/// What a layer consists of, and what tells one layer from another.
struct LayerKind {
  bool state_space = false;
  bool attention = false;
  bool windowed = false;
  bool crosses = false;  ///< attends to what the encoder made
  bool mlp = false;
  bool experts = false;
  bool decodes = false;
  bool first_decoder = false;

  bool operator==(const LayerKind&) const = default;
};

LayerKind kind_of(const Architecture& model, std::int64_t index) {
  LayerKind kind;
  if (!model.pattern.empty()) {
    const auto letter = static_cast<LayerLetter>(model.pattern[static_cast<std::size_t>(index)]);
    kind.state_space = letter == LayerLetter::state_space;
    kind.attention = letter == LayerLetter::attention;
    kind.mlp = letter == LayerLetter::mlp;
    kind.experts = letter == LayerLetter::experts;
  } else {
    kind.attention = true;
    kind.experts = model.moe && model.moe->routes(index, model.layers);
    kind.mlp = !kind.experts;
  }
  kind.windowed = kind.attention && model.windowed(index);
  kind.decodes = kind.crosses = model.encoder_layers > 0 && index >= model.encoder_layers;
  kind.first_decoder = kind.decodes && index == model.encoder_layers;
  return kind;
}

/// The encoder's last norm, and the embedding of the tokens to predict.
void add_decoder_input(const Architecture& model, std::int64_t vocab, Block& layer) {
  layer.ops.push_back({"encoder_norm", NormOp{.kind = model.norm, .rows = Rows::encoded}});
  layer.ops.push_back({"decoder_embedding", EmbeddingOp{.vocab = vocab, .shared = true}});
}

Block layer_of(const Architecture& model, LayerKind kind, std::int64_t vocab) {
  Block layer;
  layer.decodes = kind.decodes;
  if (kind.first_decoder) add_decoder_input(model, vocab, layer);
  if (kind.state_space) add_state_space(model, layer);
  if (kind.attention && model.mla) add_latent_attention(model, layer);
  if (kind.attention && !model.mla) {
    add_attention(model, kind.windowed ? *model.attention_window : 0,
                  model.causal && (kind.decodes || model.encoder_layers == 0), layer);
  }
  if (kind.crosses) add_cross_attention(model, layer);
  if (kind.experts) add_experts(model, layer);
  if (kind.mlp) add_mlp(model, layer);
  return layer;
}

Block embedding_of(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  Block block;
  block.passes_gradient = false;
  EmbeddingOp embedding{.vocab = vocab,
                        .positions = (model.position == Position::learned ? positions : 0) + model.token_types,
                        .norm = model.embedding_norm,
                        .dropout = model.dropout.value_or(0)};
  if (model.position == Position::relative) {
    embedding.values = distance_buckets * model.heads * (model.encoder_layers > 0 ? 2 : 1);
  }
  if (model.patch_inputs > 0) {
    block.ops.push_back(
        {"patch_embedding",
         LinearOp{
             .in = model.patch_inputs, .out = model.hidden, .bias = true, .split = TensorSplit::whole, .parts = {}}});
    embedding.vocab = 0;
    embedding.values += model.hidden;  // the token that the class is read from
  }
  block.ops.push_back({"embedding", embedding});
  return block;
}

/// One module of multi-token prediction (DeepSeek-V3, arXiv 2412.19437 section 2.2): the last layer's output beside the
/// next token's embedding, one more layer, and the shared head once again.
void add_prediction_module(const Architecture& model, std::int64_t vocab, Block& head) {
  auto add = [&head](std::string_view name, auto op) { head.ops.push_back({name, op}); };
  add("mtp_hidden_norm", NormOp{model.norm});
  add("mtp_embedding_norm", NormOp{model.norm});
  add("mtp_projection",
      LinearOp{.in = 2 * model.hidden, .out = model.hidden, .split = TensorSplit::whole, .parts = {}});
  const Block layer = layer_of(model, kind_of(model, model.layers - 1), vocab);
  head.ops.insert(head.ops.end(), layer.ops.begin(), layer.ops.end());
  add("mtp_final_norm", NormOp{model.norm});
  add("mtp_lm_head", LmHeadOp{vocab, true});
  add("mtp_cross_entropy", CrossEntropyOp{vocab});
}

Block head_of(const Architecture& model, std::int64_t vocab) {
  Block head;
  head.decodes = model.encoder_layers > 0;
  auto add = [&head](std::string_view name, auto op) { head.ops.push_back({name, op}); };
  if (model.head == Head::masked_language) {
    add("head_transform",
        LinearOp{
            .in = model.hidden, .out = model.hidden, .bias = model.bias, .split = TensorSplit::whole, .parts = {}});
    add("head_activation", ActivationOp{model.activation, model.hidden, model.bias});
    add("head_norm", NormOp{model.norm});
  } else {
    add("final_norm", NormOp{model.norm});
  }
  if (model.head == Head::classes) {
    add("classifier", LinearOp{.in = model.hidden,
                               .out = model.classes,
                               .bias = model.head_bias,
                               .split = TensorSplit::whole,
                               .parts = {},
                               .rows = Rows::sequences});
    return head;
  }
  add("lm_head", LmHeadOp{vocab, model.tied_embeddings, model.head_bias});
  add("cross_entropy", CrossEntropyOp{vocab});
  for (std::int64_t i = 0; i < model.predicted_ahead; ++i) add_prediction_module(model, vocab, head);
  return head;
}

}  // namespace

ModelGraph stack(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  ModelGraph graph;
  graph.hidden = model.hidden;
  graph.embedding = embedding_of(model, vocab, positions);
  std::vector<LayerKind> known;
  for (std::int64_t index = 0; index < model.layers; ++index) {
    const LayerKind kind = kind_of(model, index);
    const auto found = std::find(known.begin(), known.end(), kind);
    graph.layer_kinds.push_back(static_cast<int>(found - known.begin()));
    if (found != known.end()) continue;
    known.push_back(kind);
    graph.kinds.push_back(layer_of(model, kind, vocab));
  }
  graph.head = head_of(model, vocab);
  return graph;
}

ModelGraph encoder(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

ModelGraph encoder_decoder(const Architecture& model, std::int64_t vocab, std::int64_t positions) {
  return stack(model, vocab, positions);
}

}  // namespace stepcast
