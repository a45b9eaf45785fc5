#include "simulator/parallelism/shard.hpp"

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/input/input.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/parallelism/block_builder.hpp"
#include "simulator/schedules/schedule.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

Sharding sharding(const Framework& framework, int t, bool sp, double b, double s, Recompute recompute,
                  bool flash = false) {
  Sharding result;
  result.sequences = b;
  result.sequence_length = s;
  result.tokens = b * s;
  result.tensor = t;
  result.sequence_parallel = sp;
  result.recompute = recompute;
  result.flash_attention = flash;
  result.attention_kernel = "flash2";
  result.framework = &framework;
  return result;
}

/// Activation bytes of one layer divided by s b h.
double per_sbh(int t, bool sp, Recompute recompute) {
  const Framework framework = fixtures::ideal_framework();
  Architecture model = fixtures::gpt(1, 12288, 96, 51200);
  model.dropout = 0.1;
  const double s = 2048, b = 1;
  const ModelGraph graph = dense_transformer(model, 51200, 2048);
  return shard(graph.kinds[0], 12288, sharding(framework, t, sp, b, s, recompute), true).saved / Bytes(s * b * 12288);
}

// Korthikanti et al. 2022, Table 2: bytes of activations of one layer in units of s b h; 5 a s / h = 80 for GPT-3.
TEST(ActivationMemory, KorthikantiTable2) {
  EXPECT_DOUBLE_EQ(per_sbh(1, false, Recompute::none), 34 + 80);
  EXPECT_DOUBLE_EQ(per_sbh(8, false, Recompute::none), 10 + 24.0 / 8 + 80.0 / 8);
  EXPECT_DOUBLE_EQ(per_sbh(8, true, Recompute::none), (34 + 80) / 8.0);
  EXPECT_DOUBLE_EQ(per_sbh(8, false, Recompute::selective), 10 + 24.0 / 8);
  EXPECT_DOUBLE_EQ(per_sbh(8, true, Recompute::selective), 34.0 / 8);
  EXPECT_DOUBLE_EQ(per_sbh(8, false, Recompute::full), 2);
}

// Megatron-LM's is_kernel_available (megatron/model/fused_softmax.py, 2021-22): 16-bit scores, at most 2,048 keys, length
// and number of matrices multiples of four. The causal kernel reads the lower triangle and writes the square; without it
// there are five kernels over the square, of 2 + 4, 4 + 4, 4 + 4, 4 + 4 and 4 + 2 bytes a score.
struct SoftmaxCase {
  const char* name;
  int heads, tensor;
  double sequences, length;
  double forward, backward, kernels;
};

class MegatronSoftmax : public testing::TestWithParam<SoftmaxCase> {};

TEST_P(MegatronSoftmax, IsOneKernelWhereItsConditionsHold) {
  const SoftmaxCase& c = GetParam();
  const Framework framework = load_framework("megatron-lm-2021");
  const CoreAttentionOp attention{.heads = c.heads, .kv_heads = c.heads, .head_dim = 64, .head_dim_v = 64};
  const SoftmaxTraffic traffic =
      softmax_traffic(attention, sharding(framework, c.tensor, false, c.sequences, c.length, Recompute::none));
  EXPECT_DOUBLE_EQ(traffic.forward, c.forward);
  EXPECT_DOUBLE_EQ(traffic.backward, c.backward);
  EXPECT_DOUBLE_EQ(traffic.kernels, c.kernels);
}

INSTANTIATE_TEST_SUITE_P(IsKernelAvailable, MegatronSoftmax,
                         testing::Values(  //   name          heads t  b  s
                             SoftmaxCase{"fits", 16, 1, 1, 1024, 1 + 2, 1 + 1 + 2, 1},
                             SoftmaxCase{"two_heads_a_rank", 16, 8, 1, 1024, 36, 6 + 12 + 8 + 8 + 6, 5},
                             SoftmaxCase{"four_matrices", 16, 8, 2, 1024, 1 + 2, 1 + 1 + 2, 1},
                             SoftmaxCase{"longest", 16, 4, 1, 2048, 1 + 2, 1 + 1 + 2, 1},
                             SoftmaxCase{"too_long", 16, 4, 1, 4096, 36, 40, 5},
                             SoftmaxCase{"odd_length", 16, 4, 1, 1022, 36, 40, 5}),
                         [](const auto& c) { return std::string(c.param.name); });

