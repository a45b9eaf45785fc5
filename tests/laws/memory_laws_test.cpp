/// What holds of memory, traffic and overlap for every plan.

#include <algorithm>
#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/predict.hpp"
#include "tests/support/any_job.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

ExecutionOptions with_spans() {
  ExecutionOptions options;
  options.record_spans = true;
  options.jitter = false;
  return options;
}

// What is taken is given back: at the end of a step no activations are left, and at no time are there fewer than none.
RC_GTEST_PROP(Memory, ActivationsAreNeverNegativeAndEndAtZero, ()) {
  const Job job = fixtures::any_job();
  Timeline timeline;
  const Report report = predict(job, with_spans(), &timeline);
  RC_PRE(report.has_time());
  for (const MemoryOverTime& memory : timeline.memory) {
    const Bytes at_rest = memory.samples.front().second;
    RC_ASSERT(std::abs((memory.samples.back().second - at_rest).si()) <= 1e-6 * at_rest.si());
    for (const auto& [time, bytes] : memory.samples) RC_ASSERT(bytes.si() >= at_rest.si() * (1 - 1e-9));
  }
}

// Nothing is dropped twice: what recomputation keeps of a layer is at most what it keeps without. Of a layer that is
// trained whole: where the first trained weight is an adapter late in a frozen layer, the adapter's input alone is kept
// without recomputation (in fp8 half of what a checkpoint keeps, the layer's input).
RC_GTEST_PROP(Memory, FullRecomputationHoldsLeast, ()) {
  Job job = fixtures::any_job();
  job.plan.lora.reset();
  const Bytes some = predict(job, ExecutionOptions{}).memory.held;
  job.plan.recompute = "full";
  const Bytes full = predict(job, ExecutionOptions{}).memory.held;
  RC_ASSERT(full.si() <= some.si() * (1 + 1e-9));
}

// A rank cannot stand still for communication longer than it communicates. (Passes that share the GPU are one span.)
RC_GTEST_PROP(Communication, ExposedIsAtMostAll, ()) {
  const Job job = fixtures::in_turn(fixtures::any_job());
  ExecutionOptions options = with_spans();
  options.granularity = Granularity::kernel;
  Timeline timeline;
  const Report report = predict(job, options, &timeline);
  RC_PRE(report.has_time());
  std::map<std::int32_t, double> all;
  for (const Span& span : timeline.spans) {
    const bool blocking = span.stream == Stream::compute && span.bucket != Bucket::compute &&
                          span.bucket != Bucket::optimizer && span.bucket != Bucket::host;
    if (span.stream != Stream::compute || blocking) all[span.rank] += (span.end - span.start).seconds().si();
  }
  for (std::size_t rank = 0; rank < timeline.buckets.size(); ++rank) {
    double exposed = 0;
    for (const Bucket bucket : {Bucket::tp_comm, Bucket::cp_comm, Bucket::ep_comm, Bucket::dp_comm, Bucket::pp_comm}) {
      exposed += timeline.buckets[rank][static_cast<std::size_t>(bucket)].seconds().si();
    }
    RC_ASSERT(exposed <= all[static_cast<std::int32_t>(rank)] * (1 + 1e-9) + 1e-9);
  }
}

// Without contention for multiprocessors, overlap can only hide. Half a per cent for what waits in another order.
RC_GTEST_PROP(Communication, OverlapIsNeverSlower, ()) {
  Job job = fixtures::in_turn(fixtures::any_job());
  job.plan.overlap_grad_reduce = job.plan.overlap_param_gather = true;
  const Report on = predict(job, ExecutionOptions{});
  job.plan.overlap_grad_reduce = job.plan.overlap_param_gather = false;
  const Report off = predict(job, ExecutionOptions{});
  RC_PRE(on.has_time());
  // Buckets pay their latency each, where the whole gradient would pay it once.
  RC_ASSERT(on.step_time <= off.step_time * 1.005 + 2.0_ms);
}

