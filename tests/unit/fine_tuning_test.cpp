/// Adapters and frozen layers: what is trained, what runs backward, what is kept; documents packed into sequences.

#include <algorithm>

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/input/input.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/parallelism/shard.hpp"
#include "simulator/predict.hpp"
#include "simulator/workload/flops.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

constexpr double T = 1024;

ParallelPlan lora(std::int64_t rank, std::vector<std::string> targets) {
  ParallelPlan plan;
  plan.lora = LowRankAdaptation{rank, std::move(targets), 0};
  return plan;
}

ModelGraph llama13b(const ParallelPlan& plan) {
  const Architecture model = load_model_preset("llama2-13b");
  return fine_tuned(dense_transformer(model, model.vocab, 0), plan);
}

Sharding sharding(const Framework& framework, int t = 1, bool sp = false) {
  Sharding s;
  s.sequences = 1;
  s.sequence_length = s.tokens = T;
  s.tensor = t;
  s.sequence_parallel = sp;
  s.flash_attention = true;
  s.attention_kernel = "flash2";
  s.framework = &framework;
  return s;
}

double flops(const OpList& ops, Pass pass) {
  double sum = 0;
  for (const LocalOp& op : ops) {
    const auto* gemm = std::get_if<Gemm>(&op.work);
    if (gemm != nullptr && op.pass == pass) sum += gemm->flops().si();
  }
  return sum;
}

bool runs(const OpList& ops, std::string_view name) {
  return std::any_of(ops.begin(), ops.end(), [&](const LocalOp& op) { return op.name == name; });
}

// LitGPT's table of fine-tuning (tutorials/resource-tables.md): rank 8 beside queries and values of Llama-2-13B trains
// 6,553,600 parameters. Arithmetic: 40 layers x 2 adapters x 8 x (5,120 + 5,120).
TEST(Adapters, TrainThePublishedNumberOfParameters) {
  EXPECT_DOUBLE_EQ(trained_parameters(llama13b(lora(8, {"query", "value"}))), 6'553'600);
  EXPECT_DOUBLE_EQ(trained_parameters(llama13b(lora(8, {"q_proj", "v_proj"}))), 6'553'600);
}

// Hu et al. (arXiv 2106.09685, section 4.2 and Table 4): GPT-3 175B with rank 4 beside queries and values: 18.9M. PEFT on
// Llama-2-7B with rank 8 beside them: 4,194,304.
TEST(Adapters, OfGpt3AndLlama7b) {
  const Architecture gpt3 = load_model_preset("gpt3-175b");
  EXPECT_NEAR(
      trained_parameters(fine_tuned(dense_transformer(gpt3, gpt3.vocab, 2048), lora(4, {"query", "value"}))) / 18.9e6,
      1, 0.002);
  const Architecture llama = load_model_preset("llama2-7b");
  EXPECT_DOUBLE_EQ(
      trained_parameters(fine_tuned(dense_transformer(llama, llama.vocab, 0), lora(8, {"q_proj", "v_proj"}))),
      4'194'304);
}

// One adapter a fused linear has one A, three for its parts have three.
TEST(Adapters, OfFusedLinearsAndOfTheirParts) {
  const double h = 5120, layers = 40;
  EXPECT_DOUBLE_EQ(trained_parameters(llama13b(lora(16, {"linear_qkv"}))), layers * 16 * (h + 3 * h));
  EXPECT_DOUBLE_EQ(trained_parameters(llama13b(lora(16, {"q_proj", "k_proj", "v_proj"}))), layers * 16 * 3 * (h + h));
}

// Frozen weights have input gradients alone: 2 FLOPs a weight and token backward in place of 4.
TEST(Adapters, FrozenWeightsHaveNoGradients) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph whole = llama13b({}), adapted = llama13b(lora(8, {"query", "value"}));
  const LocalBlock layer = shard(whole.kinds.back(), whole.hidden, sharding(framework), true);
  const LocalBlock tuned = shard(adapted.kinds.back(), adapted.hidden, sharding(framework), true);
  const double down = 2 * T * 5120 * 16, up = 2 * T * 8 * 5120 * 2;
  EXPECT_DOUBLE_EQ(flops(tuned.forward, Pass::forward), flops(layer.forward, Pass::forward) + down + up);
  EXPECT_DOUBLE_EQ(flops(tuned.backward, Pass::backward_weight), down + up);
  EXPECT_DOUBLE_EQ(flops(tuned.backward, Pass::backward_input),
                   flops(layer.backward, Pass::backward_input) + down + up);
}

// Nothing is trained before the first layer's adapters: what lies before them has no backward pass.
TEST(Adapters, TheFirstLayerHasNoInputGradient) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = llama13b(lora(8, {"query", "value"}));
  ASSERT_EQ(graph.kinds.size(), 2u);
  const LocalBlock first = shard(graph.kinds[0], graph.hidden, sharding(framework), true);
  const LocalBlock second = shard(graph.kinds[1], graph.hidden, sharding(framework), true);
  EXPECT_FALSE(runs(first.backward, "linear_qkv"));
  EXPECT_FALSE(runs(first.backward, "input_norm"));
  EXPECT_TRUE(runs(first.backward, "linear_proj"));
  EXPECT_TRUE(runs(second.backward, "linear_qkv"));
  EXPECT_TRUE(shard(graph.embedding, graph.hidden, sharding(framework), false).backward.empty());
}

