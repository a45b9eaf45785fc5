#pragma once
/// Jobs at random, for laws that hold whatever the numbers.

#include <string>

#include <rapidcheck.h>

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
  for (LinkTier* link : {&cluster.node.intra, &cluster.fabric.nic}) {
    link->latency.value = 3.7_us;
    link->launch.value = 9.1_us;
    link->half_size.value = 1.0_MB;
    link->efficiency.value = 0.9;
  }
  return cluster;
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
  if (v == 1 && p > 1) job.plan.schedule = *rc::gen::element<std::string>("gpipe", "1f1b");
  job.model.layers = *rc::gen::inRange(p * v, 4 * p * v + 1);
  job.plan.zero = *rc::gen::inRange(0, 4);
  job.plan.sequence_parallel = t > 1 && *rc::gen::arbitrary<bool>();
  job.plan.recompute = *rc::gen::element<std::string>("none", "selective", "selective-op", "full");
  job.plan.flash_attention = *rc::gen::arbitrary<bool>();
  if (*job.plan.flash_attention && *rc::gen::arbitrary<bool>()) {
    job.plan.context_parallel = 2;
    job.cluster = rough_cluster(2 * job.cluster.gpus);
  }
  job.plan.overlap_grad_reduce = *rc::gen::arbitrary<bool>();
  job.plan.overlap_param_gather = *rc::gen::arbitrary<bool>();
  job.plan.overlap_p2p = *rc::gen::arbitrary<bool>();
  job.framework.overlap_tp_backward.value = *rc::gen::arbitrary<bool>();
  job.framework.p2p_scatter_gather.value = *rc::gen::arbitrary<bool>();
  job.framework.p2p_sync.value = *rc::gen::element(0.0_us, 80.0_us);
  job.framework.host_time_per_layer_forward.value = *rc::gen::element(0.0_us, 900.0_us);
  job.framework.host_time_per_layer_backward.value = *rc::gen::element(0.0_us, 900.0_us);
  return job;
}

}  // namespace stepcast::fixtures
