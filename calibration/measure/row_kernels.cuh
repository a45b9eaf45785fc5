#pragma once
/// Norms, softmax and cross-entropy of memory.cu: one block a row, which stays in its registers.

#include <cmath>

#include "calibration/measure/failures.hpp"
#include "calibration/measure/flat_kernels.cuh"

namespace stepcast::measure {
namespace {

constexpr int packs_per_thread = 4;  ///< a thread keeps so many packs of its row
constexpr int largest_row_block = 1024;

int row_threads(std::int64_t width) {
  const std::int64_t packs = (width + lanes - 1) / lanes;
  const std::int64_t threads = ((packs + packs_per_thread - 1) / packs_per_thread + 31) / 32 * 32;
  if (threads > largest_row_block) throw Unsupported("rows of more than 32768 elements");
  return static_cast<int>(threads);
}

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Largest {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// Of all threads, for all threads.
template <class Operation>
__device__ float reduce(float value, float neutral, Operation operation) {
  __shared__ float parts[32];
  for (int offset = 16; offset > 0; offset /= 2) value = operation(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
  __syncthreads();  // those who still read the parts of the reduction before
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x % 32 < blockDim.x / 32 ? parts[threadIdx.x % 32] : neutral;
  for (int offset = 16; offset > 0; offset /= 2) value = operation(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
  return value;
}

/// The packs of a row that this thread keeps.
struct RowPart {
  Floats packs[packs_per_thread];
};

__device__ bool is_mine(int slot, int packs) { return static_cast<int>(slot * blockDim.x + threadIdx.x) < packs; }

__device__ RowPart load_row(const Pack* row, int packs, float padding) {
  RowPart part;
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s) {
    if (is_mine(s, packs)) {
      part.packs[s] = load(row, s * blockDim.x + threadIdx.x);
    } else {
#pragma unroll
      for (int i = 0; i < lanes; ++i) part.packs[s].values[i] = padding;
    }
  }
  return part;
}

__device__ void store_row(Pack* row, int packs, const RowPart& part) {
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
    if (is_mine(s, packs)) store(row, s * blockDim.x + threadIdx.x, part.packs[s]);
}

/// Each number becomes change(number).
template <class Change>
__device__ void change_each(RowPart& part, Change change) {
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
#pragma unroll
    for (int i = 0; i < lanes; ++i) part.packs[s].values[i] = change(part.packs[s].values[i]);
}

template <class Operation>
__device__ float over_part(const RowPart& part, float neutral, Operation operation) {
  float result = neutral;
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
#pragma unroll
    for (int i = 0; i < lanes; ++i) result = operation(result, part.packs[s].values[i]);
  return result;
}

constexpr float norm_epsilon = 1e-5f;

/// y = (x - mean) * rstd * gamma + beta, or without mean and beta.
template <bool centred>
__global__ void __launch_bounds__(largest_row_block)
    norm_kernel(const Pack* x, const Pack* gamma, const Pack* beta, Pack* y, float* means, float* rstds, int width) {
  const int packs = width / lanes;
  const long long row = blockIdx.x;
  RowPart part = load_row(x + row * packs, packs, 0);
  const float mean = centred ? reduce(over_part(part, 0, Sum{}), 0, Sum{}) / width : 0;
  float squares = 0;
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
    if (is_mine(s, packs))
#pragma unroll
      for (int i = 0; i < lanes; ++i) {
        const float difference = part.packs[s].values[i] - mean;
        squares += difference * difference;
      }
  const float rstd = rsqrtf(reduce(squares, 0, Sum{}) / width + norm_epsilon);
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
    if (is_mine(s, packs)) {
      const Floats g = load(gamma, s * blockDim.x + threadIdx.x);
      Floats b{};
      if (centred) b = load(beta, s * blockDim.x + threadIdx.x);
#pragma unroll
      for (int i = 0; i < lanes; ++i)
        part.packs[s].values[i] = (part.packs[s].values[i] - mean) * rstd * g.values[i] + b.values[i];
    }
  store_row(y + row * packs, packs, part);
  if (threadIdx.x == 0) {
    if (centred) means[row] = mean;
    rstds[row] = rstd;
  }
}

/// dx, and for each block the sums of dgamma and dbeta over its rows.
template <bool centred, int most_threads>
__global__ void __launch_bounds__(most_threads)
    norm_backward_kernel(const Pack* x, const Pack* dy, const Pack* gamma, const float* means, const float* rstds,
                         Pack* dx, float* gamma_parts, float* beta_parts, int rows, int width) {
  const int packs = width / lanes;
  RowPart gamma_sum{}, beta_sum{};
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const RowPart x_part = load_row(x + row * packs, packs, 0);
    const RowPart dy_part = load_row(dy + row * packs, packs, 0);
    const float mean = centred ? means[row] : 0;
    const float rstd = rstds[row];
    // With xhat = (x - mean) * rstd and g = dy * gamma: dx = rstd * (g - mean(g) - xhat * mean(g * xhat)).
    float sum_g = 0, sum_g_xhat = 0;
#pragma unroll
    for (int s = 0; s < packs_per_thread; ++s)
      if (is_mine(s, packs)) {
        const Floats weight = load(gamma, s * blockDim.x + threadIdx.x);
#pragma unroll
        for (int i = 0; i < lanes; ++i) {
          const float xhat = (x_part.packs[s].values[i] - mean) * rstd;
          const float d = dy_part.packs[s].values[i];
          gamma_sum.packs[s].values[i] += d * xhat;
          if (centred) beta_sum.packs[s].values[i] += d;
          sum_g += d * weight.values[i];
          sum_g_xhat += d * weight.values[i] * xhat;
        }
      }
    const float mean_g = centred ? reduce(sum_g, 0, Sum{}) / width : 0;
    const float mean_g_xhat = reduce(sum_g_xhat, 0, Sum{}) / width;
    RowPart result;
#pragma unroll
    for (int s = 0; s < packs_per_thread; ++s)
      if (is_mine(s, packs)) {
        const Floats weight = load(gamma, s * blockDim.x + threadIdx.x);
#pragma unroll
        for (int i = 0; i < lanes; ++i) {
          const float xhat = (x_part.packs[s].values[i] - mean) * rstd;
          result.packs[s].values[i] =
              rstd * (dy_part.packs[s].values[i] * weight.values[i] - mean_g - xhat * mean_g_xhat);
        }
      }
    store_row(dx + row * packs, packs, result);
  }
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
    if (is_mine(s, packs))
#pragma unroll
      for (int i = 0; i < lanes; ++i) {
        const long long at = static_cast<long long>(blockIdx.x) * width + (s * blockDim.x + threadIdx.x) * lanes + i;
        gamma_parts[at] = gamma_sum.packs[s].values[i];
        if (centred) beta_parts[at] = beta_sum.packs[s].values[i];
      }
}

/// Sums the parts of all blocks. 32 columns a block, 8 rows of threads.
__global__ void sum_parts_kernel(const float* parts, float* sums, int count, int width) {
  __shared__ float shared[8][33];
  const int column = static_cast<int>(blockIdx.x) * 32 + static_cast<int>(threadIdx.x);
  float sum = 0;
  if (column < width)
    for (int i = static_cast<int>(threadIdx.y); i < count; i += 8)
      sum += parts[static_cast<long long>(i) * width + column];
  shared[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  for (int i = 1; i < 8; ++i) sum += shared[i][threadIdx.x];
  sums[column] = sum;
}

__global__ void __launch_bounds__(largest_row_block) softmax_kernel(const Pack* x, Pack* y, int width) {
  const int packs = width / lanes;
  const long long row = blockIdx.x;
  RowPart part = load_row(x + row * packs, packs, -INFINITY);
  const float largest = reduce(over_part(part, -INFINITY, Largest{}), -INFINITY, Largest{});
  change_each(part, [=](float value) { return expf(value - largest); });
  const float factor = 1 / reduce(over_part(part, 0, Sum{}), 0, Sum{});
  change_each(part, [=](float value) { return value * factor; });
  store_row(y + row * packs, packs, part);
}

/// Loss and gradient of one row of logits at once.
__global__ void __launch_bounds__(largest_row_block)
    cross_entropy_kernel(const Pack* logits, const int* targets, Pack* gradients, float* losses, int width) {
  const int packs = width / lanes;
  const long long row = blockIdx.x;
  RowPart part = load_row(logits + row * packs, packs, -INFINITY);
  const int target = targets[row];
  const float largest = reduce(over_part(part, -INFINITY, Largest{}), -INFINITY, Largest{});
  const auto add_exponential = [=](float sum, float value) { return sum + expf(value - largest); };
  const float log_sum = largest + logf(reduce(over_part(part, 0, add_exponential), 0, Sum{}));
#pragma unroll
  for (int s = 0; s < packs_per_thread; ++s)
    if (is_mine(s, packs)) {
      const int first = static_cast<int>(s * blockDim.x + threadIdx.x) * lanes;
#pragma unroll
      for (int i = 0; i < lanes; ++i) {
        float& value = part.packs[s].values[i];
        if (first + i == target) losses[row] = log_sum - value;
        value = expf(value - log_sum) - (first + i == target ? 1.0f : 0.0f);
      }
    }
  store_row(gradients + row * packs, packs, part);
}

}  // namespace
}  // namespace stepcast::measure
