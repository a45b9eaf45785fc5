#pragma once
/// Parts of a transformer layer that families put together; each appends its operators in the order in which they run.

#include <cstdint>
#include <string_view>

#include "simulator/workload/model_graph.hpp"

namespace stepcast {

/// Norm, queries, keys, values, scores, projection, residual.
/// @param window  tokens that a token looks back; 0: all
/// @param causal  tokens see those before them alone
void add_attention(const Architecture& model, std::int64_t window, bool causal, Block& layer);

/// The same with queries of the block's tokens, and keys and values of what the encoder made of the input (T5).
void add_cross_attention(const Architecture& model, Block& layer);

/// The same over a latent of keys and values (DeepSeek-V2, arXiv 2405.04434 section 2.1).
void add_latent_attention(const Architecture& model, Block& layer);

/// Norm, two linears with an activation between them, residual.
void add_mlp(const Architecture& model, Block& layer);

/// Norm, router, dispatch, experts, combination, shared experts, residual.
void add_experts(const Architecture& model, Block& layer);

/// Norm, projection to x, z, B, C and dt, convolution, scan, gated norm, projection, residual (Mamba-2, arXiv 2405.21060,
/// figure 6).
void add_state_space(const Architecture& model, Block& layer);

/// A norm where the model has norms after its parts.
void add_norm_after(const Architecture& model, std::string_view name, Block& layer);

/// Embedding, layers of any of these parts, head; modules that predict further tokens run with the head.
/// @param vocab      rows of the embedding, with the framework's padding
/// @param positions  rows of a learned position table
ModelGraph stack(const Architecture& model, std::int64_t vocab, std::int64_t positions);

}  // namespace stepcast
