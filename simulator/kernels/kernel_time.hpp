#pragma once
/// Time of one operator on one GPU, and how it was obtained.

#include <cstdint>
#include <string_view>

#include "simulator/profiles/gpu.hpp"
#include "simulator/workload/op.hpp"

namespace stepcast {

/// What a kernel waits for most. launch: its start-up, or the floor that no kernel is faster than.
enum class Bound : std::uint8_t { tensor_cores, hbm, launch, network };
std::string_view name_of(Bound bound);

/// How a time was obtained, strongest first. It is that of the constants that set the time's scale; corrections of a
/// few percent (layout, sustained clock) have sources of their own in the profile and do not weaken it.
enum class Evidence : std::uint8_t {
  measured,      ///< a measurement of this kernel on this GPU
  interpolated,  ///< between measured shapes of this GPU
  fitted,        ///< by a formula fitted to measurements of this GPU
  extrapolated,  ///< the same, away from the measured shapes
  estimated,     ///< constants estimated jointly from published training runs
  assumed        ///< constants of the nearest relative, or a judgement
};
std::string_view name_of(Evidence evidence);
Evidence evidence_of(Basis basis);

struct KernelTime {
  Seconds time;
  Bound bound = Bound::launch;
  Evidence evidence = Evidence::assumed;
  bool clocked = false;  ///< its speed follows the core clock, so it shares the spread between GPUs
};

/// Time of a matrix multiplication. For many shapes build a GemmModel once (gemm_model.hpp has the formula).
KernelTime gemm_time(const Gemm& gemm, const Gpu& gpu);
KernelTime gemm_time(const GroupedGemm& gemm, const Gpu& gpu);

/// Time of a fused attention kernel: executed FLOPs over a rate that grows with the sequence length,
///
///   rate = peak * fraction * s / (s + half_length) * head_dim_factor * padding * occupancy * sustained
///
/// and no less than its tensors need to pass through HBM. Padding: a head dimension is rounded up to the next one that
/// the kernel was built for. Occupancy: 128 rows of one head are one thread block, and the last blocks of a launch leave
/// multiprocessors idle. Key-value heads change the bytes, not the products.
/// Shah et al. 2024 (arXiv 2407.08608), figures 5-7.
KernelTime attention_time(const AttentionKernel& attention, const Gpu& gpu);

/// Time of kernels that are bound by HBM: bytes over achieved bandwidth, plus a ramp, no less than a floor; each.
///
///   time = ramp + bytes / (HBM * bandwidth_fraction) * (1 - held + held / l2_speedup)
///   held = L2 / bytes, at most 1, of a warm kernel; else 0
///
/// Held: a kernel that goes through the same tensors again finds in the L2 what that can hold of them. In Vidur's tables
/// (@ 7d47513), which repeat, additions on an H100 stay above what STREAM reaches up to three times the L2's size, and on
/// an A100 above the data sheet's bandwidth up to once.
/// Kernels of a training step are taken as cold: the estimated `bandwidth_fraction` has in it what they find.
KernelTime memory_time(const MemoryBound& work, const Gpu& gpu);

}  // namespace stepcast
