#pragma once
/// From a number of parameters to a model that can be built: layers, hidden size, heads and FFN by the rules of a family.
///
/// The depth follows the family's published sizes: hidden over layers, interpolated between them in log N. Among the
/// shapes that divide by the parallel degrees and come within `tolerance` of the size, the one wins that departs least
/// from the family, in sizes that GPUs like (multiples of 128 and more).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/budget/compute_optimum.hpp"
#include "simulator/budget/training_compute.hpp"
#include "simulator/workload/architecture.hpp"

namespace stepcast {

/// What of a model has the size that is asked for.
enum class ShapeSize {
  total,
  active,                       ///< what one token passes
  non_embedding,                ///< Kaplan's N
  non_embedding_with_attention  ///< DeepSeek LLM's M / 6: active, without embeddings, and 2 L a d s
};

/// Experts of a family that has them; what is left out follows the published model of that size.
struct ExpertChoice {
  std::optional<std::int64_t> experts{};
  std::optional<std::int64_t> top_k{};
  std::optional<std::int64_t> shared_experts{};
  std::optional<std::int64_t> expert_ffn{};
  std::optional<double> active_ratio{};  ///< of the parameters without embeddings, what one token passes
};

struct ShapeRequest {
  std::string family = "llama3";
  double parameters = 0;
  ShapeSize of = ShapeSize::total;
  double tolerance = 0.02;              ///< share of the size
  std::int64_t tensor_parallel = 1;     ///< divides heads; divides, or is divided by, key-value heads
  std::int64_t layers_divide_by = 1;    ///< pipeline stages x virtual stages
  std::int64_t expert_parallel = 1;     ///< divides experts
  double sequence_length = 2048;        ///< rows of learned positions, and s of ShapeSize
  std::optional<std::int64_t> vocab{};  ///< left out: the family's
  ExpertChoice experts{};
};

struct Shape {
  Architecture model;
  ModelSize count;
  double size = 0;  ///< in the sense of ShapeRequest::of
  double off = 0;   ///< share by which that departs from the size asked for; signed
};

/// A shape, or why there is none and what comes nearest.
struct ShapeAnswer {
  std::optional<Shape> shape;
  std::string refusal;
  std::optional<Shape> nearest;  ///< with a refusal: divides as it must, and misses the size
};

/// @throws UserError for an unknown family, and for numbers that are no sizes or degrees
ShapeAnswer shape_of(const ShapeRequest& request);

/// FLOPs of a token with causal attention, 6 N + 6 L h s, where a family's layers and width follow N smoothly: for finding
/// a budget's best N. Of the shape that is then found flops_per_token() says it to the last FLOP.
FlopsPerToken with_attention(const std::string& family, double sequence_length);

/// A published size of a family, from which depth and width of others follow.
struct PublishedShape {
  double parameters = 0;
  double layers = 0, hidden = 0;
  double ffn_ratio = 4;     ///< FFN width over hidden size
  double active_ratio = 1;  ///< without embeddings
};

struct ShapeFamily {
  std::string_view name;
  std::string_view description;
  std::string_view source;
  std::span<const PublishedShape> sizes;
  bool free_ffn = false;  ///< the FFN takes up what layers and width leave over
  bool experts = false;
  /// All of a model but its sizes.
  Architecture (*body)(double parameters);
};

std::span<const ShapeFamily> shape_families();

}  // namespace stepcast
