#include <gtest/gtest.h>

#include "simulator/execution/options.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/predict.hpp"
#include "simulator/units/text.hpp"
#include "simulator/workload/gradients.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

MemoryUse use(double allocated, double outside, double fragmentation, double capacity) {
  MemoryUse memory;
  memory.parameters = allocated * 1.0_GiB;
  memory.context = outside * 1.0_GiB;
  memory.fragmentation = fragmentation;
  memory.capacity = capacity * 1.0_GiB;
  return memory;
}

// PyTorch's caching allocator keeps what it has reserved, and gives cached blocks back before it fails.
TEST(MemoryUse, ReservedGrowsWhileThereIsRoom) {
  EXPECT_DOUBLE_EQ(use(50, 2, 1.1, 80).reserved() / 1.0_GiB, 55);
  EXPECT_DOUBLE_EQ(use(50, 2, 1.1, 80).peak() / 1.0_GiB, 57);
  EXPECT_DOUBLE_EQ(use(75, 2, 1.1, 80).reserved() / 1.0_GiB, 78);
  EXPECT_TRUE(use(75, 2, 1.1, 80).fits());
  EXPECT_DOUBLE_EQ(use(79, 2, 1.1, 80).peak() / 1.0_GiB, 81);
  EXPECT_FALSE(use(79, 2, 1.1, 80).fits());
}

TEST(MemoryUse, PartsSumToThePeak) {
  MemoryUse memory = use(40, 1, 1.2, 80);
  memory.communicators = 2.0_GiB;
  EXPECT_DOUBLE_EQ((memory.allocated() + memory.other()) / 1.0_GiB, memory.peak() / 1.0_GiB);
}

// NVIDIA/Megatron-LM docs/dist_optimizer.md (16-bit and fp32 sums), deepspeedai/DeepSpeed runtime/bf16_optimizer.py.
TEST(Gradients, TypeFollowsTheFramework) {
  Framework framework = fixtures::ideal_framework();
  ParallelPlan plan;
  plan.grad_reduce_dtype = "bf16";
  const auto bytes = [&](GradientType type, Precision precision) {
    framework.gradient_dtype = fixtures::given(type);
    plan.precision = precision;
    return std::pair(accumulated_bytes(plan, framework), held_bytes(plan, framework));
  };
  EXPECT_EQ(bytes(GradientType::fp32, Precision::fp16), std::pair(4.0, 4.0));
  EXPECT_EQ(bytes(GradientType::reduced, Precision::fp8), std::pair(2.0, 2.0));
  EXPECT_EQ(bytes(GradientType::fp32_if_bf16, Precision::bf16), std::pair(4.0, 4.0));
  EXPECT_EQ(bytes(GradientType::fp32_if_bf16, Precision::fp16), std::pair(2.0, 2.0));
  EXPECT_EQ(bytes(GradientType::fp32_beside_bf16, Precision::bf16), std::pair(4.0, 6.0));
  EXPECT_EQ(bytes(GradientType::fp32_beside_bf16, Precision::fp16), std::pair(2.0, 2.0));
  plan.grad_reduce_dtype = "fp32";
  EXPECT_EQ(bytes(GradientType::reduced, Precision::bf16), std::pair(4.0, 4.0));
}

MemoryUse memory_of(const Job& job) { return predict(job, ExecutionOptions{}).memory; }

// torchtitan: fp32 shards of parameters, gradients and two moments: 16 bytes a parameter over the ranks that share it.
TEST(MemoryUse, FullyShardedStates) {
  Job job = fixtures::job(1, 1, 8, 1);
  job.plan.zero = 3;
  job.framework.sharded_master = fixtures::given(true);
  const Report report = predict(job, ExecutionOptions{});
  const MemoryUse& memory = report.memory;
  EXPECT_NEAR((memory.parameters + memory.gradients + memory.optimizer) / Bytes(report.model_parameters), 16.0 / 8,
              1e-9);
}

// ZeRO-2 of DeepSpeed keeps the 16-bit parameters whole and gathers nothing: (2 + 12/D) and gradients 2/D.
TEST(MemoryUse, ZeroTwoGathersNothing) {
  Job job = fixtures::job(1, 1, 8, 1);
  job.framework.gradient_dtype = fixtures::given(GradientType::parameter);
  job.plan.zero = 2;
  const Report report = predict(job, ExecutionOptions{});
  EXPECT_NEAR(
      (report.memory.parameters + report.memory.gradients + report.memory.optimizer) / Bytes(report.model_parameters),
      2 + 14.0 / 8, 1e-9);
  EXPECT_EQ(report.memory.buffers, Bytes{});
}

// Under a pipeline FSDP reduces with the last microbatch only: whole gradients in the type of the reduction till then.
TEST(MemoryUse, PipelinedFullyShardedKeepsWholeGradients) {
  Job job = fixtures::job(1, 2, 4, 4);
  job.plan.zero = 3;
  job.framework.sharded_master = fixtures::given(true);
  job.plan.grad_reduce_dtype = "bf16";
  const MemoryUse narrow = memory_of(job);
  job.plan.grad_reduce_dtype = "fp32";
  const MemoryUse wide = memory_of(job);
  const double stage = predict(job, ExecutionOptions{}).per_stage[0].parameters;
  EXPECT_GT((wide.buffers - narrow.buffers).si(), 2 * stage);
}

