#include "simulator/workload/architecture.hpp"

#include <algorithm>

namespace stepcast {

double values_per_width(NormKind kind) {
  switch (kind) {
    case NormKind::layernorm: return 2;
    case NormKind::rmsnorm:
    case NormKind::layernorm_without_shift: return 1;
    case NormKind::layernorm_without_weights: return 0;
  }
  return 0;
}

bool Architecture::windowed(std::int64_t index) const {
  if (!attention_window || index % window_every != 0) return false;
  return full_every == 0 || (index + 1) % full_every != 0;
}

std::int64_t Architecture::layers_with(LayerLetter letter) const {
  if (!pattern.empty()) return std::count(pattern.begin(), pattern.end(), static_cast<char>(letter));
  const std::int64_t routed = moe ? moe->moe_layers : 0;
  switch (letter) {
    case LayerLetter::state_space: return 0;
    case LayerLetter::attention: return layers;
    case LayerLetter::mlp: return layers - routed;
    case LayerLetter::experts: return routed;
  }
  return 0;
}

}  // namespace stepcast
