// Matrix products of training, in all three layouts. fp8 has TN only, with bf16 or fp32 results.

#include <cmath>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "calibration/measure/matmul.cuh"

namespace stepcast::measure {
namespace {

/// An element of the result: where, and what it should be.
struct Sample {
  long long batch, row, column;
  double before;  ///< what stood there, when the product is added to it
  double expected;
  double magnitude;  ///< sum of |left * right|: what rounding errors are relative to
  double found;
};

__device__ double load(const void* data, long long index, Element element) {
  switch (element) {
    case Element::fp32: return static_cast<const float*>(data)[index];
    case Element::fp16: return __half2float(static_cast<const __half*>(data)[index]);
    case Element::bf16: return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
    case Element::fp8_e4m3: return static_cast<float>(static_cast<const __nv_fp8_e4m3*>(data)[index]);
  }
  return 0;
}

/// Shape, layout and storage of a product, for the reference.
struct Product {
  long long m, n, k;
  bool left_transposed, right_transposed, accumulate;
  Element input, output;
};

/// A block works out one element, slowly and in double precision. Before the product itself runs.
__global__ void reference_kernel(Product p, const void* left, const void* right, const void* result, Sample* samples) {
  Sample& sample = samples[blockIdx.x];
  double sum = 0, magnitude = 0;
  for (long long i = threadIdx.x; i < p.k; i += blockDim.x) {
    const long long left_index = p.left_transposed ? i * p.m + sample.row : sample.row * p.k + i;
    const long long right_index = p.right_transposed ? sample.column * p.k + i : i * p.n + sample.column;
    const double term = load(left, sample.batch * p.m * p.k + left_index, p.input) *
                        load(right, sample.batch * p.k * p.n + right_index, p.input);
    sum += term;
    magnitude += fabs(term);
  }
  __shared__ double sums[2][128];
  sums[0][threadIdx.x] = sum;
  sums[1][threadIdx.x] = magnitude;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned i = 1; i < blockDim.x; ++i) {
    sum += sums[0][i];
    magnitude += sums[1][i];
  }
  const long long index = sample.batch * p.m * p.n + sample.row * p.n + sample.column;
  sample.before = p.accumulate ? load(result, index, p.output) : 0;
  sample.expected = sample.before + sum;
  sample.magnitude = magnitude;
}

__global__ void pick_kernel(Product p, const void* result, Sample* samples) {
  Sample& sample = samples[blockIdx.x];
  sample.found = load(result, sample.batch * p.m * p.n + sample.row * p.n + sample.column, p.output);
}

std::vector<Sample> sample_places(const GemmPoint& point) {
  std::vector<Sample> samples;
  std::uint64_t state = 12345;
  const auto below = [&](std::int64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<long long>((state >> 33) % static_cast<std::uint64_t>(n));
  };
  samples.push_back({0, 0, 0, 0, 0, 0, 0});
  samples.push_back({point.batch - 1, point.m - 1, point.n - 1, 0, 0, 0, 0});
  while (samples.size() < 128) samples.push_back({below(point.batch), below(point.m), below(point.n), 0, 0, 0, 0});
  return samples;
}

/// Rounding of the result, and of what happens inside: tf32 rounds the operands to 10 bits; fp8 is summed up in about
/// 14 bits before it reaches fp32.
double allowed_error(const Sample& sample, const GemmPoint& point, Element output) {
  const double output_rounding = output == Element::bf16 ? 0x1p-8 : output == Element::fp16 ? 0x1p-10 : 0x1p-22;
  const double inner_rounding = point.precision == "tf32" || point.precision == "fp8" ? 1e-3 : 2e-5;
  return output_rounding * std::abs(sample.expected) + inner_rounding * (sample.magnitude + std::abs(sample.before));
}

/// Runs the product once and compares a sample of its elements.
void verify(const GemmPoint& point, const Matmul& matmul, const void* left, const void* right, void* result,
            cudaStream_t stream) {
  std::vector<Sample> samples = sample_places(point);
  const Product product{
      point.m,        point.n,        point.k, point.layout == "nt", point.layout == "tn", point.accumulate_fp32,
      matmul.input(), matmul.output()};
  const auto blocks = static_cast<unsigned>(samples.size());
  const std::size_t bytes = samples.size() * sizeof(Sample);
  const Buffer on_device(bytes);
  CHECK_CUDA(cudaMemcpyAsync(on_device.at(), samples.data(), bytes, cudaMemcpyHostToDevice, stream));
  reference_kernel<<<blocks, 128, 0, stream>>>(product, left, right, result, on_device.at<Sample>());
  CHECK_LAUNCH();
  matmul.run(left, right, result, stream);
  pick_kernel<<<blocks, 1, 0, stream>>>(product, result, on_device.at<Sample>());
  CHECK_LAUNCH();
  CHECK_CUDA(cudaMemcpyAsync(samples.data(), on_device.at(), bytes, cudaMemcpyDeviceToHost, stream));
  CHECK_CUDA(cudaStreamSynchronize(stream));

  for (const Sample& sample : samples)
    if (!(std::abs(sample.found - sample.expected) <= allowed_error(sample, point, matmul.output())))
      throw WrongResult("element [" + std::to_string(sample.row) + ", " + std::to_string(sample.column) + "] is " +
                        std::to_string(sample.found) + ", not " + std::to_string(sample.expected));
}

/// Inputs of one precision, shared by the points, and room for results.
class Operands {
 public:
  /// Normal numbers, enough of them.
  void prepare(const Matmul& matmul, int sets, cudaStream_t stream) {
    set_bytes_ = aligned(matmul.left_bytes()) + aligned(matmul.right_bytes());
    left_bytes_ = aligned(matmul.left_bytes());
    result_bytes_ = aligned(matmul.result_bytes());
    if (set_bytes_ * sets > inputs_.size() || filled_with_ != matmul.input()) {
      results_ = Buffer();
      inputs_.reserve(set_bytes_ * sets);
      filled_with_ = matmul.input();
      fill_normal(inputs_.at(), inputs_.size() / bytes_of(filled_with_), filled_with_, 1, stream);
    }
    results_.reserve(result_bytes_ * sets);
    fill_normal(results_.at(), results_.size() / bytes_of(matmul.output()), matmul.output(), 2, stream);
  }
  const void* left(int set) const { return inputs_.at(set_bytes_ * set); }
  const void* right(int set) const { return inputs_.at(set_bytes_ * set + left_bytes_); }
  void* result(int set) const { return results_.at(result_bytes_ * set); }

