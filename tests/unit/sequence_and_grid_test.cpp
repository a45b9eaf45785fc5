// Context parallelism, overlapped and gridded tensor parallelism on a machine without latencies: volumes by their papers.

#include <cmath>

#include <gtest/gtest.h>

#include "simulator/execution/pass_ops.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/spans.hpp"

namespace stepcast {
namespace {

using fixtures::launched;

constexpr double inside = 300e9;  // bytes a second
constexpr double s = 1024, h = 1024, layers = 8, e = 2;

Job long_sequence(const std::string& kind, int a2a = 1) {
  Job job = fixtures::job(1, 1, 1, 1);
  job.cluster = fixtures::ideal_cluster(4);
  job.plan.context_parallel = 4;
  job.plan.cp_comm_type = kind;
  job.plan.context_parallel_a2a = a2a;
  return job;
}

// Ulysses (arXiv 2309.14509, section 3.2): q, k, v and the output of T = s / c tokens, forward and backward alike.
TEST(ContextParallel, UlyssesExchangesFourTensorsEachWay) {
  auto spans = launched(long_sequence("a2a"));
  EXPECT_EQ(spans["exchange_heads"].count, 4 * layers);
  EXPECT_NEAR(spans["exchange_heads"].seconds, layers * 2 * 4 * e * s / 4 * h * 3 / 4 / inside, 1e-9);
}

// Llama 3 (arXiv 2407.21783, section 3.3.2): keys and values of all ranks before the attention, again backward, and their
// gradients scattered. The ring moves as much.
TEST(ContextParallel, GatheredKeysAndValues) {
  const double keys_and_values = layers * e * s * 2 * h * 3 / 4 / inside;
  auto gathered = launched(long_sequence("all_gather"));
  EXPECT_NEAR(gathered["gather_keys_values"].seconds, 2 * keys_and_values, 1e-9);
  EXPECT_NEAR(gathered["scatter_key_value_gradients"].seconds, keys_and_values, 1e-9);
  auto ring = launched(long_sequence("p2p"));
  EXPECT_NEAR(ring["ring_keys_values"].seconds, 2 * keys_and_values, 1e-9);
  EXPECT_NEAR(ring["ring_key_value_gradients"].seconds, keys_and_values, 1e-9);
}

// PyTorch's ring (_templated_ring_attention and its backward): keys and values gathered forward and backward; after each of
// the c kernels of the backward pass fp32 gradients of a rank's own size go on.
TEST(ContextParallel, TorchRingSendsGradientsInFp32) {
  Job job = long_sequence("torch_ring");
  auto spans = launched(job);
  EXPECT_NEAR(spans["gather_keys_values"].seconds, 2 * layers * e * s * 2 * h * 3 / 4 / inside, 1e-9);
  EXPECT_EQ(spans["rotate_key_value_gradients"].count, layers * 4);
  EXPECT_NEAR(spans["rotate_key_value_gradients"].seconds, layers * 4 * (4 * s / 4 * 2 * h) / inside, 1e-9);
  EXPECT_EQ(spans["attention_merge"].count, layers * 3);
  EXPECT_EQ(spans["attention_gradient_sum"].count, layers * 4);
  EXPECT_NEAR(spans["core_attention"].seconds, launched(long_sequence("p2p"))["core_attention"].seconds, 1e-9);
}

// Two key-value heads of 64 among 16 queries: copied before attention, all 16 travel.
TEST(ContextParallel, TorchRingSendsCopiedHeads) {
  Job job = long_sequence("torch_ring");
  job.model.kv_heads = 2;
  const double few = launched(job)["rotate_key_value_gradients"].seconds;
  job.framework.repeats_key_value_heads.value = true;
  const double copied = launched(job)["rotate_key_value_gradients"].seconds;
  EXPECT_NEAR(copied / few, double(job.model.heads) / 2, 1e-4);  // whole picoseconds
}

// Compiled, every exchange is waited for where it is issued; eager, a kernel runs beside it. The last gradients come home
// after all kernels either way.
TEST(ContextParallel, CompiledTorchRingHidesNothing) {
  Job job = long_sequence("torch_ring");
  auto spans = launched(job);
  const double sent = spans["gather_keys_values"].seconds + spans["rotate_key_value_gradients"].seconds;
  const double eager = predict(job).breakdown.cp_comm_exposed.si();
  job.framework.launch_mode.value = LaunchMode::compiled;
  const double compiled = predict(job).breakdown.cp_comm_exposed.si();
  EXPECT_NEAR(compiled, sent, 1e-3 * sent);
  EXPECT_GE(eager, spans["rotate_key_value_gradients"].seconds / 4 * (1 - 1e-3));
  EXPECT_LT(eager, compiled);
}

// Grouped queries: a ring and a gather move the few key-value heads; heads are copied where ranks outnumber them.
TEST(ContextParallel, FewKeyValueHeads) {
  Job job = long_sequence("a2a");
  job.model.kv_heads = 2;
  const double d = 64;
  EXPECT_NEAR(launched(job)["exchange_heads"].seconds,
              layers * 2 * e * s / 4 * (2 * h + 2 * 2 * d * (4.0 / 2)) * 3 / 4 / inside, 1e-9);
  job.plan.cp_comm_type = "all_gather";
  EXPECT_NEAR(launched(job)["gather_keys_values"].seconds, 2 * layers * e * s * 2 * 2 * d * 3 / 4 / inside, 1e-9);
}

// USP (arXiv 2405.07719): heads among pairs, a ring of two such pairs with half of the heads.
TEST(ContextParallel, HeadsInsideAndARingBetween) {
  auto spans = launched(long_sequence("a2a+p2p", 2));
  EXPECT_NEAR(spans["exchange_heads"].seconds, layers * 2 * 4 * e * s / 4 * h * 1 / 2 / inside, 1e-9);
  EXPECT_NEAR(spans["ring_keys_values"].seconds, layers * 2 * e * s * 2 * h / 2 * 1 / 2 / inside, 1e-9);
  // At its ends it is one or the other.
  EXPECT_EQ(predict(long_sequence("a2a+p2p", 4)).step_time, predict(long_sequence("a2a")).step_time);
  EXPECT_EQ(predict(long_sequence("a2a+p2p", 1)).step_time, predict(long_sequence("p2p")).step_time);
}

// Every kind computes the same: half of the square, shared out evenly.
TEST(ContextParallel, AllKindsShareOutTheSameAttention) {
  const double ring = launched(long_sequence("p2p"))["core_attention"].seconds;
  EXPECT_NEAR(launched(long_sequence("all_gather"))["core_attention"].seconds / ring, 1, 0.15);
  EXPECT_NEAR(launched(long_sequence("torch_ring"))["core_attention"].seconds / ring, 1, 0.15);
  EXPECT_NEAR(launched(long_sequence("a2a"))["core_attention"].seconds / ring, 1, 0.15);
  EXPECT_NEAR(launched(long_sequence("a2a+p2p", 2))["core_attention"].seconds / ring, 1, 0.15);
  EXPECT_GT(ring, 0);
}

TEST(ContextParallel, RefusesHeadsThatDoNotDivide) {
  Job job = long_sequence("a2a");
  job.model.heads = job.model.kv_heads = 2;
  job.model.head_dim = 512;
  EXPECT_NE(predict(job).infeasible_reason.find("ranks of a2a"), std::string::npos);
  EXPECT_NE(predict(long_sequence("a2a+p2p", 3)).infeasible_reason.find("context_parallel_a2a"), std::string::npos);
}

// --- overlapped products -------------------------------------------------------------------------------------------

Job tensor_parallel(int t, const std::string& overlap) {
  Job job = fixtures::job(t, 1, 1, 1);
  job.framework.overlap_tp_backward.value = false;
  job.plan.overlap_tp = !overlap.empty();
  if (!overlap.empty()) job.plan.tp_overlap = overlap;
  return job;
}

// A ring exchange moves what the gather did, in t - 1 parts: two gathers forward, two of output gradients backward.
TEST(TensorOverlap, RingExchangeMovesTheGatheredTensorInParts) {
  for (const char* how : {"userbuffers", "async"}) {
    auto spans = launched(tensor_parallel(4, how));
    EXPECT_EQ(spans["exchange_input_part"].count, layers * 4 * 3) << how;
    EXPECT_NEAR(spans["exchange_input_part"].seconds, layers * 4 * e * s * h * 3 / 4 / inside, 1e-9) << how;
  }
}

// Transformer Engine cuts a scatter in four, PyTorch by rank, and PyTorch the input gradient's as well.
TEST(TensorOverlap, ScattersFollowTheirProductsInParts) {
  auto te = launched(tensor_parallel(2, "userbuffers")), torch = launched(tensor_parallel(2, "async"));
  EXPECT_EQ(te["reduce_scatter_part"].count, layers * 2 * 4);
  EXPECT_EQ(torch["reduce_scatter_part"].count, (layers * 4 + 1) * 2);  // and the head's
  EXPECT_NEAR(te["reduce_scatter_part"].seconds, layers * 2 * e * s * h / 2 / inside, 1e-9);
}

// Hidden but for the last part of each scatter where products take longer; the longer of both where they do not.
TEST(TensorOverlap, ExposesTheLastPartOrWhatProductsAreTooShortFor) {
  const Seconds none = predict(tensor_parallel(4, "")).breakdown.tp_comm_exposed;
  for (const char* how : {"userbuffers", "async"}) {
    Job job = tensor_parallel(4, how);
    EXPECT_LT(predict(job).breakdown.tp_comm_exposed, 0.6 * none) << how;
    EXPECT_LT(predict(job).step_time, predict(tensor_parallel(4, "")).step_time) << how;
    job.cluster.node.intra.bandwidth.value = BytesPerSecond(3e9);  // nothing hides that
    Job in_turn = tensor_parallel(4, "");
    in_turn.cluster.node.intra.bandwidth.value = BytesPerSecond(3e9);
    EXPECT_GT(predict(job).step_time, 0.7 * predict(in_turn).step_time) << how;
    EXPECT_LE(predict(job).step_time, predict(in_turn).step_time) << how;
  }
}

// Of 20 s of products beside 6 s of a collective that takes half of the GPU, 6 s run at half the speed: 23 s in all. A ring
// exchange takes nothing.
TEST(TensorOverlap, UserbuffersTakeMultiprocessors) {
  Job job = fixtures::job(4, 1, 1, 1);
  const CostModel costs(job.cluster, job.plan, false);
  const double side = std::cbrt(20.0 * 100e12 / 2);
  for (const auto& [kind, stretch] :
       {std::pair(CollectiveKind::all_gather, 23.0 / 20), {CollectiveKind::send_recv, 1.0}}) {
    ShardedModel model;
    model.kinds.resize(1);
    model.kinds[0].forward = {{.name = "transfer",
                               .work = Collective{kind, GroupKind::tensor, Bytes(6 * inside * 4 / 3)},
                               .lane = Lane::comm},
                              {.name = "product", .work = Gemm{.m = side, .n = side, .k = side}}};
    share_multiprocessors(model, costs, 0.5);
    EXPECT_NEAR(model.kinds[0].forward[1].stretch, stretch, 0.01);
  }
}

// --- grids -----------------------------------------------------------------------------------------------------------

Job grid(int ranks, const std::string& kind, int depth = 1) {
  Job job = fixtures::job(ranks, 1, 1, 1);
  job.plan.tensor_grid = kind;
  job.plan.tensor_depth = depth;
  return job;
}

double transfers(const Job& job) {
  double sum = 0;
  for (const auto& [name, spans] : launched(job)) {
    if (name.starts_with("spread_") || name == "sum_input_gradient" || name == "sum_weight_gradient" ||
        name == "sum_output") {
      sum += spans.seconds;
    }
  }
  return sum;
}

/// Bytes of all inputs T k, weights k n and outputs T n of a layer's four products.
struct LayerBytes {
  double inputs = e * s * (h + h + h + 4 * h), weights = e * h * (3 * h + h + 4 * h + 4 * h),
         outputs = e * s * (3 * h + h + 4 * h + h);
};

TEST(TensorGrid, VolumesOfSumma) {  // 3 (T k + k n) / q
  const LayerBytes bytes;
  EXPECT_NEAR(transfers(grid(4, "2d")), layers * 3 * (bytes.inputs + bytes.weights) / 2 / inside, 1e-8);
}

TEST(TensorGrid, VolumesOfTwoAndAHalfDimensions) {  // 3 (T k / d + k n) / q
  const LayerBytes bytes;
  auto spans = launched(grid(8, "2.5d", 2));
  EXPECT_NEAR(transfers(grid(8, "2.5d", 2)), layers * 3 * (bytes.inputs / 2 + bytes.weights) / 2 / inside, 1e-8);
  EXPECT_NEAR(spans["sum_over_layers"].seconds, layers * 2 * 1 / 2.0 * bytes.weights / 4 / inside, 1e-8);
}

TEST(TensorGrid, VolumesOfTheCube) {  // 2 (q-1)/q (T k + k n + T n) / q^2: 6 (q-1)/q^3 of a square matrix
  const LayerBytes bytes;
  EXPECT_NEAR(transfers(grid(8, "3d")),
              layers * 2 * 1 / 2.0 * (bytes.inputs + bytes.weights + bytes.outputs) / 4 / inside, 1e-8);
}

TEST(TensorGrid, SharesOutTheSameProducts) {
  const auto flops = [](const Job& job) {
    const Report report = predict(job);
    return report.hfu * report.step_time.si();
  };
  EXPECT_NEAR(flops(grid(8, "3d")) / flops(grid(8, "1d")), 1, 1e-9);
  EXPECT_NEAR(flops(grid(8, "2.5d", 2)) / flops(grid(8, "1d")), 1, 1e-9);
  // Weights lie once on a cube and on every layer of 2.5 dimensions.
  EXPECT_GT(predict(grid(8, "2.5d", 2)).memory.parameters, 1.5 * predict(grid(8, "3d")).memory.parameters);
}

TEST(TensorGrid, RefusesRanksThatMakeNone) {
  EXPECT_NE(predict(grid(8, "2d")).infeasible_reason.find("make no 2d grid"), std::string::npos);
  EXPECT_NE(predict(grid(4, "3d")).infeasible_reason.find("make no 3d grid"), std::string::npos);
  EXPECT_EQ(predict(grid(8, "2.5d", 2)).infeasible_reason, "");
}

}  // namespace
}  // namespace stepcast
