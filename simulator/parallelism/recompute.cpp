#include "simulator/parallelism/recompute.hpp"

namespace stepcast {
namespace {

constexpr RecomputePolicy policies[] = {
    {"none", "every activation is kept", Recompute::none},
    {"selective", "the attention core is computed again (Korthikanti et al. 2022)", Recompute::selective},
    {"selective-op", "every second matrix product and all pointwise work (torchtitan)", Recompute::selective_op},
    {"full", "only each layer's input is kept", Recompute::full},
};

}  // namespace

std::span<const RecomputePolicy> recompute_policies() { return policies; }

std::optional<Recompute> recompute_policy(std::string_view name) {
  for (const RecomputePolicy& policy : policies) {
    if (policy.name == name) return policy.what;
  }
  return std::nullopt;
}

}  // namespace stepcast
