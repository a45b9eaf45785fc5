#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "simulator/base/error.hpp"
#include "simulator/kernels/gemm_model.hpp"

namespace stepcast {
namespace {

/// std::ceil of a size: without SSE4.1, which is not everywhere, that is a call, and the slowest part of a sweep.
double whole(double size) {
  const auto below = static_cast<double>(static_cast<std::int64_t>(size));
  return below < size ? below + 1 : below;
}

/// Whole 16-byte loads along the rows of both operands.
bool aligned(double n, double k, Precision precision) {
  const double bytes = element_bytes(precision);
  return static_cast<std::int64_t>(n * bytes) % 16 == 0 && static_cast<std::int64_t>(k * bytes) % 16 == 0;
}

/// Share of the aligned speed that a large product with unaligned rows reaches: 273 against 398 TFLOP/s on an H100 for
/// a feed-forward width of 10,922 instead of 10,944 with hidden size 4,096 (stas00/ml-engineering, swiglu-maf-bench.py).
constexpr double unaligned_share = 273.0 / 398.0;

/// Share of the vector units' fp32 peak that a 16-bit product without tensor cores reaches: unaligned batched products
/// of BLOOM's 150-wide heads run at about 9 of the A100's 19.5 TFLOP/s.
constexpr double vector_fraction = 0.46;

}  // namespace

GemmModel::GemmModel(const Gpu& gpu, Precision precision)
    : profile_(gpu.gemm_profile(precision)),
      sms_(*gpu.sms),
      peak_rate_(gpu.peak_rate(precision).si()),
      hbm_rate_(gpu.hbm_bandwidth->si()),
      memory_rate_(hbm_rate_ * profile_.memory_fraction),
      vector_rate_(gpu.peak_rate(Precision::fp32).si() * vector_fraction),
      fixed_(profile_.fixed_time->si()),
      sustained_(gpu.sustained_clock(precision)),
      evidence_(evidence_of(profile_.peak_fraction.basis)) {
  double largest = 0;
  for (const GemmProfile::Tile& tile : profile_.tiles) largest = std::max(largest, double(tile.rows) * tile.columns);
  CHECK(largest > 0, "a GEMM profile has tiles");
  const double sm_peak = peak_rate_ / sms_;
  for (const GemmProfile::Tile& tile : profile_.tiles) {
    const double area = double(tile.rows) * tile.columns;
    const double rate = sm_peak * profile_.peak_fraction * std::pow(area / largest, profile_.tile_area_exponent);
    tiles_.push_back({double(tile.rows), double(tile.columns), 2 * area / rate});
  }
}

GemmModel::Best GemmModel::best(const Launch& launch) const {
  const double load = launch.operands / memory_rate_;
  Best best{std::numeric_limits<double>::infinity(), 1, false};
  for (const Tile& tile : tiles_) {
    const double tiles = whole(launch.m / tile.rows) * whole(launch.n / tile.columns) * launch.batch;
    for (double split : {1.0, 2.0, 4.0}) {
      const double exact = tiles * split / sms_;
      const double waves = std::max(1.0, exact + profile_.wave_softness * (whole(exact) - exact));
      const double compute = waves * tile.seconds_per_k * (launch.k / split + profile_.prologue_k);
      // Split-K writes and reads its fp32 partial sums.
      const double partial = split > 1 ? 8 * split * launch.m * launch.n * launch.batch : 0;
      const double store = (launch.output + partial) / memory_rate_ * profile_.epilogue_exposed;
      const double floor = (launch.operands + launch.output + partial) / hbm_rate_;
      const double time = std::max(std::max(compute, load) + store, floor);
      if (time < best.time) {
        const double clocked = std::max(std::max(compute / sustained_, load) + store, floor);
        best = {time, clocked / time, load > compute || store > compute || floor >= time};
      }
      if (exact >= 1 || !launch.splits) break;  // enough tiles: splitting k only adds traffic
    }
  }
  return best;
}

KernelTime GemmModel::finished(const Launch& launch, Layout layout, double penalty, Evidence evidence) const {
  const Best found = best(launch);
  const double factor = layout == Layout::nn ? *profile_.nn_factor : layout == Layout::nt ? *profile_.nt_factor : 1.0;
  double burst = fixed_ + found.time * factor * penalty;
  if (!profile_.residual.empty() && launch.batch == 1) {  // measured on single products
    const auto correction = profile_.residual.at(std::log2(launch.m), std::log2(launch.n), std::log2(launch.k));
    const double fastest =
        std::max(2 * launch.m * launch.n * launch.k / peak_rate_, (launch.operands + launch.output) / hbm_rate_);
    burst = std::max(burst * std::exp(correction.log_ratio), fixed_ + fastest);
    if (evidence <= Evidence::fitted) evidence = correction.supported ? Evidence::interpolated : Evidence::extrapolated;
  }
  const double work = std::max(0.0, burst - fixed_) * found.slowdown;
  const Bound bound = fixed_ > work ? Bound::launch : found.memory_bound ? Bound::hbm : Bound::tensor_cores;
  return {Seconds(fixed_ + work), bound, evidence, bound == Bound::tensor_cores};
}

KernelTime GemmModel::time(const Gemm& gemm) const {
  const bool fits = aligned(gemm.n, gemm.k, gemm.precision);
  if (!fits && gemm.batch > 1) return without_tensor_cores(gemm);
  const Launch launch{gemm.m, gemm.n, gemm.k, gemm.batch, gemm.operand_bytes().si(), gemm.output_bytes().si(), true};
  return finished(launch, gemm.layout, fits ? 1 : 1 / unaligned_share,
                  fits ? evidence_ : std::max(evidence_, Evidence::extrapolated));
}

KernelTime GemmModel::time(const GroupedGemm& gemm) const {
  const Launch launch{gemm.m, gemm.n, gemm.k, gemm.experts, gemm.operand_bytes().si(), gemm.output_bytes().si(), false};
  const double unaligned = aligned(gemm.n, gemm.k, gemm.precision) ? 1 : 1 / unaligned_share;
  return finished(launch, gemm.layout, unaligned * profile_.grouped_factor,
                  std::max(evidence_, Evidence::extrapolated));
}

KernelTime GemmModel::without_tensor_cores(const Gemm& gemm) const {
  const double compute = gemm.flops().si() / vector_rate_;
  const double load = gemm.operand_bytes().si() / memory_rate_;
  return {Seconds(fixed_ + std::max(compute, load)), Bound::tensor_cores, Evidence::estimated, true};
}

KernelTime gemm_time(const Gemm& gemm, const Gpu& gpu) { return GemmModel(gpu, gemm.precision).time(gemm); }
KernelTime gemm_time(const GroupedGemm& gemm, const Gpu& gpu) { return GemmModel(gpu, gemm.precision).time(gemm); }

}  // namespace stepcast
