#pragma once
/// Jobs at random, for laws that hold whatever the numbers.

#include <string>

#include <rapidcheck.h>

#include "simulator/schedules/schedule.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast::fixtures {

/// A machine with overheads of every kind, so that the laws meet rounding, latencies and floors.
inline Cluster rough_cluster(std::int64_t gpus) {
  Cluster cluster = ideal_cluster(gpus);
  Gpu& gpu = cluster.gpu;
  gpu.sms.value = 108;
  GemmProfile& gemm = gpu.gemm[Precision::bf16];
  gemm.tiles = {{256, 128}, {128, 128}, {64, 64}};
  gemm.peak_fraction.value = 0.8;
  gemm.tile_area_exponent.value = 0.3;
  gemm.prologue_k.value = 100;
  gemm.wave_softness.value = 0.6;
  gemm.memory_fraction.value = 0.8;
  gemm.fixed_time.value = 1.3_us;
  gpu.memory_bound.bandwidth_fraction.value = 0.77;
  gpu.memory_bound.ramp_time.value = 2.1_us;
  gpu.memory_bound.floor_time.value = 4.7_us;
  gpu.launch_gap.value = 1.1_us;
  gpu.speed_spread.value = 0.02;
  gpu.launch_spread.value = 0.005;
  cluster.node.pcie_bandwidth.value = BytesPerSecond(25e9);
  cluster.node.host_memory_bandwidth.value = BytesPerSecond(200e9);
  cluster.node.nvme_read_bandwidth.value = BytesPerSecond(10e9);
  cluster.node.nvme_write_bandwidth.value = BytesPerSecond(5e9);
  for (LinkTier* link : {&cluster.node.intra, &cluster.fabric.nic}) {
    link->latency.value = 3.7_us;
    link->launch.value = 9.1_us;
    link->half_size.value = 1.0_MB;
    link->efficiency.value = 0.9;
  }
  return cluster;
}

/// A schedule that fits the stages, chunks and microbatches; DualPipe gets the microbatches that it needs.
inline void choose_schedule(Job& job) {
  ParallelPlan& plan = job.plan;
  const int p = plan.pipeline_parallel;
  if (p == 1) return;
  if (plan.virtual_stages == 1) {
    plan.schedule =
        *rc::gen::element<std::string>("gpipe", "1f1b", "breadth-first", "zb-h1", "zb-h2", "zb-1p", "zb-2p");
  }
  if (plan.virtual_stages == 2) {
    plan.schedule = *rc::gen::element<std::string>("interleaved-1f1b", "breadth-first", "zb-v", "v-half", "v-min",
                                                   "dualpipe", "dualpipe-v");
  }
  if (plan.virtual_stages == 3) plan.schedule = *rc::gen::element<std::string>("interleaved-1f1b", "breadth-first");
  if (plan.schedule == "dualpipe" && p % 2 != 0) plan.schedule = "dualpipe-v";
  if (plan.schedule.starts_with("dualpipe")) {
    plan.global_batch = plan.data_parallel * (2 * p + 2 * *rc::gen::inRange(0, 4));
  }
}

/// Experts in some or all layers, spread in any way over the ranks of a stage.
inline void add_experts(Job& job) {
  MixtureOfExperts moe;
  moe.experts = 8;
  moe.top_k = 2;
  moe.expert_ffn = 1024;
  if (*rc::gen::arbitrary<bool>()) moe.shared_ffn = 512;
  if (*rc::gen::arbitrary<bool>()) moe.capacity_factor = 1.25;
  moe.moe_layers = *rc::gen::inRange<std::int64_t>(1, job.model.layers + 1);
  job.model.moe = moe;
  ParallelPlan& plan = job.plan;
  const auto ranks = plan.gpus_per_stage();
  const int t = plan.tensor_parallel;
  plan.expert_tensor_parallel = *rc::gen::element(1, t);
  plan.expert_parallel = *rc::gen::element(1, 2, 4, 8);
  while (ranks % (std::int64_t{plan.expert_parallel} * *plan.expert_tensor_parallel) != 0) plan.expert_parallel /= 2;
  if (plan.expert_parallel == 0) plan.expert_parallel = plan.expert_tensor_parallel.emplace(1);
  plan.overlap_shared_experts = *rc::gen::arbitrary<bool>();
  plan.dispatcher = *rc::gen::element<std::string>("alltoall", "allgather", "deepep");
  plan.overlap_ep = (plan.schedule == "none" || plan.schedule == "interleaved-1f1b") && *rc::gen::arbitrary<bool>();
  job.framework.host_time_per_moe_operator.value = *rc::gen::element(0.0_us, 40.0_us);
  job.framework.exchange_sms.value = *rc::gen::element(1, 24);
}

