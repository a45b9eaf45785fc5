#pragma once
/// A model as a list of blocks of operators, before it is sharded. models/ builds it, parallelism/ shards it.
///
/// Symbols of this folder: s sequence, b microbatch, h hidden, a heads, g key-value heads, d head dim, f FFN width,
/// V vocabulary, t tensor-parallel ranks, E experts, k experts that a token visits.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "simulator/workload/architecture.hpp"

namespace stepcast {

/// How tensor parallelism splits a weight: by outputs (its input is whole), by inputs (its output is a partial sum), or
/// not at all (each rank holds it whole and runs it on the tokens that it stores).
enum class TensorSplit { column, row, whole };

/// Which experts tokens go to.
struct Routing {
  std::int64_t experts = 0;       ///< E; 0: no routing, every token passes
  std::int64_t top_k = 0;         ///< experts that a token visits
  double capacity_factor = 0;     ///< rows of an expert, padded, of its even share; 0: dropless
  std::int64_t groups = 1;        ///< of experts, in order
  std::int64_t groups_taken = 1;  ///< that the experts of a token may belong to
};

/// What an operator runs on: the tokens of its block; those that the encoder made of the input; one a sequence.
enum class Rows { tokens, encoded, sequences };

struct NormOp {
  NormKind kind = NormKind::layernorm;
  std::int64_t width = 0;    ///< 0: the hidden size
  std::int64_t vectors = 0;  ///< of that width in a token, split over the tensor group (heads); 0: one, not split
  Rows rows = Rows::tokens;
};

/// y[., out] = x[., in] W + bias. `parts`: widths of the separate GEMMs that unfused frameworks run instead of one.
struct LinearOp {
  std::int64_t in = 0, out = 0;
  bool bias = false;
  TensorSplit split = TensorSplit::column;
  std::vector<std::int64_t> parts;
  bool starts_region = true;  ///< column: gathers its input (false: it shares its predecessor's, parallel block)
  bool ends_region = true;    ///< row: reduces its output (false: summed with its successor's first)
  bool saves_input = true;    ///< false: an operator before it keeps the same tensor for its own backward pass
  Rows rows = Rows::tokens;
};

/// Low-rank adaptation of the linear before it (LoRA, arXiv 2106.09685): its output gets x A B added, A [in, r] and B
/// [r, out] for each of its parts that is adapted.
struct AdapterOp {
  std::int64_t in = 0, rank = 0;
  std::vector<std::int64_t> outs;
  TensorSplit split = TensorSplit::column;  ///< of the linear that it adapts
  double dropout = 0;                       ///< of its input
};

/// Positions turned into q and k, in place.
struct RotaryOp {
  std::int64_t width = 0;  ///< elements of a token that are read and written: (a + g) d
  bool assembles = false;  ///< latent attention: heads are put together from their rotated and plain parts
};

struct CoreAttentionOp {
  std::int64_t heads = 0, kv_heads = 0;
  std::int64_t head_dim = 0;    ///< of queries and keys
  std::int64_t head_dim_v = 0;  ///< of values and the output
  std::int64_t window = 0;      ///< 0: none
  bool alibi = false;           ///< something is added to the scores
  double dropout = 0;
  bool causal = true;
  bool crosses = false;  ///< keys and values are of the encoded tokens

  double query_width() const { return static_cast<double>(heads * head_dim); }
  double key_value_width() const { return static_cast<double>(kv_heads * (head_dim + head_dim_v)); }
  double output_width() const { return static_cast<double>(heads * head_dim_v); }
};

/// Each channel's weighted sum over the last `taps` tokens (depthwise causal convolution), and its activation.
struct ConvolutionOp {
  std::int64_t width = 0, taps = 0;
};

/// The recurrence of a state-space layer in its dual, chunked form (Mamba-2, arXiv 2405.21060, section 6).
struct StateSpaceOp {
  StateSpace shape;
};

struct ActivationOp {
  Activation kind = Activation::gelu;
  std::int64_t width = 0;  ///< f
  bool bias = false;
  Routing routing = {};  ///< of the rows that it runs on
};

/// Scores of a token for every expert, the best of them, and their weights.
struct RouterOp {
  Routing routing;
  bool bias = false;
};

/// Copies of tokens to the ranks of their experts.
struct DispatchOp {
  Routing routing;
};

/// One weight an expert: y = x W_e + bias_e of the rows routed to e.
struct ExpertLinearOp {
  Routing routing;
  std::int64_t in = 0, out = 0;
  bool bias = false;
  TensorSplit split = TensorSplit::column;  ///< by expert tensor parallelism
};

/// Results of the experts back to the tokens, summed by their weights.
struct CombineOp {
  Routing routing;
};

/// x = x + dropout(y + bias)
struct ResidualOp {
  bool bias = false;
  double dropout = 0;
};

struct EmbeddingOp {
  std::int64_t vocab = 0;      ///< 0: its rows come from the operator before it
  std::int64_t positions = 0;  ///< rows of learned tables that are added: positions, kinds of tokens; 0: none
  bool norm = false;
  double dropout = 0;
  std::int64_t values = 0;  ///< learned beside the tables: T5's buckets of distances, ViT's class token
  bool shared = false;      ///< its table is that of another embedding
};

struct LmHeadOp {
  std::int64_t vocab = 0;
  bool tied = false;  ///< its weight is the embedding's
  bool bias = false;
};

struct CrossEntropyOp {
  std::int64_t vocab = 0;
};

/// Parts of a layer that can be computed again in the backward pass, by the names of Megatron-LM's `recompute_modules`;
/// bits of a set, since experts are part of a whole mixture-of-experts layer.
namespace module {
inline constexpr unsigned core_attention = 1;
inline constexpr unsigned layernorm = 2;
inline constexpr unsigned mlp = 4;
inline constexpr unsigned moe = 8;
inline constexpr unsigned shared_experts = 16;
inline constexpr unsigned expert_activation = 32;
inline constexpr unsigned latent_up_projection = 64;
}  // namespace module

struct ModelOp {
  std::string_view name;  ///< static text
  std::variant<NormOp, LinearOp, RotaryOp, CoreAttentionOp, ActivationOp, ResidualOp, EmbeddingOp, LmHeadOp,
               CrossEntropyOp, RouterOp, DispatchOp, ExpertLinearOp, CombineOp, AdapterOp, ConvolutionOp, StateSpaceOp>
      what;
  unsigned modules = 0;  ///< that it belongs to
  bool frozen = false;   ///< its weights are not trained
};

/// A run of operators that pipeline parallelism does not split.
struct Block {
  std::vector<ModelOp> ops;
  bool decodes = false;         ///< its tokens are the decoder's of an encoder-decoder model
  bool passes_gradient = true;  ///< something is trained before it; false: its input needs no gradient
};

struct ModelGraph {
  std::int64_t hidden = 0;
  Block embedding;
  std::vector<Block> kinds;      ///< distinct transformer layers
  std::vector<int> layer_kinds;  ///< kind of each layer, in model order
  Block head;                    ///< final norm, LM head, loss
};

/// Parameters of an operator, of a block, of the model (a tied LM head counts once).
double parameters(const ModelOp& op, std::int64_t hidden);
double parameters(const Block& block, std::int64_t hidden);
double parameters(const ModelGraph& model);

/// Of these, what is trained.
double trained_parameters(const ModelGraph& model);

/// Of all, what one token passes: of an expert weight top_k of its E copies. "Active" as model cards count.
double active_parameters(const ModelGraph& model);

}  // namespace stepcast
