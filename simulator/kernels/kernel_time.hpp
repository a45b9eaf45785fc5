#pragma once
/// Time of one operator on one GPU, and how it was obtained.

#include <cstdint>
#include <string_view>

#include "simulator/profiles/gpu.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

enum class Bound : std::uint8_t { tensor_cores, hbm, launch, network };
std::string_view name_of(Bound bound);

struct KernelTime {
  Seconds time;
  Bound bound = Bound::launch;
  Basis basis = Basis::assumed;
  bool clocked = false;   ///< its speed follows the core clock, so it shares the spread between GPUs
};

/// Time of a matrix multiplication: tiles in waves over the multiprocessors, or operand traffic, whichever is longer.
///
///   t = t0 + max(waves * 2 tm tn (k + k0) / (peak / SMs * e_tile), operands / (bandwidth * e_mem)) + epilogue
///   waves = exact + softness * (ceil(exact) - exact), at least 1;  exact = tiles / SMs
///   e_tile = peak_fraction * (tm tn / largest)^exponent
/// minimised over the profile's tiles and split-K of 1, 2, 4, then divided by the sustained clock share.
/// Tile and wave quantisation: NVIDIA, "Matrix Multiplication Background User's Guide". Rows of n or k whose bytes are
/// no multiple of 16 keep the tensor cores from being used: then the vector units' fp32 rate applies.
KernelTime gemm_time(const Gemm& gemm, const Gpu& gpu);

/// Time of a fused attention kernel: executed FLOPs over a rate that grows with the sequence length,
/// rate = peak * fraction * s / (s + half_length), less when heads and sequences cannot fill the multiprocessors.
/// Shah et al. 2024 (arXiv 2407.08608), figures 5-7.
KernelTime attention_time(const AttentionKernel& attention, const Gpu& gpu);

/// Time of kernels that are bound by HBM: bytes over achieved bandwidth, plus a ramp, no less than a floor; each.
KernelTime memory_time(const MemoryBound& work, const Gpu& gpu);

}  // namespace stepcast
