/// Closed forms of the distributed-training courses, for l layers, s tokens, hidden size h, b sequences, 16-bit numbers
/// and no embeddings; each is read off a whole prediction on links of known bandwidth.

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/predict.hpp"
#include "simulator/resolve.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

Timeline timeline_of(const Job& job) {
  Timeline timeline;
  const ExecutionOptions options{.granularity = Granularity::kernel, .jitter = false, .record_spans = true};
  predict(job, options, &timeline);
  return timeline;
}

/// Busy time of the instructions of that name on one rank.
Seconds time_of(const Timeline& timeline, const std::string& label, std::int32_t rank) {
  Seconds sum;
  for (const Span& span : timeline.spans) {
    if (span.rank == rank && timeline.labels[static_cast<std::size_t>(span.label)] == label) {
      sum += (span.end - span.start).seconds();
    }
  }
  return sum;
}

constexpr double h = 1024, s = 1024;

// Pipeline parallelism: 2 b s h bytes cross each boundary in each direction.
TEST(CourseForms, PipelineBoundary) {
  const std::int64_t m = 6;
  const Timeline timeline = timeline_of(fixtures::job(1, 2, 1, m));
  const Bytes sent = time_of(timeline, "send_forward", 0) * BytesPerSecond(300e9);
  const Bytes returned = time_of(timeline, "send_backward", 1) * BytesPerSecond(300e9);
  EXPECT_NEAR(sent / Bytes(2 * m * s * h), 1, 1e-6);
  EXPECT_NEAR(returned / Bytes(2 * m * s * h), 1, 1e-6);
}

// Data parallelism: gradients of 24 l h^2 bytes; a ring all_reduce over k ranks takes 2(k-1)/k of that over the link.
TEST(CourseForms, GradientAllReduce) {
  Job job = fixtures::job(1, 1, 4, 1);
  job.model.bias = false;
  job.model.position = Position::none;
  job.model.vocab = 16;
  const double l = static_cast<double>(job.model.layers);
  const Timeline timeline = timeline_of(job);
  const Bytes on_the_wire = time_of(timeline, "gradient_reduce", 0) * BytesPerSecond(300e9);
  EXPECT_NEAR(on_the_wire / Bytes(2.0 * 3 / 4 * 24 * l * h * h), 1, 0.003);  // norms and 16 words: 0.2%
}

// Tensor parallelism: four all_reduces of 2 b s h bytes a layer and step, 8 l b s h in all; a ring sends 2(t-1)/t of it.
TEST(CourseForms, TensorParallelAllReduce) {
  Job job = fixtures::job(2, 1, 1, 3);
  job.plan.sequence_parallel = false;
  const double l = static_cast<double>(job.model.layers), b = 3;
  const Timeline timeline = timeline_of(job);
  const Bytes sent = (time_of(timeline, "all_reduce_output", 0) + time_of(timeline, "all_reduce_input_gradient", 0)) *
                     BytesPerSecond(300e9);
  const double ring = 2.0 * 1 / 2;
  const double lm_head = 2 * b * s * h;  // its input gradient is reduced as well
  EXPECT_NEAR(sent / Bytes(ring * (8 * l * b * s * h + lm_head)), 1, 1e-6);
}

// FSDP: 24 l h^2 bytes are gathered in each pass and as many scattered; a ring sends (k-1)/k of each. ZeRO-3 moves 1.5
// times what data parallelism does (arXiv 1910.02054, section 7).
TEST(CourseForms, FullySharded) {
  Job job = fixtures::job(1, 1, 4, 1);
  job.model.bias = false;
  job.model.position = Position::none;
  job.model.vocab = 16;
  job.plan.zero = 3;
  const double l = static_cast<double>(job.model.layers);
  const Timeline timeline = timeline_of(job);
  const Bytes gathered = time_of(timeline, "parameter_gather", 0) * BytesPerSecond(300e9);
  const Bytes scattered = time_of(timeline, "gradient_scatter", 0) * BytesPerSecond(300e9);
  EXPECT_NEAR(gathered / Bytes(2 * 3.0 / 4 * 24 * l * h * h), 1, 0.003);
  EXPECT_NEAR(scattered / Bytes(3.0 / 4 * 24 * l * h * h), 1, 0.003);
  job.plan.zero = 0;
  const Bytes reduced = time_of(timeline_of(job), "gradient_reduce", 0) * BytesPerSecond(300e9);
  EXPECT_NEAR((gathered + scattered) / reduced, 1.5, 0.003);
}

// Mixed precision with Adam: (2 + 2 + K) bytes a parameter, K = 12; the ZeRO stages shard K, then gradients, then
// parameters (arXiv 1910.02054, figure 1: 7.5 G parameters on 64 GPUs: 120, 31.4, 16.6 and 1.9 GB).
TEST(CourseForms, ZeroFigure1) {
  const auto gigabytes = [](int zero) {
    StateBytes bytes = adam_state_bytes(Precision::fp16, 4, zero, 64);
    bytes.gradients /= 2;  // the paper's gradients are fp16; K holds no copy of them
    return 7.5 * bytes.total();
  };
  EXPECT_NEAR(gigabytes(0), 120, 0.1);
  EXPECT_NEAR(gigabytes(1), 31.4, 0.1);
  EXPECT_NEAR(gigabytes(2), 16.6, 0.1);
  EXPECT_NEAR(gigabytes(3), 1.9, 0.1);
}

}  // namespace
}  // namespace stepcast