/// Bytes of the operators of that name, a product's elements being `elements`.
double bytes_of(const OpList& ops, std::string_view name) {
  double bytes = 0;
  for (const LocalOp& op : ops) {
    const auto* memory = std::get_if<MemoryBound>(&op.work);
    if (op.name == name && memory != nullptr) bytes += memory->bytes.si();
  }
  return bytes;
}

// One linear of 512 x 512 on 512 tokens, so that input, output and weight have the same number of elements. One scale a
// tensor: both orders in one kernel, 2 + 1 + 1. One scale a row (torchao's pseudocode: to_fp8 of both operands of each of
// three products, six casts): three along rows at 3 bytes, three across them at 5, slowed by 2.2 / 1.4 (pytorch/pytorch
// issue 133242), and two results rescaled at 4 (pytorch/ao pull request 1325).
TEST(Fp8, CastsByRecipe) {
  const Framework framework = fixtures::ideal_framework();
  const Block block{.ops = {ModelOp{.name = "linear", .what = LinearOp{.in = 512, .out = 512, .parts = {512}}}}};
  Sharding s = sharding(framework, 1, false, 1, 512, Recompute::none);
  s.precision = Precision::fp8;
  s.microbatches = 4;
  const double elements = 512 * 512;
  const LocalBlock tensorwise = shard(block, 512, s, false);
  EXPECT_DOUBLE_EQ(bytes_of(tensorwise.forward, "fp8_cast"), (4 + 4 / 4.0) * elements);  // the weight once a step
  EXPECT_DOUBLE_EQ(bytes_of(tensorwise.backward, "fp8_cast"), 4 * elements);
  EXPECT_DOUBLE_EQ(bytes_of(tensorwise.backward, "fp8_rescale"), 0);
  s.fp8_recipe = "rowwise";
  const LocalBlock rowwise = shard(block, 512, s, false);
  EXPECT_DOUBLE_EQ(bytes_of(rowwise.forward, "fp8_cast") + bytes_of(rowwise.backward, "fp8_cast"),
                   (3 * 3 + 3 * 5 * 2.2 / 1.4) * elements);
  EXPECT_DOUBLE_EQ(bytes_of(rowwise.backward, "fp8_rescale"), 2 * 4 * elements);
}

// Transformer Engine's and torchtitan's output layers stay in 16 bits, backward as forward (Megatron-LM gpt_model.py:
// tensor_parallel.ColumnParallelLinear; torchtitan float8: filter_fqns of output).
TEST(Fp8, HeadStaysWide) {
  const Framework framework = fixtures::ideal_framework();
  Sharding s = sharding(framework, 1, false, 1, 512, Recompute::none);
  s.precision = Precision::fp8;
  const ModelGraph graph = dense_transformer(fixtures::gpt(1, 512, 8, 51200), 51200, 512);
  const LocalBlock head = shard(graph.head, 512, s, false);
  int products = 0;
  for (const OpList* ops : {&head.forward, &head.backward}) {
    for (const LocalOp& op : *ops) {
      const auto* gemm = std::get_if<Gemm>(&op.work);
      if (gemm == nullptr) continue;
      ++products;
      EXPECT_EQ(gemm->precision, Precision::bf16) << op.name;
    }
  }
  EXPECT_EQ(products, 3);
}

// Korthikanti et al. 2022, figure 1: GiB of activations on the first stage, with tensor parallelism of 8, without and
// with sequence parallelism and selective recomputation.
struct Figure1Row {
  const char* name;
  std::int64_t hidden, heads, layers;
  double b;
  int p, v;
  double none_gib, selective_gib;
};

class KorthikantiFigure1 : public testing::TestWithParam<Figure1Row> {};

TEST_P(KorthikantiFigure1, ActivationsOfTheFirstStage) {
  const Figure1Row& row = GetParam();
  const Framework framework = fixtures::ideal_framework();
  Architecture model = fixtures::gpt(row.layers, row.hidden, row.heads, 51200);
  model.dropout = 0.1;
  const ModelGraph graph = dense_transformer(model, 51200, 2048);
  const Schedule& schedule = row.p == 1 ? no_pipeline : row.v > 1 ? interleaved_one_f_one_b : one_f_one_b;
  const std::int64_t chunks = most_in_flight(schedule.order({row.p, row.v, 8 * row.p})[0]);
  const double layers_alive = static_cast<double>(chunks * row.layers) / (row.p * row.v);
  const auto gib = [&](bool sp, Recompute recompute) {
    const LocalBlock layer =
        shard(graph.kinds[0], row.hidden, sharding(framework, 8, sp, row.b, 2048, recompute), true);
    return layer.saved / 1.0_GiB * layers_alive;
  };
  EXPECT_NEAR(gib(false, Recompute::none), row.none_gib, 0.005 * row.none_gib);
  EXPECT_NEAR(gib(true, Recompute::selective), row.selective_gib, 0.005 * row.selective_gib);
}

