#pragma once
/// Machines and jobs with round numbers, so that expected values can be worked out by hand.

#include <string>

#include "simulator/job.hpp"

namespace stepcast::fixtures {

template <class T>
Sourced<T> given(T value) {
  return {value, Basis::datasheet, "test"};
}

/// A GPU without overheads: every GEMM runs at peak, every byte at full bandwidth, nothing has a floor or a spread.
inline Gpu ideal_gpu() {
  Gpu gpu;
  gpu.name = "ideal";
  gpu.description = "ideal GPU";
  gpu.sms = given(1);
  gpu.peak = {{Precision::fp16, given(FlopsPerSecond(100e12))},
              {Precision::bf16, given(FlopsPerSecond(100e12))},
              {Precision::fp32, given(FlopsPerSecond(10e12))}};
  gpu.memory = given(Bytes(80 * 1073741824.0));
  gpu.hbm_bandwidth = given(BytesPerSecond(1e12));
  gpu.l2 = given(Bytes(40e6));
  GemmProfile gemm;
  gemm.tiles = {{1, 1}};
  gemm.peak_fraction = given(1.0);
  gemm.tile_area_exponent = given(0.0);
  gemm.prologue_k = given(0.0);
  gemm.wave_softness = given(0.0);
  gemm.memory_fraction = given(1e6);  // operands are free
  gemm.epilogue_exposed = given(0.0);
  gemm.fixed_time = given(Seconds(0));
  gemm.nn_factor = gemm.nt_factor = gemm.sustained = given(1.0);
  gpu.gemm[Precision::bf16] = gemm;
  AttentionProfile::Kernel kernel;
  for (AttentionProfile::Pass* pass : {&kernel.forward, &kernel.backward}) {
    pass->fraction = pass->head_dim_64_factor = pass->head_dim_256_factor = given(1.0);
    pass->half_length = pass->causal_half_length = given(0.0);
  }
  gpu.attention.kernels["flash2"] = kernel;
  gpu.memory_bound.bandwidth_fraction = given(1.0);
  gpu.memory_bound.ramp_time = gpu.memory_bound.floor_time = given(Seconds(0));
  gpu.launch_gap = given(Seconds(0));
  gpu.speed_spread = gpu.launch_spread = given(0.0);
  gpu.context_memory = given(Bytes(0));
  return gpu;
}

inline LinkTier ideal_link(BytesPerSecond bandwidth) {
  LinkTier link;
  link.bandwidth = given(bandwidth);
  link.efficiency = given(1.0);
  link.latency = link.launch = given(Seconds(0));
  link.half_size = given(Bytes(0));
  return link;
}

/// Nodes of eight GPUs: 300 GB/s inside, one 25 GB/s NIC a GPU outside.
inline Cluster ideal_cluster(std::int64_t gpus) {
  Cluster cluster;
  cluster.gpu = ideal_gpu();
  cluster.node.name = "ideal-node";
  cluster.node.gpus = 8;
  cluster.node.domain_gpus = 8;
  cluster.node.intra = ideal_link(BytesPerSecond(300e9));
  cluster.fabric.name = "ideal-fabric";
  cluster.fabric.nics_per_node = 8;
  cluster.fabric.nic = ideal_link(BytesPerSecond(25e9));
  cluster.gpus = gpus;
  cluster.gpus_per_node = 8;
  return cluster;
}

/// Software without overheads: everything fused, nothing overlapped, memory-bound operators free.
inline Framework ideal_framework() {
  Framework f;
  f.name = "ideal";
  f.family = "other";
  f.attention_kernel = given(std::string("flash2"));
  f.flash_attention = given(true);
  f.fused_softmax = f.skips_causal_blocks = f.fused_bias_activation = f.fused_bias_dropout_add = given(true);
  f.norm_forward_bytes = given(4.0);
  f.norm_backward_bytes = given(6.0);
  f.fused_rotary = given(true);
  f.separate_qkv = f.separate_gate = f.repeats_key_value_heads = given(false);
  f.gradient_accumulation_fusion = given(true);
  f.cross_entropy_bytes = given(14.0);
  f.cross_entropy_memory = given(6.0);
  f.dropout = given(0.0);
  f.grad_reduce_dtype = given(std::string("parameter"));
  f.gradient_dtype = given(GradientType::fp32);
  f.overlap_grad_reduce = f.overlap_param_gather = f.overlap_tp = f.overlap_p2p = given(false);
  f.tp_overlap = given(std::string("async"));
  f.gradient_buckets = given(std::string("megatron"));
  f.cp_comm_type = given(std::string("p2p"));
  f.p2p_overlap_exposed = given(0.0);
  f.overlap_tp_backward = given(true);
  f.p2p_scatter_gather = f.p2p_blocking_interleaved = given(false);
  f.p2p_sync = given(Seconds(0));
  f.launch_mode = given(LaunchMode::eager);
  f.host_time_per_layer_forward = f.host_time_per_layer_backward = f.host_time_per_step = given(Seconds(0));
  f.dispatcher = given(std::string("alltoall"));
  f.overlap_ep = f.expert_tensor_follows = f.fp8_dispatch = given(false);
  f.exchange_sms = given(1);
  f.router_kernels = given(1.0);
  f.host_time_per_moe_operator = given(Seconds(0));
  f.recompute_stops_early = given(false);
  f.vocab_multiple = given(1);
  f.vocab_multiple_times_tp = given(false);
  f.sharding_nics = given(64);
  f.optimizer_bytes = given(34.0);
  f.gradient_clip_bytes = given(12.0);
  f.gradient_clear_bytes = given(4.0);
  f.gradient_scale_bytes = given(8.0);
  f.fp8_saves_inputs = f.sharded_master = given(false);
  f.cpu_adam_fraction = given(0.5);
  f.reduce_buffer = f.communicator_memory = given(Bytes(0));
  f.fragmentation = given(1.0);
  f.moment_bytes = given(4.0);
  f.norm_saved_bytes = given(2.0);
  f.activation_gradient_in_place = f.fp8_saves_gates = given(false);
  f.live_parameters = given(0.0);
  f.overlapped_buffers = given(1.0);
  f.dummy_weight_gradients = f.keeps_stage_outputs = given(false);
  f.kernel_memory = given(Bytes(0));
  f.memory_log = given(std::string("device"));
  return f;
}

inline Architecture gpt(std::int64_t layers, std::int64_t hidden, std::int64_t heads, std::int64_t vocab) {
  Architecture model;
  model.name = "GPT";
  model.layers = layers;
  model.hidden = hidden;
  model.heads = model.kv_heads = heads;
  model.head_dim = hidden / heads;
  model.ffn = 4 * hidden;
  model.vocab = vocab;
  model.dropout = 0;
  return model;
}

/// A small GPT on `t` x `p` x `d` GPUs with `m` microbatches.
inline Job job(int t, int p, int d, std::int64_t m, int v = 1) {
  Job job;
  job.name = "test";
  job.model = gpt(8 * p * v, 1024, 16, 8192);
  job.cluster = ideal_cluster(std::int64_t{t} * p * d);
  job.framework = ideal_framework();
  job.plan.tensor_parallel = t;
  job.plan.sequence_parallel = t > 1;
  job.plan.pipeline_parallel = p;
  job.plan.virtual_stages = v;
  job.plan.schedule = p == 1 ? "none" : v > 1 ? "interleaved-1f1b" : "1f1b";
  job.plan.data_parallel = d;
  job.plan.microbatch = 1;
  job.plan.global_batch = m * d;
  job.plan.sequence_length = 1024;
  job.plan.precision = Precision::bf16;
  return job;
}

}  // namespace stepcast::fixtures