/// Another stack of layers than a decoder's: an encoder, an encoder and a decoder, or a hybrid with state spaces.
inline void choose_stack(Job& job) {
  Architecture& model = job.model;
  if (job.plan.context_parallel > 1) return;
  switch (*rc::gen::inRange(0, 6)) {
    case 0: model.causal = false; break;
    case 1:
      if (model.layers < 2 || model.moe || model.mla) return;
      model.encoder_layers = *rc::gen::inRange<std::int64_t>(1, model.layers);
      model.position = Position::relative;
      job.plan.decoder_length = job.plan.sequence_length / 2;
      break;
    case 2: {
      model.ssm = StateSpace{.heads = 32, .head_dim = 64, .state = 32, .groups = 4, .convolution = 4, .chunk = 128};
      const std::string letters = model.moe ? "M*-E" : "M*-";
      model.pattern = model.moe ? "E" : "M";
      while (static_cast<std::int64_t>(model.pattern.size()) < model.layers) {
        model.pattern += *rc::gen::elementOf(letters);
      }
      if (model.moe) model.moe->moe_layers = model.layers_with(LayerLetter::experts);
      break;
    }
    default: break;
  }
}

/// Adapters, frozen layers, packed documents.
inline void choose_training(Job& job) {
  ParallelPlan& plan = job.plan;
  if (*rc::gen::inRange(0, 4) == 0) {
    plan.lora =
        LowRankAdaptation{8, {"linear_qkv", "linear_proj", "linear_fc1", "down_proj"}, *rc::gen::element(0.0, 0.1)};
  }
  if (*rc::gen::inRange(0, 4) == 0) plan.frozen_layers = *rc::gen::inRange<std::int64_t>(1, job.model.layers + 1);
  if (*rc::gen::inRange(0, 4) == 0) plan.attention_length = static_cast<double>(plan.sequence_length) / 4;
}

/// Passes that share a GPU are list-scheduled, as are schedules that arrange themselves, and a list schedule may gain from a
/// slower machine (Graham 1966): laws of the kind "more is never slower" hold for passes in a fixed turn.
inline Job in_turn(Job job) {
  job.plan.overlap_ep = false;
  if (job.plan.tp_overlap == "userbuffers") job.plan.tp_overlap = "async";  // kernels slow down by what they meet
  if (job.plan.schedule.starts_with("dualpipe") || find_schedule(job.plan.schedule)->arranges) {
    job.plan.schedule = job.plan.virtual_stages > 1 ? "breadth-first" : "zb-h1";
  }
  return job;
}

/// Context and tensor parallelism of any kind.
inline void choose_methods(Job& job) {
  ParallelPlan& plan = job.plan;
  if (plan.context_parallel > 1) {
    plan.cp_comm_type = *rc::gen::element<std::string>("p2p", "all_gather", "torch_ring", "a2a", "a2a+p2p");
    plan.context_parallel_a2a = *rc::gen::element(1, 2);
  }
  if (plan.tensor_parallel > 1 && *rc::gen::arbitrary<bool>()) {
    plan.overlap_tp = true;
    plan.tp_overlap = *rc::gen::element<std::string>("userbuffers", "async");
  }
  const bool plain = !job.model.moe && !job.model.ssm && job.model.encoder_layers == 0 && !plan.lora;
  if (plan.tensor_parallel == 4 && plain && plan.frozen_layers == 0 && *rc::gen::arbitrary<bool>()) {
    plan.tensor_grid = *rc::gen::element<std::string>("2d", "2.5d");
  }
}

