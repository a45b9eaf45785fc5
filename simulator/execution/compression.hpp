#pragma once
/// Gradients made smaller before they are reduced: what is sent, and the work of making it and undoing it. What it costs in
/// steps to the same loss is for the user to say: nothing here knows it.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "simulator/units/units.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

/// One reduction of `elements` gradients over `ranks` copies.
struct CompressedReduction {
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes size;                        ///< of the collective
  Bytes traffic;                     ///< read and written on the GPU to encode and decode
  std::optional<Gemm> product = {};  ///< a matrix product for it ...
  double products = 0;               ///< ... and how many such
};

/// What is to be reduced: `elements` of `element` bytes, matrices of about width x width.
struct Gradients {
  double elements = 0, element = 2, width = 1, ranks = 1;
};

struct Compression {
  std::string_view name;       ///< up to its parameter: "powersgd" of "powersgd-4"
  std::string_view parameter;  ///< what follows the dash; empty: nothing
  std::string_view description;
  double least = 0, most = 0;  ///< of the parameter
  CompressedReduction (*reduction)(const Gradients&, double parameter);
};

std::span<const Compression> list_compressions();

/// A compression with its parameter.
struct ChosenCompression {
  const Compression* compression = nullptr;
  double parameter = 0;

  CompressedReduction reduction(const Gradients& gradients) const {
    return compression->reduction(gradients, parameter);
  }
};

/// Reads "powersgd-4". Empty when there is none of that name or its parameter is out of range.
std::optional<ChosenCompression> parse_compression(const std::string& text);

}  // namespace stepcast
