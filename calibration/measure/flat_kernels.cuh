#pragma once
/// Copies and element-wise kernels of memory.cu: 16 bytes an access, several in flight.

#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace stepcast::measure {
namespace {

using bf16 = __nv_bfloat16;
constexpr int lanes = 8;  ///< bf16 in 16 bytes

/// Eight numbers, 16 bytes in memory.
struct alignas(16) Pack {
  bf16 values[lanes];
};

struct Floats {
  float values[lanes];
};

__device__ Floats load(const Pack* data, long long index) {
  const Pack pack = data[index];
  Floats floats;
#pragma unroll
  for (int i = 0; i < lanes; ++i) floats.values[i] = __bfloat162float(pack.values[i]);
  return floats;
}

__device__ void store(Pack* data, long long index, const Floats& floats) {
  Pack pack;
#pragma unroll
  for (int i = 0; i < lanes; ++i) pack.values[i] = __float2bfloat16(floats.values[i]);
  data[index] = pack;
}

constexpr int unrolled = 4;  ///< accesses in flight, each a block apart
constexpr int flat_threads = 256;

__global__ void copy_kernel(const uint4* from, uint4* to, long long count) {
  const long long first = static_cast<long long>(blockIdx.x) * flat_threads * unrolled + threadIdx.x;
  uint4 values[unrolled];
#pragma unroll
  for (int i = 0; i < unrolled; ++i)
    if (first + i * flat_threads < count) values[i] = from[first + i * flat_threads];
#pragma unroll
  for (int i = 0; i < unrolled; ++i)
    if (first + i * flat_threads < count) to[first + i * flat_threads] = values[i];
}

/// Leaves the exclusive or of all words in `result`, a word that the last run cleared.
__global__ void read_kernel(const uint4* from, long long count, unsigned* result) {
  const long long first = static_cast<long long>(blockIdx.x) * flat_threads * unrolled + threadIdx.x;
  unsigned sum = 0;
#pragma unroll
  for (int i = 0; i < unrolled; ++i)
    if (first + i * flat_threads < count) {
      const uint4 v = from[first + i * flat_threads];
      sum ^= v.x ^ v.y ^ v.z ^ v.w;
    }
  for (int offset = 16; offset > 0; offset /= 2) sum ^= __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
  if (threadIdx.x % 32 == 0 && sum != 0) atomicXor(result + blockIdx.x % 32, sum);
}

__global__ void write_kernel(uint4* to, long long count, unsigned value) {
  const long long first = static_cast<long long>(blockIdx.x) * flat_threads * unrolled + threadIdx.x;
#pragma unroll
  for (int i = 0; i < unrolled; ++i)
    if (first + i * flat_threads < count) to[first + i * flat_threads] = make_uint4(value, value, value, value);
}

__device__ float gelu(float x) { return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x))); }
__device__ float silu(float x) { return x / (1 + expf(-x)); }

__global__ void gelu_kernel(const Pack* x, Pack* y, long long count) {
  const long long i = static_cast<long long>(blockIdx.x) * flat_threads + threadIdx.x;
  if (i >= count) return;
  Floats v = load(x, i);
#pragma unroll
  for (int j = 0; j < lanes; ++j) v.values[j] = gelu(v.values[j]);
  store(y, i, v);
}

__global__ void swiglu_kernel(const Pack* gate, const Pack* up, Pack* y, long long count) {
  const long long i = static_cast<long long>(blockIdx.x) * flat_threads + threadIdx.x;
  if (i >= count) return;
  Floats v = load(gate, i);
  const Floats u = load(up, i);
#pragma unroll
  for (int j = 0; j < lanes; ++j) v.values[j] = silu(v.values[j]) * u.values[j];
  store(y, i, v);
}

__global__ void residual_add_kernel(const Pack* a, const Pack* b, Pack* y, long long count) {
  const long long i = static_cast<long long>(blockIdx.x) * flat_threads + threadIdx.x;
  if (i >= count) return;
  Floats v = load(a, i);
  const Floats u = load(b, i);
#pragma unroll
  for (int j = 0; j < lanes; ++j) v.values[j] += u.values[j];
  store(y, i, v);
}

struct AdamConstants {
  float beta1 = 0.9f, beta2 = 0.95f, rate = 1e-3f, epsilon = 1e-8f, decay = 0.1f;
};

/// Master weights, both moments and gradients in fp32; leaves the weights in bf16 as well. Four a thread.
__global__ void adam_kernel(float4* weights, float4* first, float4* second, const float4* gradients, uint2* weights16,
                            long long count, AdamConstants c) {
  const long long i = static_cast<long long>(blockIdx.x) * flat_threads + threadIdx.x;
  if (i >= count) return;
  float4 w4 = weights[i], m4 = first[i], v4 = second[i];
  const float4 g4 = gradients[i];
  float* w = &w4.x;
  float* m = &m4.x;
  float* v = &v4.x;
  const float* g = &g4.x;
  union {
    bf16 values[4];
    uint2 packed;
  } narrow{};
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    m[j] = c.beta1 * m[j] + (1 - c.beta1) * g[j];
    v[j] = c.beta2 * v[j] + (1 - c.beta2) * g[j] * g[j];
    w[j] -= c.rate * (m[j] / (sqrtf(v[j]) + c.epsilon) + c.decay * w[j]);
    narrow.values[j] = __float2bfloat16(w[j]);
  }
  weights[i] = w4;
  first[i] = m4;
  second[i] = v4;
  weights16[i] = narrow.packed;
}

}  // namespace
}  // namespace stepcast::measure
