/// Mixture of experts and latent attention: shapes, bytes and volumes against closed forms and published figures.

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/execution/costs.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/parallelism/block_builder.hpp"
#include "simulator/parallelism/expert_load.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/predict.hpp"
#include "simulator/workload/flops.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

constexpr double T = 4096, h = 2048, f = 768, experts = 128, k = 8;

/// Qwen3-30B-A3B's layer.
Architecture qwen() {
  Architecture model = fixtures::gpt(2, 2048, 32, 151936);
  model.kv_heads = 4;
  model.head_dim = 128;
  model.ffn.reset();
  model.activation = Activation::swiglu;
  model.norm = NormKind::rmsnorm;
  model.position = Position::rope;
  model.bias = model.tied_embeddings = false;
  MixtureOfExperts& moe = model.moe.emplace();
  moe.experts = 128;
  moe.top_k = 8;
  moe.expert_ffn = 768;
  moe.moe_layers = 2;
  return model;
}

Sharding sharding(const Framework& framework, int ep, const char* dispatcher = "alltoall") {
  Sharding s;
  s.sequences = 1;
  s.sequence_length = s.tokens = T;
  s.flash_attention = true;
  s.attention_kernel = "flash2";
  s.framework = &framework;
  s.expert.parallel = ep;
  s.expert.dispatcher = find_dispatcher(dispatcher);
  s.expert.group = {ep, std::min(ep, 8)};
  return s;
}

LocalBlock layer(const Architecture& model, const Sharding& s) {
  const ModelGraph graph = mixture_of_experts(model, model.vocab, 0);
  return shard(graph.kinds.back(), model.hidden, s, true);
}

double grouped_flops(const OpList& ops) {
  double sum = 0;
  for (const LocalOp& op : ops) {
    if (const auto* grouped = std::get_if<GroupedGemm>(&op.work)) sum += grouped->flops().si();
  }
  return sum;
}

std::vector<Collective> exchanges(const OpList& ops) {
  std::vector<Collective> found;
  for (const LocalOp& op : ops) {
    const auto* collective = std::get_if<Collective>(&op.work);
    if (collective != nullptr && op.lane == Lane::expert) found.push_back(*collective);
  }
  return found;
}

// Three products of [T k, h] x [h, f] forward, twice that backward, wherever the experts are.
TEST(Experts, FlopsAreThoseOfTheRoutedRows) {
  const Framework framework = fixtures::ideal_framework();
  for (const int ep : {1, 4, 16}) {
    const LocalBlock block = layer(qwen(), sharding(framework, ep));
    EXPECT_DOUBLE_EQ(grouped_flops(block.forward), 2 * T * k * 3 * h * f) << ep;
    EXPECT_DOUBLE_EQ(grouped_flops(block.backward), 4 * T * k * 3 * h * f) << ep;
  }
}

// Megatron-LM's README of mixture of experts: 2 exchanges forward and 2 backward, each of T k h elements a rank, (ep-1)/ep
// of it for others. What is sent comes back.
TEST(Experts, EveryRowThatIsSentComesBack) {
  const Framework framework = fixtures::ideal_framework();
  for (const char* dispatcher : {"alltoall", "deepep", "hybridep", "allgather"}) {
    const LocalBlock block = layer(qwen(), sharding(framework, 16, dispatcher));
    const auto forward = exchanges(block.forward), backward = exchanges(block.backward);
    ASSERT_EQ(forward.size(), 2) << dispatcher;
    ASSERT_EQ(backward.size(), 2) << dispatcher;
    EXPECT_DOUBLE_EQ(forward[0].size.si(), forward[1].size.si()) << dispatcher;
    EXPECT_DOUBLE_EQ(forward[0].size.si(), backward[0].size.si()) << dispatcher;
    EXPECT_DOUBLE_EQ(backward[0].size.si(), backward[1].size.si()) << dispatcher;
  }
  EXPECT_DOUBLE_EQ(exchanges(layer(qwen(), sharding(framework, 16)).forward)[0].size.si(), 2 * T * k * h);
  EXPECT_TRUE(exchanges(layer(qwen(), sharding(framework, 1)).forward).empty());
}