// Frozen linears do not keep their inputs; an adapter keeps its own, and x A.
TEST(Adapters, KeepLess) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph whole = llama13b({}), adapted = llama13b(lora(8, {"query", "value"}));
  const LocalBlock layer = shard(whole.kinds.back(), whole.hidden, sharding(framework), true);
  const LocalBlock tuned = shard(adapted.kinds.back(), adapted.hidden, sharding(framework), true);
  const double h = 5120, f = 13824;
  // Gone: inputs of both linears of the MLP. The attention's output is its own to keep.
  EXPECT_DOUBLE_EQ(layer.saved.si() - tuned.saved.si(), 2 * T * (h + f) - 2 * T * 16);
}

// Ranks of a tensor-parallel group hold the adapters once, but for what each holds whole.
TEST(Adapters, AreSplitAsTheirLinears) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = llama13b(lora(8, {"linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"}));
  const LocalBlock whole = shard(graph.kinds[1], graph.hidden, sharding(framework), true);
  for (const bool sp : {false, true}) {
    const LocalBlock split = shard(graph.kinds[1], graph.hidden, sharding(framework, 4, sp), true);
    EXPECT_DOUBLE_EQ(split.trained.total() * 4 - 3 * split.replicated_parameters, whole.trained.total());
  }
}

TEST(FrozenLayers, AreTrainedNoMore) {
  Architecture model = fixtures::gpt(4, 1024, 16, 8192);
  ParallelPlan plan;
  plan.frozen_layers = 3;
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = fine_tuned(dense_transformer(model, 8192, 1024), plan);
  const ModelGraph whole = dense_transformer(model, 8192, 1024);
  EXPECT_DOUBLE_EQ(trained_parameters(graph), parameters(whole.kinds[0], 1024) + parameters(whole.head, 1024));
  for (const LocalOp& op : shard(graph.head, 1024, sharding(framework), false).backward) {
    EXPECT_FALSE(op.name == "lm_head" && op.pass == Pass::backward_weight);  // tied: the frozen embedding
  }
  const LocalBlock frozen =
      shard(graph.kinds[static_cast<std::size_t>(graph.layer_kinds[0])], 1024, sharding(framework), true);
  EXPECT_TRUE(frozen.backward.empty());
  EXPECT_EQ(frozen.saved, Bytes(0));
}

// Adam holds states of the adapters alone; the weights are there in 16 bits.
TEST(FineTuning, StatesOfTheAdaptersAlone) {
  Job job = fixtures::job(1, 1, 1, 16, 1);
  const Report whole = predict(job);
  job.plan.lora = LowRankAdaptation{8, {"linear_qkv"}, 0};
  const Report tuned = predict(job);
  const double h = static_cast<double>(job.model.hidden), layers = static_cast<double>(job.model.layers);
  const double adapters = layers * 8 * (h + 3 * h);
  EXPECT_DOUBLE_EQ(tuned.memory.optimizer.si(), 12 * adapters);
  EXPECT_NEAR(tuned.memory.parameters.si(), whole.memory.parameters.si() + 2 * adapters, 1);
  EXPECT_LT(tuned.step_time, whole.step_time);
  EXPECT_GT(tuned.step_time, whole.step_time * 0.6);
}

// Gradients of adapters are all that is reduced.
TEST(FineTuning, ReducesTheAdaptersAlone) {
  Job job = fixtures::job(1, 1, 4, 1, 1);
  job.plan.overlap_grad_reduce = false;
  const Seconds whole = predict(job).breakdown.dp_comm_exposed;
  job.plan.lora = LowRankAdaptation{8, {"linear_qkv"}, 0};
  EXPECT_LT(predict(job).breakdown.dp_comm_exposed, whole * 0.05);
}

// modelling/FLOPS: 4 FLOPs a weight and token where weights are frozen.
TEST(FineTuning, FlopsAreFourAWeight) {
  const Architecture model = load_model_preset("llama2-13b");
  const auto* convention = find_flops_convention("6nd");
  FlopsInput in{model, 13e9, 32000, 4096};
  in.frozen_weights = true;
  EXPECT_DOUBLE_EQ(convention->per_token(in), 4 * 13e9);
}

// --- packing -----------------------------------------------------------------------------------------------------

double attention_flops(const Sharding& s) {
  const Architecture model = load_model_preset("llama2-13b");
  const ModelGraph graph = dense_transformer(model, model.vocab, 0);
  double sum = 0;
  for (const LocalOp& op : shard(graph.kinds[0], graph.hidden, s, true).forward) {
    if (const auto* attention = std::get_if<AttentionKernel>(&op.work)) {
      AttentionKernel full = *attention;
      full.skips_masked = false;  // squares, without the tiles on the diagonal
      sum += full.flops().si();
    }
  }
  return sum;
}

// Documents do not see each other: the sum of squared lengths in place of s^2.
TEST(Packing, AttentionIsTheSumOfSquares) {
  const Framework framework = fixtures::ideal_framework();
  Sharding s = sharding(framework);
  const double whole = attention_flops(s);
  const double squares = 512.0 * 512 + 256 * 256 + 256 * 256;
  s.document = squares / T;
  EXPECT_DOUBLE_EQ(attention_flops(s), whole * squares / (T * T));
}

}  // namespace
}  // namespace stepcast
