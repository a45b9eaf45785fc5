#include "simulator/parallelism/offload.hpp"

#include <gtest/gtest.h>

#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

// arXiv 2101.06840 (ZeRO-Offload), CPU-Adam on a DGX-2: 1, 4 and 10 billion parameters in 0.24, 1.03 and 2.57 s.
TEST(CpuAdam, ZeroOffloadTable) {
  Node node;
  node.host_memory_bandwidth = fixtures::given(BytesPerSecond(256e9));  // DGX-2
  Framework framework = fixtures::ideal_framework();
  framework.cpu_adam_fraction = fixtures::given(0.45);
  EXPECT_NEAR(cpu_adam_time(1e9, node, 1, framework).si(), 0.24, 0.1 * 0.24);
  EXPECT_NEAR(cpu_adam_time(4e9, node, 1, framework).si(), 1.03, 0.1 * 1.03);
  EXPECT_NEAR(cpu_adam_time(10e9, node, 1, framework).si(), 2.57, 0.1 * 2.57);
  EXPECT_DOUBLE_EQ(cpu_adam_time(1e9, node, 8, framework) / cpu_adam_time(1e9, node, 1, framework), 8);
}

Job offloaded() {
  Job job = fixtures::job(1, 1, 8, 1);
  job.plan.zero = 3;
  job.plan.cpu_offload = "optimizer";
  job.cluster.node.host_memory_bandwidth = fixtures::given(BytesPerSecond(80e9));
  job.cluster.node.pcie_bandwidth = fixtures::given(BytesPerSecond(10e9));
  job.framework.cpu_adam_fraction = fixtures::given(0.5);
  return job;
}

// The states leave the GPU, and the step waits for the processors: eight ranks share 80 GB/s x 0.5, 30 bytes each.
TEST(OptimizerOffload, StatesLeaveAndTheStepWaits) {
  Job job = offloaded();
  const Report away = predict(job, ExecutionOptions{});
  job.plan.cpu_offload = "none";
  const Report here = predict(job, ExecutionOptions{});
  EXPECT_EQ(away.memory.optimizer, Bytes{});
  EXPECT_GT(here.memory.optimizer, Bytes{});
  const double owned = away.model_parameters / 8;
  const Seconds adam = Seconds(30 * owned / (80e9 * 0.5 / 8));
  EXPECT_GT(away.breakdown.optimizer, adam);
  EXPECT_GT(away.step_time, here.step_time + adam * 0.9);
}

// Megatron-Bridge's cpu-offloading card: the step grows in proportion to the share that is offloaded.
TEST(OptimizerOffload, CostsInProportion) {
  Job job = offloaded();
  job.plan.zero = 1;
  const auto step_with = [&](double share) {
    job.plan.cpu_offload = share > 0 ? "optimizer" : "none";
    job.plan.offload_fraction = share;
    return predict(job, ExecutionOptions{});
  };
  const Report none = step_with(0), half = step_with(0.5), all = step_with(1);
  EXPECT_NEAR((half.step_time - none.step_time) / (all.step_time - none.step_time), 0.5, 0.01);
  EXPECT_NEAR(half.memory.optimizer / none.memory.optimizer, 0.5, 1e-9);
}

// ZeRO-Infinity (arXiv 2104.07857): master copy and two moments, 12 bytes a parameter, are read from the node's drives and
// written back; eight ranks share them.
TEST(OptimizerOffload, DrivesBoundTheStep) {
  Job job = offloaded();
  job.plan.offload_to_nvme = true;
  job.cluster.node.nvme_read_bandwidth = fixtures::given(BytesPerSecond(2e9));
  job.cluster.node.nvme_write_bandwidth = fixtures::given(BytesPerSecond(1e9));
  const Report report = predict(job, ExecutionOptions{});
  const Seconds drives(12 * report.model_parameters * (1 / 2e9 + 1 / 1e9));
  EXPECT_GT(report.step_time, drives);
  EXPECT_NEAR(report.breakdown.optimizer / drives, 1, 0.1);
}

// ZeRO-Infinity, section 6.1: every rank brings up its own shard, for the forward and again for the backward pass: 2 bytes
// a parameter each. With slow PCIe nothing hides it; the head's shard stays for its backward pass.
TEST(ParameterOffload, ShardsComeUpTwice) {
  Job job = offloaded();
  job.plan.cpu_offload = "all";
  job.cluster.node.pcie_bandwidth = fixtures::given(BytesPerSecond(1e7));
  const Report report = predict(job, ExecutionOptions{});
  EXPECT_EQ(report.memory.parameters, Bytes{});
  const double embedding = 8192.0 * 1024;  // its table, and the head's
  const Seconds uploads(2 * (2 * report.model_parameters - embedding) / 8 / 1e7);
  EXPECT_GT(report.step_time, uploads);
  EXPECT_LT(report.step_time, uploads * 2.2);  // gradients go down as well
}

// Megatron-Core cpu_offloading: what n layers keep is on the CPU between their passes; two of them are on the GPU at a
// time. A step cannot be shorter than the copies.
TEST(ActivationOffload, MemoryForCopies) {
  Job job = fixtures::job(1, 1, 1, 2);
  job.plan.recompute = "none";
  const Report here = predict(job, ExecutionOptions{});
  job.plan.offload_activations = 6;
  job.cluster.node.pcie_bandwidth = fixtures::given(BytesPerSecond(1e15));
  const Report fast = predict(job, ExecutionOptions{});
  const double layer = (here.memory.held - fast.memory.held).si() / 4;  // 6 less 2
  EXPECT_GT(layer, 0);
  EXPECT_NEAR(fast.step_time / here.step_time, 1, 1e-3);
  job.cluster.node.pcie_bandwidth = fixtures::given(BytesPerSecond(1e9));
  const Report slow = predict(job, ExecutionOptions{});
  EXPECT_GT(slow.step_time, Seconds(2 * 2 * 5 * layer / 1e9));  // two microbatches, down and up; the last may wait
  EXPECT_EQ(slow.memory.allocated(), fast.memory.allocated());
}

}  // namespace
}  // namespace stepcast
