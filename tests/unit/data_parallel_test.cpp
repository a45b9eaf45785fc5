// Volumes of data parallelism on a machine without latencies, where time is bytes over bandwidth: eight GPUs a node, 300 GB/s
// inside it, one 25 GB/s NIC a GPU. A ring over whole nodes moves 8 x 25 GB/s between them.

#include <gtest/gtest.h>

#include "simulator/execution/compression.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/spans.hpp"

namespace stepcast {
namespace {

using fixtures::launched;

constexpr double inside = 300e9, nic = 25e9, nodes = 8 * nic;

Job replicas(int copies, int zero, std::int64_t microbatches = 1) {
  Job job = fixtures::job(1, 1, copies, microbatches);
  job.plan.zero = zero;
  job.model.tied_embeddings = false;
  return job;
}

double parameters_of(const Job& job) { return predict(job).model_parameters; }

// --- hybrid sharding -----------------------------------------------------------------------------------------------

// HSDP on two nodes: gathers and scatters as on one, and 1/8 of the gradients all-reduced between the nodes: 2 (R-1)/R of
// B Psi / 8 for R = 2 (SCHEDULES.md section 4; torch fully_shard with a 2-D mesh).
TEST(HybridSharding, ShardsInsideAndReducesBetween) {
  Job hybrid = replicas(16, 3);
  hybrid.plan.shard_group = 8;
  const Job one_node = replicas(8, 3);
  auto two = launched(hybrid), one = launched(one_node);
  EXPECT_NEAR(two["parameter_gather"].seconds, one["parameter_gather"].seconds, 1e-9);
  EXPECT_NEAR(two["gradient_scatter"].seconds, one["gradient_scatter"].seconds, 1e-9);
  EXPECT_NEAR(two["replica_reduce"].seconds, 2.0 * 1 / 2 * 2 * parameters_of(hybrid) / 8 / nic, 1e-8);
  EXPECT_EQ(one.count("replica_reduce"), 0u);
  // Shards of an eighth, not of a sixteenth.
  EXPECT_NEAR(predict(hybrid).memory.optimizer / predict(one_node).memory.optimizer, 1, 1e-9);
}

TEST(HybridSharding, OptimizerInstancesOfMegatron) {
  Job job = replicas(16, 1);
  job.plan.shard_group = 8;
  auto spans = launched(job);
  const double psi = parameters_of(job);
  EXPECT_NEAR(spans["gradient_reduce"].seconds, 7.0 / 8 * 2 * psi / inside, 1e-8);
  EXPECT_NEAR(spans["replica_reduce"].seconds, 2 * psi / 8 / nic, 1e-8);
}

TEST(HybridSharding, RefusesGroupsThatDoNotDivide) {
  Job job = replicas(16, 3);
  job.plan.shard_group = 6;
  EXPECT_NE(predict(job).infeasible_reason.find("no multiple of shard_group (6)"), std::string::npos);
  job.plan.shard_group = 8;
  job.plan.zero = 0;
  EXPECT_NE(predict(job).infeasible_reason, "");
}

// --- accumulation --------------------------------------------------------------------------------------------------

// Without no_sync FSDP scatters after every microbatch, DDP only on request; the volume is m-fold.
TEST(NoSync, ReducesOnceAStep) {
  for (const int zero : {0, 3}) {
    Job each = replicas(8, zero, 4), once = each;
    each.plan.no_sync = false;
    once.plan.no_sync = true;
    const std::string name = zero == 0 ? "gradient_reduce" : "gradient_scatter";
    EXPECT_NEAR(launched(each)[name].seconds, 4 * launched(once)[name].seconds, 1e-8) << zero;
    EXPECT_EQ(launched(each)[name].count, 4 * launched(once)[name].count) << zero;
  }
  // FSDP pays with whole gradients on every rank (FSDP.no_sync's documentation).
  Job job = replicas(8, 3, 4);
  job.framework.sharded_master.value = true;
  const Bytes sharded = predict(job).memory.buffers;
  job.plan.no_sync = true;
  EXPECT_NEAR((predict(job).memory.buffers - sharded).si(), 2 * parameters_of(job), 1e3);
}

// --- buckets -------------------------------------------------------------------------------------------------------

// PyTorch: 1 MiB first, then 25 MiB of gradients, and the rest.
TEST(Buckets, OfPyTorch) {
  Job job = replicas(8, 0);
  job.plan.overlap_grad_reduce = true;
  job.plan.gradient_buckets = "ddp";
  const double bytes = 2 * parameters_of(job);
  auto spans = launched(job);
  EXPECT_EQ(spans["gradient_reduce_overlapped"].count, 2 + static_cast<int>((bytes - 1048576) / (25 * 1048576)));
  EXPECT_NEAR(spans["gradient_reduce_overlapped"].seconds, 2 * 7.0 / 8 * bytes / inside, 1e-8);
  job.plan.gradient_buckets = "deepspeed";
  EXPECT_EQ(launched(job)["gradient_reduce_overlapped"].count, 1);  // fewer than 5e8 elements
}

// Buckets on every stage of DDP, on the first alone in Megatron; the volume is the same.
TEST(Buckets, OnEveryStageOfDdp) {
  Job job = fixtures::job(1, 2, 4, 4);
  job.plan.overlap_grad_reduce = true;
  for (const char* name : {"ddp", "megatron", "deepspeed"}) {
    job.plan.gradient_buckets = name;
    EXPECT_GT(launched(job)["gradient_reduce_overlapped"].count, 0) << name;
  }
}

// ZeRO's paper (arXiv 1910.02054, section 7.2): stage 3 moves 3 Psi for the 2 Psi of plain data parallelism; the last unit
// of the forward pass is still there when the backward pass begins.
TEST(Volumes, Zero3MovesHalfAsMuchAgain) {
  Job sharded = replicas(8, 3);
  auto three = launched(sharded), none = launched(replicas(8, 0));
  const double all = three["parameter_gather"].seconds + three["gradient_scatter"].seconds;
  sharded.plan.reshard_after_forward = false;
  const double once = launched(sharded)["parameter_gather"].seconds;
  const double head = 2 * (8192.0 * 1024 + 2 * 1024) * 7 / 8 / inside;
  EXPECT_NEAR(all + head, 1.5 * none["gradient_reduce"].seconds, 1e-8);
  EXPECT_NEAR(2 * once - head, three["parameter_gather"].seconds, 1e-8);
}

// DeepSpeed gathers each weight on its own: the bytes of a block's gather, in four pieces for a layer of GPT (query, key
// and value; projection; two of the MLP), and in one for the embedding and the head.
TEST(Sharded, GathersWeightByWeight) {
  Job block = replicas(8, 3), weight = block;
  weight.framework.live_parameters = fixtures::given(1e9);
  const auto one = launched(block)["parameter_gather"], each = launched(weight)["parameter_gather"];
  const int layers = static_cast<int>(block.model.layers);
  EXPECT_EQ(each.count - one.count, 3 * 2 * layers);  // forward and backward
  EXPECT_NEAR(each.seconds, one.seconds, 1e-8);       // no latency here
}

// Nothing beside anything: the step is its kernels and all of its collectives, one after the other.
TEST(Sharded, WithoutOverlapStandsStillForAllTraffic) {
  Job job = replicas(8, 3, 2);
  ExecutionOptions options;
  options.jitter = false;
  double traffic = 0;
  for (const auto& [name, span] : launched(job)) {
    if (name == "parameter_gather" || name == "gradient_scatter") traffic += span.seconds;
  }
  job.plan.overlap_grad_reduce = job.plan.overlap_param_gather = false;
  const Seconds exposed = predict(job, options).breakdown.dp_comm_exposed;
  EXPECT_NEAR(exposed.si(), traffic, 1e-6 * traffic);
  job.plan.overlap_param_gather = true;
  EXPECT_LT(predict(job, options).breakdown.dp_comm_exposed.si(), traffic);
}

// --- ZeRO++ (arXiv 2306.10209): of 3 M between nodes 0.75 M are left, in 16-bit elements -----------------------------

TEST(ZeroPlusPlus, QuantisedWeightsHalveTheForwardGather) {
  Job job = replicas(16, 3);
  job.plan.reshard_after_forward = false;
  const double whole = launched(job)["parameter_gather"].seconds;
  job.plan.zero_quantized_weights = true;
  EXPECT_NEAR(launched(job)["parameter_gather"].seconds, whole * (1 + 2.0 / 2048) / 2, 1e-8);
}

TEST(ZeroPlusPlus, SecondCopyKeepsTheBackwardGatherInTheNode) {
  Job job = replicas(16, 3);
  const double between = 15.0 / 16 / nodes, within = 7.0 / 8 / inside;
  const double both = launched(job)["parameter_gather"].seconds / between;  // bytes of forward and backward
  Job forward_only = job;
  forward_only.plan.reshard_after_forward = false;
  const double forward = launched(forward_only)["parameter_gather"].seconds / between;
  const Bytes before = predict(job).memory.buffers;
  job.plan.zero_hpz_partition_size = 8;
  EXPECT_NEAR(launched(job)["parameter_gather"].seconds, forward * between + (both - forward) * within, 1e-8);
  EXPECT_NEAR((predict(job).memory.buffers - before).si(), 2 * parameters_of(job) / 8, 1e3);  // 2 bytes over a node
}

TEST(ZeroPlusPlus, QuantisedGradientsGoNodeByNode) {
  Job job = replicas(16, 3);
  job.plan.zero_hpz_partition_size = 8;
  job.plan.zero_quantized_gradients = true;
  auto spans = launched(job);
  EXPECT_EQ(spans.count("gradient_scatter"), 0u);
  const double sent = (0.5 + 2.0 / 2048) * parameters_of(job);
  EXPECT_NEAR(spans["gradient_exchange"].seconds, sent * 7 / 8 / inside + sent / 8 / 2 / nic, 1e-7);
  job.plan.zero_hpz_partition_size.reset();
  EXPECT_NE(predict(job).infeasible_reason, "");
}

// --- less than everything, every step --------------------------------------------------------------------------------

// DiLoCo: H steps without exchange, then one average: t + t_all_reduce / H, and two more fp32 copies.
TEST(LocalSteps, SpreadOneAverageOverThem) {
  Job job = replicas(16, 0);
  const Report every = predict(job);
  job.plan.local_steps = 50;
  auto spans = launched(job);
  const double psi = parameters_of(job);
  EXPECT_NEAR(spans["outer_average"].seconds, 2 * 15.0 / 16 * 2 * psi / nodes / 50, 1e-9);
  EXPECT_EQ(spans.count("gradient_reduce"), 0u);
  EXPECT_LT(predict(job).step_time, every.step_time);
  EXPECT_NEAR((predict(job).memory.optimizer - every.memory.optimizer).si(), 8 * psi, 1);
}

// D-PSGD: k neighbours, one after the other through the NIC, beside the backward pass.
TEST(Gossip, ExchangesWithNeighboursAlone) {
  Job job = replicas(16, 0);
  job.plan.gossip_neighbours = 2;
  EXPECT_NEAR(launched(job)["gossip_exchange"].seconds, 2 * 2 * parameters_of(job) / nic, 1e-8);
  const Seconds in_turn = predict(job).step_time;
  job.plan.overlap_grad_reduce = true;
  EXPECT_LT(predict(job).step_time, in_turn);
  job.plan.gossip_neighbours = 16;
  EXPECT_NE(predict(job).infeasible_reason, "");
}

// A step is the longer of compute and of what goes to the owners of the parameters and back.
TEST(Asynchronous, TakesTheLongerOfComputeAndTraffic) {
  Job job = replicas(16, 0);
  job.plan.asynchronous_data = true;
  const double traffic = 4 * parameters_of(job) / nic;
  EXPECT_GE(predict(job).step_time.si(), traffic);
  job.plan.global_batch *= 64;
  EXPECT_NEAR(predict(job).breakdown.dp_comm_exposed.si(), 0, 1e-12);
}

TEST(Asynchronous, NobodyWaitsForTheSlowestOfAll) {
  Job job = replicas(16, 0, 8);
  job.cluster.gpu.speed_spread.value = 0.02;
  const Seconds together = predict(job).breakdown.compute;
  job.plan.asynchronous_data = true;
  EXPECT_LT(predict(job).breakdown.compute, together);
}

// --- compression -----------------------------------------------------------------------------------------------------

// PowerSGD, rank r of an n x n matrix: 2 r / n of the elements, in fp32 (arXiv 1905.13727, table 3).
TEST(Compression, VolumesByTheirPapers) {
  const Gradients gradients{1e9, 2, 4096, 16};
  const auto size = [&](const char* name) { return parse_compression(name)->reduction(gradients).size.si(); };
  EXPECT_DOUBLE_EQ(size("powersgd-4"), 1e9 * 2 * 4 / 4096 * 4);
  EXPECT_DOUBLE_EQ(size("int8"), 1e9 * (1 + 2.0 / 2048));
  EXPECT_DOUBLE_EQ(size("onebit"), 1e9 * (1.0 / 8 + 2.0 / 2048));
  EXPECT_DOUBLE_EQ(size("topk-1"), 16 * 1e7 * 6);  // gathered: grows with the ranks
  EXPECT_FALSE(parse_compression("powersgd"));
  EXPECT_FALSE(parse_compression("topk-90"));
  EXPECT_FALSE(parse_compression("int8-3"));
  EXPECT_FALSE(parse_compression("zip"));
}

TEST(Compression, SavesTransferAndCostsKernels) {
  Job job = replicas(16, 0);
  const double whole = launched(job)["gradient_reduce"].seconds;
  job.plan.gradient_compression = "powersgd-4";
  auto spans = launched(job);
  EXPECT_NEAR(spans["gradient_reduce"].seconds, whole * (2.0 * 4 / 1024 * 4) / 2, 1e-8);
  EXPECT_GT(spans["gradient_compression"].seconds, 0);
}

}  // namespace
}  // namespace stepcast
