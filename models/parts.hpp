#pragma once
/// Parts of a transformer layer that families put together; each appends its operators in the order in which they run.

#include <cstdint>

#include "simulator/workload/model_graph.hpp"

namespace stepcast {

/// Norm, queries, keys, values, scores, projection, residual.
/// @param window  tokens that a token looks back; 0: all
void add_attention(const Architecture& model, std::int64_t window, Block& layer);

/// The same over a latent of keys and values (DeepSeek-V2, arXiv 2405.04434 section 2.1).
void add_latent_attention(const Architecture& model, Block& layer);

/// Norm, two linears with an activation between them, residual.
void add_mlp(const Architecture& model, Block& layer);

/// Norm, router, dispatch, experts, combination, shared experts, residual.
void add_experts(const Architecture& model, Block& layer);

/// Embedding, layers of any of these parts, head; modules that predict further tokens run with the head.
/// @param vocab      rows of the embedding, with the framework's padding
/// @param positions  rows of a learned position table
ModelGraph decoder(const Architecture& model, std::int64_t vocab, std::int64_t positions);

}  // namespace stepcast