// 8 different experts of 256, 32 on each of 8 nodes: 1 - C(224, 8) / C(256, 8) = 0.6624.
TEST(Dispatchers, OneCopyANode) {
  double without = 1;
  for (int i = 0; i < 8; ++i) without *= (224.0 - i) / (256.0 - i);
  EXPECT_NEAR(chance_of_visit(256, 8, 32), 1 - without, 1e-12);
  EXPECT_NEAR(chance_of_visit(256, 8, 32), 0.6624, 1e-3);
  EXPECT_DOUBLE_EQ(chance_of_visit(8, 2, 8), 1);        // all experts are here
  EXPECT_DOUBLE_EQ(chance_of_visit(8, 1, 1), 1.0 / 8);  // one of eight

  const Framework framework = fixtures::ideal_framework();
  const Collective once = exchanges(layer(qwen(), sharding(framework, 16, "deepep")).forward)[0];
  const double row = 2 * h;
  ASSERT_TRUE(once.exchange.has_value());
  EXPECT_NEAR(once.exchange->outside.si(), T * row * chance_of_visit(128, 8, 64), 1);        // one other node
  EXPECT_NEAR(once.exchange->inside.si(), T * row * 2 * 7 * chance_of_visit(128, 8, 8), 1);  // both nodes' tokens
  // A flat all_to_all sends half of its 8 copies out.
  EXPECT_LT(once.exchange->outside.si(), T * row * 8 / 2);
}

// DeepSeek-V3 (arXiv 2412.19437, section 2.1.2): a token goes to at most 4 of 8 nodes, and then visits 3.6 of them; without
// that limit 5.3.
TEST(Dispatchers, NodeLimitedRouting) {
  TokenExchange exchange{.tokens = 1, .experts = 256, .copies = 8, .row = 1, .group = {64, 8}};
  EXPECT_NEAR(8 * chance_of_visit(exchange, 32), 5.30, 0.01);
  exchange.groups = 8;
  exchange.groups_taken = 4;
  const double visited = 8 * chance_of_visit(exchange, 32);
  EXPECT_NEAR(visited, 4 * chance_of_visit(128, 8, 32), 1e-12);
  EXPECT_NEAR(visited, 3.63, 0.02);
  EXPECT_NEAR(chance_of_visit(exchange, 256), 1, 1e-12);
}

// With as many copies as experts a token goes everywhere: nothing is saved but what a node has once.
TEST(Dispatchers, NoMoreThanEveryRank) {
  const TokenExchange all{.tokens = 100, .experts = 16, .copies = 16, .row = 2, .group = {16, 8}};
  const Collective once = find_dispatcher("deepep")->dispatch(all);
  EXPECT_DOUBLE_EQ(once.exchange->outside.si(), 200);           // the other node
  EXPECT_DOUBLE_EQ(once.exchange->inside.si(), 200 * 2 * 7.0);  // seven others, tokens of both nodes
  EXPECT_DOUBLE_EQ(find_dispatcher("deepep")->arriving(all), 1600);
}

TEST(Experts, ParametersOfAllRanksAreTheModel) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = mixture_of_experts(qwen(), 151936, 0);
  const double whole = parameters(graph.kinds[0], 2048);
  const double of_experts = experts * 3 * h * f;
  const LocalBlock block = layer(qwen(), sharding(framework, 8));
  EXPECT_DOUBLE_EQ(block.count().expert * 8, of_experts);
  EXPECT_DOUBLE_EQ(block.count().dense, whole - of_experts);
  Sharding split = sharding(framework, 8);
  split.expert.tensor = 2;
  EXPECT_DOUBLE_EQ(layer(qwen(), split).count().expert * 16, of_experts);
}

// Experts have copies of their own: GPUs / (PP x EP x ETP) (Megatron-Bridge, parallelism guide).
TEST(Experts, CopiesOfExpertsAndOfTheRest) {
  ParallelPlan plan;
  plan.tensor_parallel = 4;
  plan.context_parallel = 2;
  plan.pipeline_parallel = 8;
  plan.data_parallel = 16;
  plan.expert_parallel = 8;
  plan.expert_tensor_parallel = 1;
  EXPECT_EQ(plan.dense_copies(), 32);
  EXPECT_EQ(plan.expert_copies(), 16);
  plan.expert_tensor_parallel = 4;
  EXPECT_EQ(plan.expert_copies(), 4);
}

