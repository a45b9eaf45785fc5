#include <algorithm>

#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {

KernelTime memory_time(const MemoryBound& work, const Gpu& gpu) {
  const MemoryBoundProfile& profile = gpu.memory_bound;
  const BytesPerSecond rate = *gpu.hbm_bandwidth * *profile.bandwidth_fraction;
  const Bytes bytes = work.bytes / work.kernels;
  const double held = work.warm ? std::min(*gpu.l2 / bytes, 1.0) : 0.0;
  const Seconds one = *profile.ramp_time + bytes / rate * (1 - held + held / profile.l2_speedup);
  const bool floored = one < *profile.floor_time;
  return {work.kernels * std::max(one, *profile.floor_time), floored ? Bound::launch : Bound::hbm,
          evidence_of(profile.bandwidth_fraction.basis), false};
}

}  // namespace stepcast