/// Replicas in groups, in buckets, in few bits, seldom or never all together.
inline void choose_exchange(Job& job) {
  ParallelPlan& plan = job.plan;
  plan.gradient_buckets = *rc::gen::element<std::string>("megatron", "ddp", "deepspeed");
  if (*rc::gen::arbitrary<bool>()) plan.no_sync = *rc::gen::arbitrary<bool>();
  if (job.model.moe || *rc::gen::arbitrary<bool>()) return;
  const auto copies = static_cast<int>(plan.dense_copies());
  const int part = copies % 2 == 0 ? 2 : copies;
  if (plan.zero == 0) {
    switch (*rc::gen::inRange(0, 4)) {
      case 0: plan.gradient_compression = *rc::gen::element<std::string>("int8", "powersgd-2", "topk-1"); break;
      case 1: plan.local_steps = *rc::gen::element<std::int64_t>(2, 100); break;
      case 2: plan.asynchronous_data = true; break;
      default: plan.gossip_neighbours = plan.data_parallel - 1; break;
    }
  } else if (plan.zero < 3 || *rc::gen::arbitrary<bool>()) {
    plan.shard_group = part;
  } else {
    plan.zero_quantized_weights = *rc::gen::arbitrary<bool>();
    plan.zero_hpz_partition_size = part;
    plan.zero_quantized_gradients = *rc::gen::arbitrary<bool>();
  }
}

/// Some of the states outside the GPU, and activations where there are no pipeline stages.
inline void offload(Job& job) {
  ParallelPlan& plan = job.plan;
  plan.cpu_offload = plan.zero == 3 && *rc::gen::arbitrary<bool>() ? "all" : "optimizer";
  plan.offload_fraction = *rc::gen::element(0.5, 1.0);
  plan.offload_to_nvme = *rc::gen::arbitrary<bool>();
  if (plan.pipeline_parallel == 1) {
    plan.offload_activations = *rc::gen::inRange(0, static_cast<int>(job.model.layers) + 1);
  }
}

/// Any plan that the simulator knows, small enough to simulate every rank.
inline Job any_job() {
  const int t = *rc::gen::element(1, 2, 4);
  const int p = *rc::gen::element(1, 2, 3, 4);
  const int d = *rc::gen::element(1, 2, 3);
  const int v = p > 1 ? *rc::gen::inRange(1, 4) : 1;
  const std::int64_t m = v > 1 ? p * *rc::gen::inRange(1, 4) + *rc::gen::inRange(0, 3) : *rc::gen::inRange(1, 9);
  Job job = fixtures::job(t, p, d, m, v);
  job.cluster = rough_cluster(job.cluster.gpus);
  job.model.layers = *rc::gen::inRange(p * v, 4 * p * v + 1);
  job.plan.zero = *rc::gen::inRange(0, 4);
  choose_schedule(job);
  job.plan.sequence_parallel = t > 1 && *rc::gen::arbitrary<bool>();
  job.plan.recompute = *rc::gen::element<std::string>("none", "selective", "selective-op", "full",
                                                      "selective-layernorm-mlp", "selective-moe-mla-up-proj");
  job.plan.flash_attention = *rc::gen::arbitrary<bool>();
  if (*job.plan.flash_attention && *rc::gen::arbitrary<bool>()) {
    job.plan.context_parallel = 2;
    job.cluster = rough_cluster(2 * job.cluster.gpus);
  }
  if (*rc::gen::arbitrary<bool>()) add_experts(job);
  if (*rc::gen::arbitrary<bool>()) {
    const auto rank = *rc::gen::element<std::int64_t>(0, 256);
    job.model.mla = LatentAttention{rank > 0 ? std::optional(rank) : std::nullopt, 128, 64, 32, 64};
  }
  choose_stack(job);
  choose_training(job);
  choose_methods(job);
  choose_exchange(job);
  job.plan.overlap_grad_reduce = *rc::gen::arbitrary<bool>();
  job.plan.overlap_param_gather = *rc::gen::arbitrary<bool>();
  job.plan.overlap_p2p = *rc::gen::arbitrary<bool>();
  job.framework.overlap_tp_backward.value = *rc::gen::arbitrary<bool>();
  job.framework.p2p_scatter_gather.value = *rc::gen::arbitrary<bool>();
  job.framework.p2p_sync.value = *rc::gen::element(0.0_us, 80.0_us);
  job.framework.host_time_per_layer_forward.value = *rc::gen::element(0.0_us, 900.0_us);
  job.framework.host_time_per_layer_backward.value = *rc::gen::element(0.0_us, 900.0_us);
  job.plan.moment_dtype = *rc::gen::element<std::string>("fp32", "bf16", "fp8");
  if (*rc::gen::inRange(0, 4) == 0) offload(job);
  return job;
}

}  // namespace stepcast::fixtures
