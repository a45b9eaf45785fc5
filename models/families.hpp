#pragma once
/// Model families: each builds the graph of operators of one kind of architecture.

#include <span>
#include <string_view>

#include "simulator/workload/model_graph.hpp"

namespace stepcast {

/// A decoder-only dense transformer: GPT and Llama styles.
/// @param vocab      rows of the embedding, with the framework's padding
/// @param positions  rows of a learned position table
ModelGraph dense_transformer(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// The same with multi-head latent attention (MLA).
ModelGraph latent_attention(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// The same, with either attention, where a router sends each token to some of many experts.
ModelGraph mixture_of_experts(const Architecture& model, std::int64_t vocab, std::int64_t positions);

struct ModelFamily {
  std::string_view name;
  std::string_view description;
  bool (*accepts)(const Architecture&);
  ModelGraph (*build)(const Architecture&, std::int64_t vocab, std::int64_t positions);
};

std::span<const ModelFamily> model_families();

/// The family of an architecture, or null when none builds it yet.
const ModelFamily* family_of(const Architecture& model);

}  // namespace stepcast
