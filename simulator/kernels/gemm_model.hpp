#pragma once
/// Matrix multiplication on one GPU in one precision, with everything reckoned that no shape changes.

#include <vector>

#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {

/// Tiles in waves over the multiprocessors, or memory traffic, whichever takes longer:
///
///   burst = t0 + max( max(waves * 2 tm tn (k + k0) / (peak / SMs * e_tile), operands / (HBM * memory_fraction))
///                       + output / (HBM * memory_fraction) * epilogue_exposed,
///                     (operands + output) / HBM )
///   waves = exact + softness * (ceil(exact) - exact), at least 1;  exact = tiles * split / SMs
///   e_tile = peak_fraction * (tm tn / largest)^exponent
///
/// minimised over the profile's tiles and, while tiles are fewer than multiprocessors, split-K of 1, 2, 4. Then come
/// the layout's factor and the measured residual, but never beyond peak or HBM; then the sustained clock, by which the
/// tiles' computation stretches and memory traffic does not.
/// Tile and wave quantisation: NVIDIA, "Matrix Multiplication Background User's Guide".
///
/// Grouped: the tiles of all experts in one launch, each expert's rows rounded up to tiles of its own; no split-K, and no
/// residual, which was measured on single products. Whole expert layers of TensorRT-LLM on H100 (aiconfigurator @ 095f58a,
/// 4,294 of them, 14 models) come out with a mean error of 10%, though none was fitted.
///
/// Alignment: rows whose bytes are no multiple of 16 load in smaller pieces, `unaligned_share` of the speed. Heads of
/// such a width lie beside each other in memory, so that even their first elements are unaligned: batched products of
/// them do without tensor cores.
///
/// Power: the sustained clock is that inside a training step relative to the bursts that the other constants were fitted
/// to, one value a precision, because fp8 and 16-bit formats draw different power. Of a part with another power limit it
/// follows from the limit (Gpu::sustained_clock).
class GemmModel {
 public:
  /// @param gpu  must outlive the model
  GemmModel(const Gpu& gpu, Precision precision);

  KernelTime time(const Gemm& gemm) const;
  KernelTime time(const GroupedGemm& gemm) const;

 private:
  struct Tile {
    double rows, columns;
    double seconds_per_k;  ///< of one wave, per unit of k
  };
  /// Work of one launch.
  struct Launch {
    double m, n, k, batch;
    double operands, output;  ///< bytes
    bool splits;              ///< along k, when tiles are few
  };
  struct Best {
    double time;      ///< without start-up, in a burst
    double slowdown;  ///< of it at the sustained clock: what multiplies follows the clock, memory traffic does not
    bool memory_bound;
  };

  Best best(const Launch& launch) const;
  KernelTime finished(const Launch& launch, Layout layout, double penalty, Evidence evidence) const;
  KernelTime without_tensor_cores(const Gemm& gemm) const;

  const GemmProfile& profile_;
  std::vector<Tile> tiles_;
  double sms_;
  double peak_rate_;    ///< FLOP/s that nothing exceeds
  double hbm_rate_;     ///< bytes per second that nothing exceeds
  double memory_rate_;  ///< bytes per second of operand traffic
  double vector_rate_;  ///< FLOP/s without tensor cores
  double fixed_;
  double sustained_;
  Evidence evidence_;
};

}  // namespace stepcast
