/// What the time of one kernel costs: it sits in the inner loop of a sweep.

#include <benchmark/benchmark.h>

#include "simulator/input/input.hpp"
#include "simulator/kernels/gemm_model.hpp"
#include "tests/support/shapes.hpp"

namespace stepcast {
namespace {

/// Shapes of a transformer layer, one after the other, as a pass over a model meets them.
void GemmModelTime(benchmark::State& state, const char* name, Precision precision) {
  const Gpu gpu = load_gpu(name);
  const GemmModel model(gpu, precision);
  const std::vector<Gemm> shapes = fixtures::layer_shapes(precision);
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(model.time(shapes[i]));
    i = i + 1 < shapes.size() ? i + 1 : 0;
  }
}
BENCHMARK_CAPTURE(GemmModelTime, a100, "a100-80gb-sxm", Precision::bf16);
BENCHMARK_CAPTURE(GemmModelTime, h100, "h100-80gb-sxm", Precision::bf16);
BENCHMARK_CAPTURE(GemmModelTime, h100_fp8, "h100-80gb-sxm", Precision::fp8);
BENCHMARK_CAPTURE(GemmModelTime, b200, "b200-180gb-sxm", Precision::bf16);

/// The same with a measured residual surface of a usual size, 12 x 12 x 12 points.
void GemmModelTimeWithSurface(benchmark::State& state) {
  Gpu gpu = load_gpu("a100-80gb-sxm");
  ResidualSurface& surface = gpu.gemm.at(Precision::bf16).residual;
  for (auto& axis : surface.axes)
    for (int i = 5; i < 17; ++i) axis.push_back(i);
  surface.log_ratio.assign(12 * 12 * 12, 0.01);
  surface.support.assign(12 * 12 * 12, 3);
  const GemmModel model(gpu, Precision::bf16);
  const std::vector<Gemm> shapes = fixtures::layer_shapes(Precision::bf16);
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(model.time(shapes[i]));
    i = i + 1 < shapes.size() ? i + 1 : 0;
  }
}
BENCHMARK(GemmModelTimeWithSurface);

/// Once a job and precision.
void BuildGemmModel(benchmark::State& state) {
  const Gpu gpu = load_gpu("a100-80gb-sxm");
  for (auto _ : state) benchmark::DoNotOptimize(GemmModel(gpu, Precision::bf16));
}
BENCHMARK(BuildGemmModel);

void AttentionTime(benchmark::State& state) {
  const Gpu gpu = load_gpu("h100-80gb-sxm");
  const AttentionKernel attention{.sequences = 1,
                                  .heads = 16,
                                  .kv_heads = 2,
                                  .query_length = 4096,
                                  .key_length = 4096,
                                  .head_dim_qk = 128,
                                  .head_dim_v = 128,
                                  .kernel = "flash3"};
  for (auto _ : state) benchmark::DoNotOptimize(attention_time(attention, gpu));
}
BENCHMARK(AttentionTime);

void MemoryTime(benchmark::State& state) {
  const Gpu gpu = load_gpu("h100-80gb-sxm");
  for (auto _ : state) benchmark::DoNotOptimize(memory_time({100.0_MB, 2}, gpu));
}
BENCHMARK(MemoryTime);

}  // namespace
}  // namespace stepcast