// (p - 1) / m: the bubble stays, the work grows.
RC_GTEST_PROP(Bubble, ShareFallsWithTheMicrobatches, ()) {
  const int p = *rc::gen::inRange(2, 5);
  const std::int64_t m = p * *rc::gen::inRange(1, 4);
  const std::string schedule = *rc::gen::element<std::string>("gpipe", "1f1b", "zb-h1", "interleaved-1f1b");
  const int v = schedule == "interleaved-1f1b" ? 2 : 1;
  const auto share = [&](std::int64_t microbatches) {
    Job job = fixtures::job(1, p, 1, microbatches, v);
    job.plan.schedule = schedule;
    return predict(job, ExecutionOptions{}).bubble_fraction;
  };
  RC_ASSERT(share(2 * m) <= share(m) * (1 + 1e-9));
}

// ZeRO (arXiv 1910.02054), section 7: ZeRO-3 moves 3 Psi where an all_reduce moves 2 Psi. The head's parameters stay
// gathered between its two passes.
TEST(Communication, ZeroThreeMovesHalfAsMuchAgain) {
  Job job = fixtures::job(1, 1, 8, 1);
  job.plan.reshard_after_forward = true;
  const auto data_time = [&](int zero) {
    job.plan.zero = zero;
    Timeline timeline;
    predict(job, with_spans(), &timeline);
    double sum = 0;
    for (const Span& span : timeline.spans) {
      if (span.rank == 0 && span.stream == Stream::data) sum += (span.end - span.start).seconds().si();
    }
    return sum;
  };
  const double parameters = predict(job, ExecutionOptions{}).model_parameters;
  const double head = 2 * 1024;  // a tied head has its norm alone
  EXPECT_NEAR(data_time(3) / data_time(0), (3 * parameters - head) / (2 * parameters), 0.01);
}

// Replicas are alike: it makes no difference which of them has the slow GPU.
RC_GTEST_PROP(Symmetry, AnyReplicaMayHaveTheSlowGpu, ()) {
  Job job = fixtures::job(1, *rc::gen::element(1, 2), 4, 4);
  ExecutionOptions options{.executor = Executor::events, .fold = false, .jitter = false};
  Fault slow;
  slow.speed = 0.8;
  const auto step = [&](std::int64_t replica) {
    slow.gpu = replica;  // of the first stage: without tensor parallelism ranks are replicas first
    job.faults = {slow};
    return predict(job, options).step_time.si();
  };
  const double first = step(0);
  RC_ASSERT(std::abs(step(*rc::gen::inRange<std::int64_t>(1, 4)) / first - 1) < 1e-9);
}

// Drives, PCIe, processors: more of the optimizer outside the GPU is never faster and never takes more of its memory.
RC_GTEST_PROP(Offload, MoreIsNeverFasterNorFuller, ()) {
  Job job = fixtures::in_turn(fixtures::any_job());
  job.cluster.node.host_memory_bandwidth = fixtures::given(BytesPerSecond(200e9));
  job.cluster.node.pcie_bandwidth = fixtures::given(BytesPerSecond(25e9));
  job.cluster.node.nvme_read_bandwidth = fixtures::given(BytesPerSecond(10e9));
  job.cluster.node.nvme_write_bandwidth = fixtures::given(BytesPerSecond(5e9));
  job.plan.cpu_offload = "none";
  job.plan.offload_to_nvme = false;
  const Report here = predict(job, ExecutionOptions{});
  RC_PRE(here.has_time());
  job.plan.cpu_offload = "optimizer";
  const Report cpu = predict(job, ExecutionOptions{});
  job.plan.offload_to_nvme = true;
  const Report nvme = predict(job, ExecutionOptions{});
  RC_ASSERT(cpu.memory.allocated() <= here.memory.allocated());
  RC_ASSERT(nvme.step_time >= cpu.step_time);
}

}  // namespace
}  // namespace stepcast
