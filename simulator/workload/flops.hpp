#pragma once
/// FLOPs of training as the field counts them: every convention in use, so that a published MFU can be compared.
///
/// They differ in whether attention is counted whole or causal, whether the embedding and recomputation count, and
/// which vocabulary. Two numbers in different conventions differ by 12% and more.

#include <span>
#include <string_view>

#include "simulator/workload/architecture.hpp"

namespace stepcast {

/// What the formulas need.
struct FlopsInput {
  const Architecture& model;
  double parameters = 0;       ///< N, a tied embedding once, of experts those that one token visits
  double vocab = 0;            ///< V, padded
  double sequence_length = 0;  ///< s; of packed documents the sum of squared lengths over that of lengths
  bool full_recompute = false;
  bool frozen_weights = false;  ///< linears have no weight gradients (LoRA): 4 FLOPs a weight and token in place of 6
  double decoder_share = 1;     ///< of an encoder-decoder: tokens of the decoder for each of the encoder
};

struct FlopsConvention {
  std::string_view name;
  std::string_view description;
  double (*per_token)(const FlopsInput&);  ///< forward and backward
  bool counts_recompute = false;           ///< a hardware (HFU) count, not a model (MFU) one
};

std::span<const FlopsConvention> flops_conventions();

/// Null when there is none of that name.
const FlopsConvention* find_flops_convention(std::string_view name);

}  // namespace stepcast