// modelling/MEMORY 3c, n = T k rows: input 2 n h, first product's output 4 n f, activation 2 n f. The router keeps its
// input, logits and scores in fp32, the choice and the map of rows.
TEST(Experts, ActivationBytes) {
  const Framework framework = fixtures::ideal_framework();
  const double n = T * k;
  const double attention = T * (4 * h + 2 * (32 + 2 * 4) * 128 + 2 * 32 * 128 + 4 * 32);
  const double routed = 2 * T * h + 2 * T * h + 13 * T * experts + 2 * n * h + 4 * n * f + 2 * n * f;
  EXPECT_DOUBLE_EQ(layer(qwen(), sharding(framework, 8)).saved.si(), attention + routed);
}

// A capacity factor pads every expert to the same rows, whatever the balance.
TEST(Experts, CapacityFactorSetsTheRows) {
  const Framework framework = fixtures::ideal_framework();
  Architecture model = qwen();
  model.moe->capacity_factor = 1.25;
  Sharding s = sharding(framework, 8);
  s.expert.load = 1.7;
  EXPECT_DOUBLE_EQ(grouped_flops(layer(model, s).forward), 1.25 * 2 * T * k * 3 * h * f);
  model.moe->capacity_factor.reset();
  EXPECT_DOUBLE_EQ(grouped_flops(layer(model, s).forward), 1.7 * 2 * T * k * 3 * h * f);
}

TEST(Experts, ImbalanceOfTheBusiestRank) {
  ParallelPlan plan;
  plan.expert_parallel = 4;
  // E[max of 4 normals] = 1.029 over sqrt(10,000).
  EXPECT_NEAR(expert_imbalance(plan, 8, 10000), 1.0103, 2e-4);
  plan.expert_load = "zipf-0";
  EXPECT_DOUBLE_EQ(expert_imbalance(plan, 8, 10000), 1);
  plan.expert_load = "zipf-1";  // 1 + 1/5 of the sum of 1/i to 8
  EXPECT_NEAR(expert_imbalance(plan, 8, 10000), 4 * 1.2 / 2.717857, 1e-6);
  plan.expert_histogram = {3, 1, 1, 1, 1, 1, 0, 0};
  EXPECT_DOUBLE_EQ(expert_imbalance(plan, 8, 10000), 4 * 4.0 / 8);
  plan.expert_parallel = 1;
  EXPECT_DOUBLE_EQ(expert_imbalance(plan, 8, 10000), 1);
  EXPECT_FALSE(zipf_exponent("zipf-").has_value());
  EXPECT_FALSE(zipf_exponent("zipf-1x").has_value());
  EXPECT_FALSE(zipf_exponent("zipf--1").has_value());
}

// Megatron-LM's count since March 2025. Published beside Megatron-Bridge's tokens per second: 2.301e10 FLOP a token for
// Qwen3-30B-A3B, 1.48e11 for 235B-A22B, 2.603e11 for DeepSeek-V3 with its module for a second token, all at 4,096.
TEST(Experts, FlopsOfATokenAsMegatronCounts) {
  const auto per_token = [](Architecture model) {
    const FlopsInput input{model, 0, static_cast<double>(model.vocab), 4096, false};
    return find_flops_convention("megatron-causal")->per_token(input);
  };
  Architecture model = qwen();
  model.layers = model.moe->moe_layers = 48;
  EXPECT_NEAR(per_token(model), 2.301e10, 0.002e10);
  model.layers = model.moe->moe_layers = 94;
  model.hidden = 4096;
  model.heads = 64;
  model.moe->expert_ffn = 1536;
  EXPECT_NEAR(per_token(model), 1.48e11, 0.005e11);

  Architecture deepseek = qwen();
  deepseek.layers = 61;
  deepseek.hidden = 7168;
  deepseek.heads = deepseek.kv_heads = 128;
  deepseek.ffn = 18432;
  deepseek.vocab = 129280;
  deepseek.moe->experts = 256;
  deepseek.moe->expert_ffn = deepseek.moe->shared_ffn.emplace(2048);
  deepseek.moe->moe_layers = 58;
  deepseek.mla = LatentAttention{1536, 512, 128, 64, 128};
  deepseek.predicted_ahead = 1;
  EXPECT_NEAR(per_token(deepseek), 2.603e11, 0.03e11);
}

