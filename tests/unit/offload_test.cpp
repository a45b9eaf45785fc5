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

}  // namespace
}  // namespace stepcast
