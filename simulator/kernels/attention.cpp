#include <algorithm>
#include <cmath>

#include "simulator/base/error.hpp"
#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {
namespace {

/// Speed by head dimension relative to 128, linear between the measured 64, 128 and 256.
double head_dim_factor(const AttentionProfile::Kernel& kernel, double d) {
  const double at64 = kernel.head_dim_64_factor;
  const double at256 = kernel.head_dim_256_factor;
  if (d <= 128) return at64 + (1 - at64) * (std::max(d, 64.0) - 64) / 64;
  return 1 + (at256 - 1) * (std::min(d, 256.0) - 128) / 128;
}

}  // namespace

KernelTime attention_time(const AttentionKernel& attention, const Gpu& gpu) {
  const auto found = gpu.attention.kernels.find(std::string(attention.kernel));
  CHECK(found != gpu.attention.kernels.end(), "the plan was resolved to an attention kernel that the GPU has");
  const AttentionProfile::Kernel& kernel = found->second;

  const bool masked = attention.causal && attention.skips_masked;
  const double half = masked ? *kernel.causal_half_length : *kernel.half_length;
  const double ramp = attention.key_length / (attention.key_length + half);
  const double fraction = attention.backward ? *kernel.backward_fraction : *kernel.forward_fraction;
  const double d = attention.head_dim_qk;
  // Head dimensions between multiples of 32 are padded to the next one inside the kernel.
  const double padding = d / (std::ceil(d / 32) * 32);

  // One block of 128 query rows and one head is one thread block.
  const double blocks = attention.sequences * attention.heads * std::ceil(attention.query_length / 128);
  const double occupancy = std::min(1.0, blocks / gpu.sms);

  const double rate = gpu.peak_rate(attention.precision).si() * fraction * ramp * head_dim_factor(kernel, d) * padding *
                      occupancy * gpu.gemm_profile(attention.precision).sustained;
  const double fixed = gpu.gemm_profile(attention.precision).fixed_time->si();
  return {Seconds(fixed + attention.flops().si() / rate), Bound::tensor_cores, kernel.forward_fraction.basis, true};
}

}  // namespace stepcast
