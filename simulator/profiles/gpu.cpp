#include "simulator/profiles/gpu.hpp"

#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"

namespace stepcast {

FlopsPerSecond Gpu::peak_rate(Precision p) const {
  // A format without a hardware path runs in the next one that holds its values.
  static constexpr Precision chain[] = {Precision::fp8, Precision::bf16, Precision::fp16, Precision::tf32,
                                        Precision::fp32};
  if (const auto own = peak.find(p); own != peak.end()) return own->second;
  bool wider = false;
  for (Precision candidate : chain) {
    if (candidate == p) wider = true;
    const auto found = peak.find(candidate);
    if (wider && found != peak.end()) return found->second;
  }
  CHECK(!peak.empty(), "a GPU profile has a peak rate");
  return peak.begin()->second;
}

double Gpu::sustained_clock(Precision p, double power) const {
  const double sustained = gemm_profile(p).sustained;
  if (*power_limit == *sustained_power && power == 1) return sustained;
  const double still = sustained_power->si() / 7;
  const double share = (power_limit->si() - still) / (sustained_power->si() - still) / power;
  // Far below any limit that a part is sold with, a clock of a tenth is left.
  return std::min(sustained * std::sqrt(std::max(share, 0.01)), std::max(sustained, 1.0));
}

const GemmProfile& Gpu::gemm_profile(Precision p) const {
  if (const auto own = gemm.find(p); own != gemm.end()) return own->second;
  if (const auto half = gemm.find(Precision::bf16); half != gemm.end()) return half->second;
  CHECK(!gemm.empty(), "a GPU profile has GEMM constants");
  return gemm.begin()->second;
}

}  // namespace stepcast
