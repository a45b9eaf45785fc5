#include "simulator/execution/compression.hpp"

#include <charconv>

namespace stepcast {
namespace {

/// Read the gradients and the error of last time, write what is sent and the new error.
Bytes with_error_feedback(const Gradients& g, double sent) {
  return Bytes(g.elements * (g.element + 4 + 4) + 2 * sent + g.elements * g.element);
}

/// Quantised to b bits with a 16-bit scale a block of 2048: each rank's part goes to its owner, is summed there in full
/// precision, and comes back quantised, like the two halves of an all_reduce.
CompressedReduction quantised(const Gradients& g, double bits) {
  const double sent = g.elements * (bits / 8 + 2.0 / 2048);
  return {CollectiveKind::all_reduce, Bytes(sent), with_error_feedback(g, sent)};
}

/// PowerSGD (Vogels et al. 2019, arXiv 1905.13727, algorithm 1): M (n x m) as P Q^T of rank r; both factors are reduced,
/// r (n + m) of n m elements. Three products: M Q, M^T P and P Q^T.
CompressedReduction power_sgd(const Gradients& g, double rank) {
  const double sent = g.elements * 2 * rank / g.width * 4;
  const Gemm product{.m = g.width, .n = rank, .k = g.width, .batch = g.elements / (g.width * g.width)};
  return {CollectiveKind::all_reduce, Bytes(sent), with_error_feedback(g, sent), product, 3};
}

/// Top-k (Aji & Heafield 2017; Lin et al. 2018, arXiv 1712.01887): the largest values with their 32-bit places. Every rank
/// chooses others, so that the parts are gathered and not summed on the way: volume grows with the ranks.
CompressedReduction top_k(const Gradients& g, double percent) {
  const double kept = g.elements * percent / 100;
  const double sent = kept * (4 + g.element);
  // Selection samples a threshold and passes over the values twice more.
  return {CollectiveKind::all_gather, Bytes(sent * g.ranks),
          with_error_feedback(g, sent) + Bytes(2 * g.elements * g.element + 2 * sent * g.ranks)};
}

}  // namespace

std::span<const Compression> list_compressions() {
  static const Compression rows[] = {
      {"int8", "", "8 bits an element, summed by its owner (as 1-bit and 0/1 Adam's exchange)", 0, 0,
       [](const Gradients& g, double) { return quantised(g, 8); }},
      {"int4", "", "4 bits an element, likewise", 0, 0, [](const Gradients& g, double) { return quantised(g, 4); }},
      {"onebit", "", "signs and a scale, with error feedback (Seide et al. 2014; 1-bit Adam, arXiv 2102.02888)", 0, 0,
       [](const Gradients& g, double) { return quantised(g, 1); }},
      {"powersgd", "rank", "two factors of that rank (Vogels et al. 2019, arXiv 1905.13727)", 1, 1024, power_sgd},
      {"topk", "percent", "the largest values and their places, gathered (arXiv 1712.01887)", 0.001, 50, top_k},
  };
  return rows;
}

std::optional<ChosenCompression> parse_compression(const std::string& text) {
  const std::size_t dash = text.find('-');
  for (const Compression& row : list_compressions()) {
    if (row.name != text.substr(0, dash)) continue;
    ChosenCompression chosen{&row, 0};
    if (row.parameter.empty()) return dash == std::string::npos ? std::optional(chosen) : std::nullopt;
    if (dash == std::string::npos) return std::nullopt;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + dash + 1, end, chosen.parameter);
    const bool whole = error == std::errc{} && rest == end;
    if (!whole || chosen.parameter < row.least || chosen.parameter > row.most) return std::nullopt;
    return chosen;
  }
  return std::nullopt;
}

}  // namespace stepcast
