#pragma once
/// Number formats of training.

#include <array>
#include <string_view>

namespace stepcast {

/// The precision of a training run as its plan names it. fp8: linear layers in fp8, the rest in bf16.
enum class Precision { fp32, tf32, fp16, bf16, fp8 };

inline constexpr std::array<std::string_view, 5> precision_names{"fp32", "tf32", "fp16", "bf16", "fp8"};

constexpr std::string_view name_of(Precision p) { return precision_names[static_cast<std::size_t>(p)]; }

/// Bytes of one stored element of a tensor in that format.
constexpr double element_bytes(Precision p) {
  switch (p) {
    case Precision::fp32:
    case Precision::tf32: return 4;
    case Precision::fp16:
    case Precision::bf16: return 2;
    case Precision::fp8: return 1;
  }
  return 0;
}

}  // namespace stepcast