// LAYERS section 6: r_q (h + a d_qk) + r_kv (h + a (d_nope + d_v)) + h d_rope + a d_v h, with a norm on each latent.
TEST(LatentAttention, ParametersOfALayer) {
  Architecture model = fixtures::gpt(1, 5120, 128, 102400);
  model.norm = NormKind::rmsnorm;
  model.bias = false;
  model.position = Position::rope;
  model.mla = LatentAttention{1536, 512, 128, 64, 128};
  const ModelGraph graph = latent_attention(model, 102400, 0);
  const double H = 5120, a = 128;
  const double attention = 1536 * (H + a * 192 + 1) + 512 * (H + a * 256 + 1) + H * 64 + a * 128 * H;
  EXPECT_DOUBLE_EQ(parameters(graph.kinds[0], 5120), attention + 2 * H + 2 * H * 4 * H);

  // Down-projections are whole on every tensor-parallel rank.
  const Framework framework = fixtures::ideal_framework();
  Sharding s = sharding(framework, 1);
  s.tensor = 8;
  s.sequence_parallel = true;
  const LocalBlock block = shard(graph.kinds[0], 5120, s, true);
  const double whole = 1536 * (H + 1) + 512 * (H + 1) + H * 64 + 2 * H;
  EXPECT_DOUBLE_EQ(block.replicated_parameters, whole);
}

// Fused attention over heads of 192 (queries, keys) and 128 (values): 2 s^2 a (d_qk + d_v) forward.
TEST(LatentAttention, FlopsOfTheScores) {
  AttentionKernel kernel;
  kernel.sequences = 1;
  kernel.heads = kernel.kv_heads = 128;
  kernel.query_length = kernel.key_length = 4096;
  kernel.head_dim_qk = 192;
  kernel.head_dim_v = 128;
  kernel.causal = false;
  EXPECT_DOUBLE_EQ(kernel.flops().si(), 2.0 * 4096 * 4096 * 128 * (192 + 128));
}

// Megatron-LM recompute_modules: norms spare 4 h bytes a token (LAYERS, MEMORY 3b), the experts' activation 2 f a row.
TEST(RecomputeModules, BytesThatTheySpare) {
  const Framework framework = fixtures::ideal_framework();
  const auto saved = [&](const char* policy) {
    Sharding s = sharding(framework, 8);
    const auto found = recompute_policy(policy);
    EXPECT_TRUE(found.has_value()) << policy;
    s.recompute = found->what;
    s.recompute_modules = found->modules;
    return layer(qwen(), s).saved.si();
  };
  const double all = saved("none");
  EXPECT_DOUBLE_EQ(all - saved("selective-layernorm"), 4 * h * T);
  EXPECT_DOUBLE_EQ(all - saved("selective-moe-act"), 2 * f * T * k);
  EXPECT_DOUBLE_EQ(all - saved("selective-norm-act"), 4 * h * T + 2 * f * T * k);
  // The whole layer of experts: all but the norm's input and output.
  EXPECT_DOUBLE_EQ(all - saved("selective-moe"), 13 * T * experts + (2 * h + 6 * f) * T * k);
  EXPECT_DOUBLE_EQ(all - saved("selective-mlp"), 0);  // no layer of this model has a dense MLP
  EXPECT_FALSE(recompute_policy("selective-mlps").has_value());
  EXPECT_FALSE(recompute_policy("selective-").has_value());
  EXPECT_FALSE(recompute_policy("selective-<modules>").has_value());
}

TEST(RecomputeModules, RunAgainInTheBackwardPass) {
  const Framework framework = fixtures::ideal_framework();
  Sharding s = sharding(framework, 8);
  s.recompute = Recompute::modules;
  s.recompute_modules = module::moe;
  const LocalBlock block = layer(qwen(), s);
  EXPECT_DOUBLE_EQ(grouped_flops(block.backward), 3 * grouped_flops(block.forward));
  EXPECT_EQ(exchanges(block.backward).size(), 4);  // the exchanges run again as well
}

/// One step of Qwen3's layers on 16 GPUs of two nodes.
Job moe_job(bool overlap) {
  Job job = fixtures::job(1, 1, 16, 8);
  job.model = qwen();
  job.model.layers = job.model.moe->moe_layers = 4;
  job.plan.sequence_length = 4096;
  job.plan.expert_parallel = 16;
  job.plan.overlap_ep = overlap;
  job.cluster.fabric.nic.bandwidth.value = BytesPerSecond(25e9);
  return job;
}