// Transformer Engine keeps the fp8 inputs of its linears: LN outputs 2h and fc2's input f at 1 byte instead of 2, and
// the attention output beside the quantised one (+ h at 1 byte): 34 h -> 34 h - 2h - 4h + h = 29 h for f = 4h, GELU.
TEST(MemoryUse, Fp8InputsTakeOneByte) {
  Job job = fixtures::job(1, 1, 1, 1);
  job.cluster.gpu.peak[Precision::fp8] = fixtures::given(FlopsPerSecond(200e12));
  job.cluster.gpu.gemm[Precision::fp8] = job.cluster.gpu.gemm.at(Precision::bf16);
  const auto layers = [&](std::int64_t count) {
    job.model.layers = count;
    return memory_of(job).activations.si();
  };
  const auto per_layer = [&] { return (layers(12) - layers(4)) / 8; };
  const double sh = 1024.0 * 1024;
  job.plan.precision = Precision::bf16;
  const double wide = per_layer();
  job.plan.precision = Precision::fp8;
  EXPECT_DOUBLE_EQ(per_layer(), wide);
  job.framework.fp8_saves_inputs = fixtures::given(true);
  EXPECT_NEAR((wide - per_layer()) / sh, 2 + 4 - 1, 1e-9);
}

// Megatron-LM's block method computes the first n layers of a chunk again, torchtitan's per-layer policy every second
// one: time and memory lie between none and full, in proportion to the layers.
TEST(RecomputedLayers, AShareOfFull) {
  Job job = fixtures::job(1, 1, 1, 1);
  job.model.layers = 8;
  const auto with = [&](const char* policy) {
    job.plan.recompute = policy;
    const Report report = predict(job, ExecutionOptions{});
    return std::pair(report.step_time.si(), report.memory.activations.si());
  };
  const auto [time_none, memory_none] = with("none");
  const auto [time_full, memory_full] = with("full");
  for (const auto& [policy, share] :
       {std::pair("full-2-layers", 0.25), {"every-other-layer", 0.5}, {"full-8-layers", 1.0}}) {
    const auto [time, memory] = with(policy);
    EXPECT_NEAR((time - time_none) / (time_full - time_none), share, 1e-3) << policy;
    EXPECT_LT(memory, memory_none) << policy;
    EXPECT_GE(memory, memory_full) << policy;
  }
}

// The logits of the last microbatch and a recomputed layer are never there together: the fuller of the two moments counts.
TEST(MemoryUse, FullestMomentIsTheHeadsOrALayers) {
  Job job = fixtures::job(1, 1, 1, 1);
  job.plan.recompute = "full";
  job.model.vocab = 128;
  const MemoryUse small = memory_of(job);
  EXPECT_EQ(small.fullest.block, "layer");
  job.model.vocab = 512 * 1024;
  const MemoryUse large = memory_of(job);
  EXPECT_EQ(large.fullest.block, "head");
  // 6 bytes a logit (fused loss), and beside them the layers' inputs alone.
  const double logits = 1024.0 * 512 * 1024;
  EXPECT_NEAR(large.activations.si() / (6 * logits), 1, 0.05);
  EXPECT_GT(large.held, 8 * Bytes(2.0 * 1024 * 1024));
}

// Transformer Engine's dummy gradients, one a shape of weight: qkv 3 h^2, projection h^2, 4 h^2 and 4 h^2, 2 bytes each.
TEST(MemoryUse, DummyGradientsOfEachShape) {
  Job job = fixtures::job(1, 1, 1, 1);
  const Bytes without = memory_of(job).buffers;
  job.framework.dummy_weight_gradients = fixtures::given(true);
  EXPECT_DOUBLE_EQ((memory_of(job).buffers - without).si(), 2 * 12 * 1024.0 * 1024);
  job.framework.gradient_accumulation_fusion = fixtures::given(false);
  EXPECT_EQ(memory_of(job).buffers, without);
}

// Megatron-Core's precision-aware optimizer with bf16 moments: 6 + 8/D bytes instead of 6 + 12/D.
TEST(MemoryUse, NarrowMoments) {
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::bf16, 4, 1, 64, 2).total(), 6 + 8.0 / 64);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::bf16, 4, 1, 64, 1).total(), 6 + 6.0 / 64);
  Job job = fixtures::job(1, 1, 1, 1);
  const Report wide = predict(job, ExecutionOptions{});
  job.plan.moment_dtype = "bf16";
  EXPECT_DOUBLE_EQ((wide.memory.optimizer - memory_of(job).optimizer) / Bytes(wide.model_parameters), 4);
}

// deepspeedai/DeepSpeed gathers modules up to stage3_max_live_parameters, not whole layers.
TEST(MemoryUse, LiveParametersBoundWhatIsGathered) {
  Job job = fixtures::job(1, 1, 8, 1);
  job.plan.zero = 3;
  job.plan.recompute = "full";
  job.model.vocab = 128;
  const double module = 4 * 1024.0 * 1024;  // never less than it, and its gradient beside
  job.framework.live_parameters = fixtures::given(1.0);
  EXPECT_DOUBLE_EQ(memory_of(job).buffers.si(), 2 * (module + module));
  job.framework.live_parameters = fixtures::given(50e6);
  EXPECT_DOUBLE_EQ(memory_of(job).buffers.si(), 2 * (50e6 + module));
}

}  // namespace
}  // namespace stepcast
