#pragma once
/// The passes of a pipeline's ranks in the order in which they run.

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/workload/chunk_placement.hpp"

namespace stepcast {

/// A backward pass is one, or in two parts: gradients of the input, which the stage before waits for, and of the
/// weights, which nobody waits for.
enum class PassKind : std::uint8_t { forward, backward, backward_input, backward_weight };

/// Whether weight gradients are complete after such a pass.
inline bool makes_weight_gradients(PassKind kind) {
  return kind == PassKind::backward || kind == PassKind::backward_weight;
}

struct PassStep {
  PassKind kind = PassKind::forward;
  std::int32_t microbatch = 0;
  std::int32_t chunk = 0;
  bool exchange_after = true;  ///< a framework whose exchange blocks talks to its neighbours after this pass
  bool paired = false;         ///< runs together with the pass that follows

  bool operator==(const PassStep&) const = default;
};

/// [stage]: its passes
using PipelineOrder = std::vector<std::vector<PassStep>>;

/// An order that a person wrote down.
struct OwnOrder {
  PipelineOrder stages;
  ChunkPlacement placement = ChunkPlacement::loop;

  bool operator==(const OwnOrder&) const = default;
};

}  // namespace stepcast
