#pragma once
/// A model as a list of blocks of operators, before it is sharded. models/ builds it, parallelism/ shards it.
///
/// Symbols of this folder: s sequence, b microbatch, h hidden, a heads, g key-value heads, d head dim, f FFN width,
/// V vocabulary, t tensor-parallel ranks.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "simulator/workload/architecture.hpp"

namespace stepcast {

/// How tensor parallelism splits a weight: by outputs (its input is whole) or by inputs (its output is a partial sum).
enum class TensorSplit { column, row };

struct NormOp {
  NormKind kind = NormKind::layernorm;
};

/// y[., out] = x[., in] W + bias. `parts`: widths of the separate GEMMs that unfused frameworks run instead of one.
struct LinearOp {
  std::int64_t in = 0, out = 0;
  bool bias = false;
  TensorSplit split = TensorSplit::column;
  std::vector<std::int64_t> parts;
  bool starts_region = true;  ///< column: gathers its input (false: it shares its predecessor's, parallel block)
  bool ends_region = true;    ///< row: reduces its output (false: summed with its successor's first)
};

struct RotaryOp {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
};

struct CoreAttentionOp {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  ///< 0: none
  bool alibi = false;
  double dropout = 0;
};

struct ActivationOp {
  Activation kind = Activation::gelu;
  std::int64_t width = 0;  ///< f
  bool bias = false;
};

/// x = x + dropout(y + bias)
struct ResidualOp {
  bool bias = false;
  double dropout = 0;
};

struct EmbeddingOp {
  std::int64_t vocab = 0;
  std::int64_t positions = 0;  ///< rows of a learned position table; 0: none
  bool norm = false;
  double dropout = 0;
};

struct LmHeadOp {
  std::int64_t vocab = 0;
  bool tied = false;  ///< its weight is the embedding's
};

struct CrossEntropyOp {
  std::int64_t vocab = 0;
};

struct ModelOp {
  std::string_view name;  ///< static text
  std::variant<NormOp, LinearOp, RotaryOp, CoreAttentionOp, ActivationOp, ResidualOp, EmbeddingOp, LmHeadOp,
               CrossEntropyOp>
      what;
};

/// A run of operators that pipeline parallelism does not split.
struct Block {
  std::vector<ModelOp> ops;
};

struct ModelGraph {
  std::int64_t hidden = 0;
  Block embedding;
  std::vector<Block> kinds;      ///< distinct transformer layers
  std::vector<int> layer_kinds;  ///< kind of each layer, in model order
  Block head;                    ///< final norm, LM head, loss
};

/// Trainable parameters of an operator, of a block, of the model (a tied LM head counts once).
double parameters(const ModelOp& op, std::int64_t hidden);
double parameters(const Block& block, std::int64_t hidden);
double parameters(const ModelGraph& model);

}  // namespace stepcast
