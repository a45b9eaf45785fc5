#pragma once
/// A report made by hand, small enough that every figure in the goldens can be checked on paper.

#include "simulator/report/report.hpp"

namespace stepcast {

/// 16 GPUs, tensor parallel 8, two pipeline stages; 64 sequences of 2,048 tokens take 2 s.
///
///   tokens/s           64 * 2048 / 2 s = 65,536;  / 16 GPUs = 4,096 per GPU
///   TFLOP/s per GPU    4,096 tokens/s * 30 GFLOP/token = 122.88
///   MFU                122.88 / 312 = 39.4%;  HFU with the forward repeated: * 4/3 = 52.5%
///   causal attention   27 GFLOP/token: 4,096 * 27e9 / 312e12 = 35.4%
///   step time          1.2 + 0.3 + 0.1 + 0.25 + 0.05 + 0.1 = 2.0 s;  bubble 0.25 / 2 = 12.5%
///   stage 1            the same without the bubble's half: 1.3 + 0.3 + 0.1 + 0.125 + 0.05 + 0.125 = 2.0 s
///   memory, stage 0    10 + 20 + 20 + 10 + 2 + 0.5 = 62.5 of 80 GiB: 17.5 GiB (21.9%) are free
///   published          1.96 s: 2 / 1.96 - 1 = +2.0%
///   linear_fc1         64 * 12 times 0.5 ms = 0.384 s = 19.2% of the step; 0.1 TFLOP / 0.5 ms = 200 TFLOP/s = 64.1%
///   layernorm          1,536 times 50 us = 76.8 ms = 3.8%; 75 MB / 50 us = 1.5 TB/s
inline Report example_report() {
  Report r;
  r.scenario = "A small run, made by hand";
  r.id = "example";
  r.feasible = true;
  r.step_time = 2.0_s;
  r.interval = {1.9_s, 2.1_s};
  r.tokens_per_s = 65536;
  r.tokens_per_s_per_gpu = 4096;
  r.model_tflops_per_gpu = 122.88;
  r.flops_convention = "megatron-full-attention";
  r.mfu = 122.88 / 312;
  r.hfu = r.mfu * 4 / 3;
  r.mfu_by_convention = {{"megatron-full-attention", r.mfu}, {"causal-half", r.mfu * 27 / 30}};
  r.hfu_by_convention = {{"executed", r.hfu}};
  r.mfu_peak = 312.0_TFLOPS;
  r.bubble_fraction = 0.125;

  StageReport first;
  first.stage = 0;
  first.contents = {"embedding + 4 layers", "4 layers", "4 layers"};
  first.layers = 12;
  first.parameters = 1.25e9;
  first.microbatches_in_flight = 3;
  first.breakdown.compute = 1.2_s;
  first.breakdown.tp_comm_exposed = 0.3_s;
  first.breakdown.pp_comm_exposed = 0.1_s;
  first.breakdown.bubble = 0.25_s;
  first.breakdown.optimizer = 0.05_s;
  first.breakdown.host_other = 0.1_s;
  first.memory.parameters = 10.0_GiB;
  first.memory.gradients = 20.0_GiB;
  first.memory.optimizer = 20.0_GiB;
  first.memory.activations = 10.0_GiB;
  first.memory.buffers = 2.0_GiB;
  first.memory.context = 0.5_GiB;
  first.memory.capacity = 80.0_GiB;

  StageReport last = first;
  last.stage = 1;
  last.contents = {"4 layers", "4 layers", "4 layers + loss"};
  last.microbatches_in_flight = 2;
  last.breakdown.compute = 1.3_s;
  last.breakdown.bubble = 0.125_s;
  last.breakdown.host_other = 0.125_s;
  last.memory.activations = 7.5_GiB;

  r.per_stage = {first, last};
  r.memory = first.memory;
  r.memory_stage = 0;
  r.breakdown = last.breakdown;
  r.busiest_stage = 1;

  OperatorTime gemm;
  gemm.block = "layer";
  gemm.stage = 1;
  gemm.name = "linear_fc1";
  gemm.pass = "forward";
  gemm.shape = "m=2048 n=3072 k=8192";
  gemm.bound = "tensor cores";
  gemm.basis = "fitted";
  gemm.count = 768;
  gemm.each = 0.5_ms;
  gemm.flops = 1e11;
  gemm.bytes = 96.0_MB;
  gemm.peak = 312.0_TFLOPS;
  OperatorTime norm;
  norm.block = "layer";
  norm.stage = 1;
  norm.name = "layernorm";
  norm.pass = "forward";
  norm.shape = "[2048, 1, 1024]";
  norm.bound = "HBM";
  norm.basis = "measured";
  norm.count = 1536;
  norm.each = 50.0_us;
  norm.bytes = 75.0_MB;
  r.operators = {gemm, norm};

  r.assumed = {"the fabric's latency: nearest relative, hdr200x8"};
  r.defaults_taken = {"overlap_p2p: off (megatron-lm-2022)", "grad_reduce_dtype: fp32"};
  r.simulation.executor = "dataflow";
  r.simulation.ranks = 2;
  r.simulation.instructions = 1234;
  r.simulation.events = 0;
  r.simulation.wall_s = 0.001;

  r.model_name = "GPT 20B";
  r.model_parameters = 20e9;
  r.cluster_text = "16 x A100-SXM4-80GB, 2 nodes, HDR InfiniBand";
  r.plan_text = "TP 8 (SP)  PP 2 x 3  DP 1";
  r.framework_name = "megatron-lm-2022";
  r.gpus = 16;
  r.tokens_per_step = 131072;

  Reference reference;
  reference.title = "A paper that nobody wrote";
  reference.where = "Table 1";
  reference.confidence = "exact";
  reference.measured.step_time_s = 1.96;
  reference.measured.step_time_from = "published";
  reference.measured.mfu = 0.402;
  r.reference = reference;
  return r;
}

/// The same plan on GPUs of 48 GiB: it does not fit, and nothing was timed.
inline Report infeasible_report() {
  Report r = example_report();
  r.feasible = false;
  r.infeasible_reason = "stage 0 needs 62.5 GiB of 48 GiB";
  r.memory.capacity = 48.0_GiB;
  r.step_time = 0.0_s;
  r.interval.reset();
  r.reference.reset();
  r.operators.clear();
  return r;
}

}  // namespace stepcast