// Kernels of one microbatch run while the other's tokens travel: no slower, and not faster than either of the two alone.
TEST(ExpertOverlap, HidesExchangesUnderKernels) {
  const Report in_turn = predict(moe_job(false), {.jitter = false});
  const Report beside = predict(moe_job(true), {.jitter = false});
  ASSERT_GT(in_turn.breakdown.ep_comm_exposed.si(), 0);
  EXPECT_LT(beside.step_time, in_turn.step_time);
  EXPECT_LT(beside.breakdown.ep_comm_exposed.si(), 0.7 * in_turn.breakdown.ep_comm_exposed.si());
  EXPECT_GE(beside.step_time.si(), in_turn.breakdown.compute.si());
}

TEST(Experts, PlansThatCannotBe) {
  Job job = moe_job(false);
  job.plan.expert_parallel = 3;
  EXPECT_NE(predict(job).infeasible_reason.find("experts (128) is no multiple of expert_parallel (3)"),
            std::string::npos);
  job.plan.expert_parallel = 32;
  EXPECT_NE(predict(job).infeasible_reason.find("the GPUs of a stage (16) is no multiple"), std::string::npos);
}

// Optimizer state of experts is shared out over their own copies: with as many experts a rank as GPUs, over none.
TEST(Experts, OptimizerStateOverTheirOwnCopies) {
  Job job = moe_job(false);
  job.plan.zero = 1;
  const Report report = predict(job);
  const double expert = 4 * experts / 16 * 3 * h * f;
  const double dense = report.model_parameters - 16 * expert;
  EXPECT_NEAR(report.memory.optimizer.si(), 12 * (expert + dense / 16), 1e-6 * report.memory.optimizer.si());
}

// Megatron-LM shared_experts.py: the first linear lies between the dispatch and the first routed product, the second
// between the combination and what puts rows back; the same products either way.
TEST(SharedExperts, RunBesideTheExchanges) {
  const Framework framework = fixtures::ideal_framework();
  Architecture model = qwen();
  model.moe->shared_ffn = 1024;
  Sharding s = sharding(framework, 8);
  const LocalBlock apart = layer(model, s);
  s.expert.overlap_shared = true;
  const LocalBlock beside = layer(model, s);
  const auto place = [](const OpList& ops, std::string_view name) {
    const auto at = std::find_if(ops.begin(), ops.end(), [&](const LocalOp& op) { return op.name == name; });
    return at - ops.begin();
  };
  EXPECT_LT(place(apart.forward, "shared_fc2"), place(apart.forward, "dispatch"));
  const std::vector<std::string_view> order{"dispatch", "shared_fc1", "expert_fc1",
                                            "combine",  "shared_fc2", "unpermute"};
  for (std::size_t i = 1; i < order.size(); ++i) {
    EXPECT_LT(place(beside.forward, order[i - 1]), place(beside.forward, order[i])) << order[i];
  }
  for (const auto& [one, other] : {std::pair(&apart.forward, &beside.forward), {&apart.backward, &beside.backward}}) {
    EXPECT_EQ(one->size(), other->size());
    EXPECT_DOUBLE_EQ(grouped_flops(*one), grouped_flops(*other));
  }
  // Routed rows wait for the exchange, shared ones do not.
  const OpList& ops = beside.forward;
  const auto dispatch = static_cast<int>(place(ops, "dispatch"));
  EXPECT_EQ(ops[static_cast<std::size_t>(dispatch) + 1].after, -1);
  EXPECT_TRUE(
      std::any_of(ops.begin() + dispatch + 2, ops.end(), [&](const LocalOp& op) { return op.after == dispatch; }));
}

TEST(SharedExperts, OverlapIsNeverSlower) {
  Job job = moe_job(false);
  job.model.moe->shared_ffn = 2048;
  const Report apart = predict(job, {.jitter = false});
  job.plan.overlap_shared_experts = true;
  const Report beside = predict(job, {.jitter = false});
  EXPECT_LT(beside.step_time, apart.step_time);
  EXPECT_LT(beside.breakdown.ep_comm_exposed, apart.breakdown.ep_comm_exposed);
}

}  // namespace
}  // namespace stepcast
