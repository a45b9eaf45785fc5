#include <algorithm>

#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {

KernelTime memory_time(const MemoryBound& work, const Gpu& gpu) {
  const MemoryBoundProfile& profile = gpu.memory_bound;
  const BytesPerSecond rate = *gpu.hbm_bandwidth * *profile.bandwidth_fraction;
  const Seconds one = *profile.ramp_time + work.bytes / work.kernels / rate;
  const bool floored = one < *profile.floor_time;
  return {work.kernels * std::max(one, *profile.floor_time), floored ? Bound::launch : Bound::hbm,
          evidence_of(profile.bandwidth_fraction.basis), false};
}

}  // namespace stepcast