INSTANTIATE_TEST_SUITE_P(Models, KorthikantiFigure1,
                         testing::Values(Figure1Row{"gpt22b", 6144, 64, 48, 4, 1, 1, 59.25, 9.5625},
                                         Figure1Row{"gpt175b", 12288, 96, 96, 1, 8, 3, 66.84, 12.35},
                                         Figure1Row{"gpt530b", 20480, 128, 105, 1, 35, 3, 114.02, 23.08},
                                         Figure1Row{"gpt1t", 25600, 160, 128, 1, 64, 1, 131.25, 26.56}),
                         [](const auto& c) { return std::string(c.param.name); });

// Flash attention, no dropout, fused Llama layer: 8h + 2(a+2g)d + 2ad + 6f bytes a token and 4a of log-sum-exp.
TEST(ActivationMemory, FusedLlamaLayer) {
  const Framework framework = fixtures::ideal_framework();
  Architecture model = fixtures::gpt(1, 4096, 32, 128256);
  model.kv_heads = 8;
  model.ffn = 14336;
  model.activation = Activation::swiglu;
  model.norm = NormKind::rmsnorm;
  model.position = Position::rope;
  model.bias = false;
  const ModelGraph graph = dense_transformer(model, 128256, 0);
  const LocalBlock layer =
      shard(graph.kinds[0], 4096, sharding(framework, 1, false, 1, 8192, Recompute::none, true), true);
  EXPECT_DOUBLE_EQ(layer.saved.si() / 8192, 139264 + 4 * 32);
}

// Course closed forms for l layers: tensor-parallel all_reduce 8 l b s h bytes a step in each direction's two calls of
// 2 b s h; data-parallel gradients 24 l h^2 bytes in fp16.
TEST(TensorParallel, AllReduceBytesOfALayer) {
  const Framework framework = fixtures::ideal_framework();
  const double b = 2, s = 1024, h = 1024;
  const ModelGraph graph = dense_transformer(fixtures::gpt(1, 1024, 16, 8192), 8192, 1024);
  const LocalBlock layer =
      shard(graph.kinds[0], 1024, sharding(framework, 4, false, b, s, Recompute::none, true), true);
  double bytes = 0;
  for (const OpList* ops : {&layer.forward, &layer.backward}) {
    for (const LocalOp& op : *ops) {
      if (const auto* collective = std::get_if<Collective>(&op.work)) {
        EXPECT_EQ(collective->kind, CollectiveKind::all_reduce);
        bytes += collective->size.si();
      }
    }
  }
  EXPECT_DOUBLE_EQ(bytes, 8 * b * s * h);
}

// Korthikanti et al. 2022, section 4.2.2: with sequence parallelism 2 + 4 all_gathers and 2 + 2 reduce_scatters.
TEST(TensorParallel, CollectivesOfASequenceParallelLayer) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = dense_transformer(fixtures::gpt(1, 1024, 16, 8192), 8192, 1024);
  const LocalBlock layer =
      shard(graph.kinds[0], 1024, sharding(framework, 4, true, 1, 1024, Recompute::none, true), true);
  const auto count = [](const OpList& ops, CollectiveKind kind) {
    int n = 0;
    for (const LocalOp& op : ops) {
      const auto* collective = std::get_if<Collective>(&op.work);
      n += collective != nullptr && collective->kind == kind;
    }
    return n;
  };
  EXPECT_EQ(count(layer.forward, CollectiveKind::all_gather), 2);
  EXPECT_EQ(count(layer.forward, CollectiveKind::reduce_scatter), 2);
  EXPECT_EQ(count(layer.backward, CollectiveKind::all_gather), 4);
  EXPECT_EQ(count(layer.backward, CollectiveKind::reduce_scatter), 2);
}

