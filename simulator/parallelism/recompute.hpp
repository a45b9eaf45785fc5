#pragma once
/// Recomputation policies: which activations are thrown away and computed again.

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "simulator/workload/model_graph.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// Which layers of a chunk a policy is for.
struct RecomputedLayers {
  int every = 1;                ///< each n-th, counted from one (torchtitan activation_checkpoint.py, per layer)
  int first = 0;                ///< only so many from the front (Megatron-LM's block method); 0: no limit
  std::vector<int> first_of{};  ///< the same of each part of the model, in its order; empty: `first` of all

  bool all() const { return every == 1 && first == 0 && first_of.empty(); }
  /// @param part   a virtual stage
  /// @param index  in it, from zero
  bool contains(int part, int index) const {
    if (!first_of.empty()) return index < first_of[static_cast<std::size_t>(part)];
    return (index + 1) % every == 0 && (first == 0 || index < first);
  }
};

struct RecomputePolicy {
  std::string_view name;
  std::string_view description;
  Recompute what;
  unsigned modules = 0;  ///< a set of module:: bits, for Recompute::modules
  RecomputedLayers layers{};
};

std::span<const RecomputePolicy> recompute_policies();

/// One part of a layer that "selective-<module>-<module>..." may name.
struct RecomputeModule {
  std::string_view name;  ///< Megatron-LM's, with dashes
  std::string_view also;  ///< what sources shorten it to; empty: nothing
  std::string_view description;
  unsigned bit;
  bool discards_output;  ///< what follows does not keep its output either (Megatron-LM CheckpointWithoutOutput)
};

std::span<const RecomputeModule> recompute_modules();

/// Of these, the ones that discard their output.
unsigned output_discarding(unsigned modules);

/// Empty when the policy of that name is not modelled yet.
std::optional<RecomputePolicy> recompute_policy(std::string_view name);

}  // namespace stepcast