 private:
  Buffer inputs_, results_;
  Element filled_with_ = Element::fp32;
  std::size_t set_bytes_ = 0, left_bytes_ = 0, result_bytes_ = 0;
};

Outcome measure_point(const Session& session, const MatmulLibrary& library, Operands& operands, const Stream& stream,
                      const GemmPoint& point) {
  if (point.precision == "fp8" && session.device().compute_capability < 89)
    throw Unsupported("fp8 needs compute capability 8.9");
  const Matmul matmul(library, point);
  const int sets = rotations(matmul.left_bytes() + matmul.right_bytes() + matmul.result_bytes(), session.device());
  operands.prepare(matmul, sets, stream);
  verify(point, matmul, operands.left(0), operands.right(0), operands.result(0), stream);
  const auto launch = [&](int i) {
    const int set = i % sets;
    matmul.run(operands.left(set), operands.right(set), operands.result(set), stream);
  };
  return {time_executions(session, stream, launch), true};
}

}  // namespace

void measure_gemm(Session& session, const Points& points) {
  const Stream stream;
  const MatmulLibrary library;
  Operands operands;
  for (const MeasuredPoint& point : points)
    session.measure(MatmulLibrary::version(), point, [&](MeasuredPoint& p) {
      return measure_point(session, library, operands, stream, std::get<GemmPoint>(p));
    });
}

}  // namespace stepcast::measure