// Executed matrix FLOPs of one layer and token: 24 h^2 + 4 s h forward, twice that backward.
TEST(Gemms, FlopsOfALayer) {
  const Framework framework = fixtures::ideal_framework();
  const double s = 2048, h = 1024;
  const ModelGraph graph = dense_transformer(fixtures::gpt(1, 1024, 8, 8192), 8192, 2048);
  const LocalBlock layer = shard(graph.kinds[0], 1024, sharding(framework, 1, false, 1, s, Recompute::none), true);
  const auto flops = [](const OpList& ops) {
    double sum = 0;
    for (const LocalOp& op : ops) {
      if (const auto* gemm = std::get_if<Gemm>(&op.work)) sum += gemm->flops().si();
    }
    return sum;
  };
  EXPECT_DOUBLE_EQ(flops(layer.forward), s * (24 * h * h + 4 * s * h));
  EXPECT_DOUBLE_EQ(flops(layer.backward), 2 * s * (24 * h * h + 4 * s * h));
}

TEST(Parameters, OfARankSumToTheModel) {
  const Framework framework = fixtures::ideal_framework();
  const Architecture model = fixtures::gpt(8, 1024, 16, 8192);
  const ModelGraph graph = dense_transformer(model, 8192, 1024);
  // Narayanan et al. 2021, equation 2, exact: 12 l h^2 + 13 l h + V h + s h + 2h (final norm).
  const double h = 1024;
  EXPECT_DOUBLE_EQ(parameters(graph), 8 * (12 * h * h + 13 * h) + 8192 * h + 1024 * h + 2 * h);
  ParallelPlan plan;
  plan.tensor_parallel = 4;
  plan.pipeline_parallel = 2;
  const ShardedModel sharded = shard(graph, plan, sharding(framework, 4, true, 1, 1024, Recompute::none));
  // Norms, row-split biases and positions are whole on all four ranks; the tied table is on both ends.
  const double replicated = 8 * 6 * h + 1024 * h + 2 * h;
  const double whole = 8 * (12 * h * h + 13 * h) + 8192 * h + 1024 * h + 2 * h;
  EXPECT_DOUBLE_EQ(sharded.parameters(0) + sharded.parameters(1), (whole - replicated) / 4 + replicated + 8192 * h / 4);
}

TEST(LayerSplit, EvenSlotsAndMiddle) {
  const auto layers = [](std::int64_t count, int p, int v) {
    ParallelPlan plan;
    plan.pipeline_parallel = p;
    plan.virtual_stages = v;
    std::string text;
    for (const auto& stage : split_layers(dense_transformer(fixtures::gpt(count, 64, 1, 64), 64, 64), plan)) {
      for (const ChunkContents& chunk : stage) text += std::to_string(chunk.layer_count()) + " ";
      text += "| ";
    }
    return text;
  };
  EXPECT_EQ(layers(8, 4, 1), "2 | 2 | 2 | 2 | ");
  EXPECT_EQ(layers(8, 2, 2), "2 2 | 2 2 | ");
  EXPECT_EQ(layers(126, 4, 1), "31 | 32 | 32 | 31 | ");                              // Llama-3 405B: 126 = 128 - 2
  EXPECT_EQ(layers(70, 12, 1), "5 | 6 | 6 | 6 | 6 | 6 | 6 | 6 | 6 | 6 | 6 | 5 | ");  // BLOOM: (70 + 2) / 12 = 6
  EXPECT_EQ(layers(10, 4, 1), "2 | 3 | 3 | 2 | ");
  EXPECT_EQ(layers(9, 4, 1), "2 | 3 | 2 | 2 | ");
}

// ZeRO (arXiv 1910.02054) section 3, K = 12, and Megatron-LM docs/dist_optimizer.md.
TEST(ModelStates, BytesPerParameter) {
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::bf16, 4, 0, 64).total(), 18);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::fp16, 2, 0, 64).total(), 20);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::fp32, 4, 0, 64).total(), 16);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::bf16, 4, 1, 64).total(), 6 + 12.0 / 64);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::fp16, 2, 1, 64).total(), 4 + 16.0 / 64);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::fp32, 4, 1, 64).total(), 8 + 8.0 / 64);
  EXPECT_DOUBLE_EQ(adam_state_bytes(Precision::bf16, 4, 3, 64).total(), 18.0 / 64);
}

}  // namespace
}  // namespace stepcast
