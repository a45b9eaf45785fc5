#pragma once
/// FLOPs of training a given model, attention included.

#include "simulator/units/units.hpp"
#include "simulator/workload/architecture.hpp"

namespace stepcast {

/// Parameters of a model in the ways they are counted. A tied head counts once.
struct ModelSize {
  double total = 0;
  double active = 0;         ///< that one token passes: of experts, those that it visits
  double non_embedding = 0;  ///< total without token and position tables and without the head
};
/// @throws UserError when nothing builds such a model
ModelSize count_parameters(const Architecture& model);

/// FLOPs of a token, forward and backward, by a convention of workload/flops.hpp. The default is 6 N + 6 L a d s: what
/// causal attention multiplies, without recomputation. Of experts those that the token visits.
Flops flops_per_token(const Architecture& model, double sequence_length, const char* convention = "causal-half");

}  // namespace stepcast
