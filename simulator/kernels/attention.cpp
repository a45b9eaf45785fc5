#include <algorithm>
#include <array>
#include <cmath>

#include "simulator/base/error.hpp"
#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {
namespace {

/// Speed by head dimension relative to 128, linear between the measured 64, 128 and 256.
double head_dim_factor(const AttentionProfile::Pass& pass, double d) {
  const double at64 = pass.head_dim_64_factor;
  const double at256 = pass.head_dim_256_factor;
  if (d <= 128) return at64 + (1 - at64) * (std::max(d, 64.0) - 64) / 64;
  return 1 + (at256 - 1) * (std::min(d, 256.0) - 128) / 128;
}

/// The head dimension that runs in place of `d`. FlashAttention-3 is built for five of them (hopper/generate_kernels.py
/// of Dao-AILab/flash-attention), the kernels before it and cuDNN's for every multiple of 32.
double built_head_dim(std::string_view kernel, double d) {
  constexpr std::array<double, 5> flash3{64, 96, 128, 192, 256};
  if (kernel == "flash3") {
    const auto* const built = std::find_if(flash3.begin(), flash3.end(), [d](double size) { return size >= d; });
    if (built != flash3.end()) return *built;
  }
  return std::ceil(d / 32) * 32;
}

/// Share of the multiprocessors' time that has work. Forward, a thread block is 128 query rows of a head; backward, keys.
/// The last blocks of a launch leave multiprocessors idle for as long as one block takes, on average, under a causal
/// mask, where blocks differ in length, and half of that without: measured, see AttentionProfile::Kernel::tail_blocks.
double occupancy(const AttentionKernel& attention, bool masked, const AttentionProfile::Kernel& kernel,
                 const Gpu& gpu) {
  const double rows = attention.backward ? attention.key_length : attention.query_length;
  const double waves = attention.sequences * attention.heads * std::ceil(rows / 128) / *gpu.sms;
  if (*kernel.tail_blocks == 0) return std::min(1.0, waves);
  return waves / (waves + kernel.tail_blocks * (masked ? 1.0 : 0.5));
}

}  // namespace

KernelTime attention_time(const AttentionKernel& attention, const Gpu& gpu) {
  const auto found = gpu.attention.kernels.find(std::string(attention.kernel));
  CHECK(found != gpu.attention.kernels.end(), "the plan was resolved to an attention kernel that the GPU has");
  const AttentionProfile::Kernel& kernel = found->second;
  const GemmProfile& gemm = gpu.gemm_profile(attention.precision);

  const bool masked = attention.causal && attention.skips_masked;
  const AttentionProfile::Pass& pass = kernel.pass(attention.backward);
  const Sourced<double>& half = masked ? pass.causal_half_length : pass.half_length;
  // A window bounds the keys that a row of tiles runs over.
  const double length =
      masked && attention.window > 0 ? std::min(attention.window, attention.key_length) : attention.key_length;
  const double ramp = length / (length + half);
  const double d = attention.head_dim_qk;
  const double padding = d / built_head_dim(attention.kernel, d);

  const double rate = gpu.peak_rate(attention.precision).si() * pass.fraction * ramp * head_dim_factor(pass, d) *
                      padding * occupancy(attention, masked, kernel, gpu) *
                      gpu.sustained_clock(attention.precision, gpu.attention.power);
  const double compute = attention.flops().si() / rate;
  const double traffic = attention.bytes().si() / (gpu.hbm_bandwidth->si() * gemm.memory_fraction);
  const Evidence evidence = std::max(evidence_of(pass.fraction.basis), evidence_of(half.basis));
  const bool memory_bound = traffic > compute;
  return {*gemm.fixed_time + Seconds(std::max(compute, traffic)), memory_bound ? Bound::hbm : Bound::tensor_cores,
          evidence, !memory_bound};
}

}  // namespace stepcast
