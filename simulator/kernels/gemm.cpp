#include <algorithm>
#include <cmath>
#include <limits>

#include "simulator/base/error.hpp"
#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {
namespace {

bool tensor_cores_usable(const Gemm& gemm) {
  const double bytes = element_bytes(gemm.precision);
  return std::fmod(gemm.n * bytes, 16) == 0 && std::fmod(gemm.k * bytes, 16) == 0;
}

/// Share of the vector units' fp32 peak that a 16-bit product without tensor cores reaches: unaligned batched products
/// of BLOOM's 150-wide heads run at about 9 of the A100's 19.5 TFLOP/s.
constexpr double unaligned_fraction = 0.46;

}  // namespace

KernelTime gemm_time(const Gemm& gemm, const Gpu& gpu) {
  const GemmProfile& profile = gpu.gemm_profile(gemm.precision);
  const double sms = gpu.sms;
  const double operands = gemm.operand_bytes().si();
  const double memory_rate = gpu.hbm_bandwidth->si() * profile.memory_fraction;
  const double sm_peak = gpu.peak_rate(gemm.precision).si() / sms;
  const double fixed = profile.fixed_time->si();

  if (!tensor_cores_usable(gemm)) {
    const double rate = gpu.peak_rate(Precision::fp32).si() * unaligned_fraction;
    const double time = fixed + std::max(gemm.flops().si() / rate, operands / memory_rate);
    return {Seconds(time), Bound::tensor_cores, Basis::estimated, true};
  }

  double largest_area = 0;
  for (const GemmProfile::Tile& tile : profile.tiles) {
    largest_area = std::max(largest_area, double(tile.rows) * double(tile.columns));
  }
  CHECK(largest_area > 0, "a GEMM profile has tiles");

  double best = std::numeric_limits<double>::infinity();
  bool memory_bound = false;
  for (const GemmProfile::Tile& tile : profile.tiles) {
    const double area = double(tile.rows) * double(tile.columns);
    const double rate = sm_peak * profile.peak_fraction * std::pow(area / largest_area, profile.tile_area_exponent);
    const double tiles = std::ceil(gemm.m / tile.rows) * std::ceil(gemm.n / tile.columns) * gemm.batch;
    for (double split : {1.0, 2.0, 4.0}) {
      const double exact = tiles * split / sms;
      const double waves = std::max(1.0, exact + profile.wave_softness * (std::ceil(exact) - exact));
      const double compute = waves * 2 * area * (gemm.k / split + profile.prologue_k) / rate;
      // Split-K writes and reads its fp32 partial sums.
      const double partial = split > 1 ? 8 * split * gemm.m * gemm.n * gemm.batch : 0;
      const double output = (gemm.output_bytes().si() + partial) / memory_rate * profile.epilogue_exposed;
      const double time = std::max(compute, operands / memory_rate) + output;
      if (time < best) {
        best = time;
        memory_bound = operands / memory_rate > compute;
      }
      if (exact >= 1) break;   // enough tiles: splitting k only adds traffic
    }
  }
  const double layout = gemm.layout == Layout::nn   ? *profile.nn_factor
                        : gemm.layout == Layout::nt ? *profile.nt_factor
                                                    : 1.0;
  const double sustained = profile.sustained;
  // What measurements say beyond the formula, at burst speed; memory-bound shapes do not slow down with the core clock.
  const double burst = (fixed + best * layout) *
                       (profile.residual.empty()
                            ? 1.0
                            : std::exp(profile.residual.at(std::log2(gemm.m), std::log2(gemm.n), std::log2(gemm.k)).log_ratio));
  const double time = memory_bound ? burst : fixed + std::max(0.0, burst - fixed) / sustained;
  return {Seconds(time), memory_bound ? Bound::hbm : Bound::tensor_cores, profile.peak_fraction.basis, !memory_bound};
}

}  // namespace stepcast
