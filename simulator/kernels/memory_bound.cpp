#include <algorithm>

#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {

KernelTime memory_time(const MemoryBound& work, const Gpu& gpu) {
  const MemoryBoundProfile& profile = gpu.memory_bound;
  const BytesPerSecond rate = *gpu.hbm_bandwidth * *profile.bandwidth_fraction;
  const Seconds one = *profile.ramp_time + work.bytes / work.kernels / rate;
  const bool floored = one < *profile.floor_time;
  return {work.kernels * std::max(one, *profile.floor_time), floored ? Bound::launch : Bound::hbm,
          profile.bandwidth_fraction.basis, false};
}

std::string_view name_of(Bound bound) {
  switch (bound) {
    case Bound::tensor_cores: return "tensor cores";
    case Bound::hbm: return "HBM";
    case Bound::launch: return "launch";
    case Bound::network: return "network";
  }
  return "";
}

}  // namespace stepcast
