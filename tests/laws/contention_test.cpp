/// What sharing links does to a step, and what it must not do.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/execution/execute.hpp"
#include "simulator/predict.hpp"
#include "tests/support/any_job.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

ExecutionOptions sharing(bool fold, bool contention = true) {
  return {.executor = Executor::events,
          .granularity = Granularity::kernel,
          .fold = fold,
          .contention = contention,
          .jitter = false};
}

RC_GTEST_PROP(Contention, OneStreamOnItsLinksTakesItsClosedForm, ()) {
  const int replicas = *rc::gen::inRange(1, 20);
  Job job = fixtures::job(1, 1, replicas, *rc::gen::inRange(1, 5));
  job.cluster = fixtures::rough_cluster(replicas);
  job.cluster.gpus_per_node = job.cluster.node.domain_gpus = *rc::gen::element(1, 8);
  job.cluster.fabric.nics_per_node = *rc::gen::element(1, 8);
  job.plan.zero = *rc::gen::inRange(0, 4);
  job.plan.overlap_grad_reduce = *rc::gen::arbitrary<bool>();
  job.plan.overlap_param_gather = *rc::gen::arbitrary<bool>();
  const Report alone = predict(job, {.jitter = false});
  RC_PRE(alone.step_time.si() > 0);
  RC_ASSERT(predict(job, sharing(true)).step_time.si() == alone.step_time.si());
  RC_ASSERT(predict(job, sharing(false)).step_time.si() == alone.step_time.si());
}

RC_GTEST_PROP(Contention, OnlyAddsTime, ()) {
  const Job job = fixtures::any_job();
  RC_ASSERT(predict(job, sharing(false)).step_time >= predict(job, sharing(false, false)).step_time);
}

RC_GTEST_PROP(Contention, FullEqualsFoldedWhereEveryGpuHasItsNic, ()) {
  Job job = fixtures::any_job();
  job.cluster.gpus_per_node = job.cluster.node.domain_gpus = *rc::gen::element(1, 2, 8);
  job.cluster.fabric.nics_per_node = job.cluster.gpus_per_node;
  const ParallelPlan& plan = job.plan;
  const int of_stage = plan.tensor_parallel * plan.context_parallel * plan.data_parallel;
  RC_PRE(of_stage % job.cluster.gpus_per_node == 0);  // else stages share nodes, each in its own way
  RC_ASSERT(predict(job, sharing(true)).step_time.si() == predict(job, sharing(false)).step_time.si());
}

/// Two stages of two replicas, a GPU a node: at the start each rank of stage 0 reduces gradients with its like and sends
/// to stage 1, both over its one NIC of 25 GB/s.
Programs reduce_beside_send() {
  Programs programs;
  programs.grid = {1, 1, 2, 2};
  programs.labels = {"reduce", "send", "receive"};
  programs.stages.resize(2);
  const auto add = [](Program& program, Instruction instruction) {
    program.streams[static_cast<std::size_t>(instruction.stream)].push_back(
        static_cast<std::int32_t>(program.instructions.size()));
    program.instructions.push_back(instruction);
  };
  add(programs.stages[0], {.kind = InstructionKind::collective,
                           .stream = Stream::data,
                           .bucket = Bucket::dp_comm,
                           .group = GroupKind::data,
                           .duration = to_ticks(40.0_ms),
                           .wire = 1.0_GB});
  const Instruction half{.bucket = Bucket::pp_comm, .duration = to_ticks(20.0_ms), .wire = 500.0_MB};
  Instruction send = half, receive = half;
  send.kind = InstructionKind::send;
  send.stream = Stream::send_forward;
  send.peer_stage = 1;
  send.peer = 0;
  receive.kind = InstructionKind::receive;
  receive.stream = Stream::receive_forward;
  receive.peer_stage = 0;
  receive.peer = 1;
  add(programs.stages[0], send);
  add(programs.stages[1], receive);
  return programs;
}

SimTime end_of(const Timeline& timeline, std::int32_t rank, Stream stream) {
  for (const Span& span : timeline.spans) {
    if (span.rank == rank && span.stream == stream) return span.end;
  }
  return {};
}

TEST(Contention, TwoTransfersOnOneNicHaveHalfEach) {
  Cluster cluster = fixtures::ideal_cluster(4);
  cluster.gpus_per_node = cluster.node.domain_gpus = cluster.fabric.nics_per_node = 1;
  const Interconnect network = ports_of(cluster, false);
  ExecutionOptions options = sharing(false);
  options.record_spans = true;
  const Timeline timeline = events(reduce_beside_send(), options, {}, &network);
  // Alone 20 and 40 ms. At half the rate the message's 500 MB take 40 ms; by then 500 MB of the reduction have moved,
  // and the rest takes 20 ms at the full rate.
  EXPECT_EQ(end_of(timeline, 0, Stream::send_forward).ps, to_ticks(40.0_ms).ps);
  EXPECT_EQ(end_of(timeline, 3, Stream::receive_forward).ps, to_ticks(40.0_ms).ps);
  EXPECT_EQ(timeline.step.ps, to_ticks(60.0_ms).ps);
  EXPECT_EQ(events(reduce_beside_send(), options).step.ps, to_ticks(40.0_ms).ps);
}

TEST(Contention, AnImpairedNicSlowsTheRingThroughIt) {
  Cluster cluster = fixtures::ideal_cluster(4);
  cluster.gpus_per_node = cluster.node.domain_gpus = cluster.fabric.nics_per_node = 1;
  Interconnect network = ports_of(cluster, false);
  std::vector<LinkId> out;
  network.route(1, 0, out);
  network.impaired[out.front()] = 0.25;
  // 1 GB at a quarter of 25 GB/s; the message from rank 1 to rank 3 has half of that until its 500 MB are through.
  EXPECT_EQ(events(reduce_beside_send(), sharing(false), {}, &network).step.ps, to_ticks(240.0_ms).ps);
}

TEST(Contention, GpusThatShareANicHaveTheirShareOfIt) {
  // Two GPUs a node with one NIC: both replicas' messages leave by it at once, in their closed form's time.
  Cluster cluster = fixtures::ideal_cluster(4);
  cluster.gpus_per_node = cluster.node.domain_gpus = 2;
  cluster.fabric.nics_per_node = 1;
  const Interconnect network = ports_of(cluster, false);
  Programs programs = reduce_beside_send();
  for (Program& program : programs.stages) {
    for (Instruction& half : program.instructions) half.duration = to_ticks(40.0_ms);  // at 12.5 GB/s a GPU
  }
  ExecutionOptions options = sharing(false);
  options.record_spans = true;
  const Timeline timeline = events(programs, options, {}, &network);
  EXPECT_EQ(end_of(timeline, 0, Stream::send_forward).ps, to_ticks(40.0_ms).ps);
}

/// One rank: a kernel of 100 ms, all of it matrix work, beside a collective of 40 ms that takes a quarter of the SMs.
Programs kernel_beside_collective() {
  Programs programs;
  programs.sms = 132;
  programs.hbm_bandwidth = 3000.0_GBps;
  programs.labels = {"kernel", "reduce"};
  programs.stages.resize(1);
  Program& program = programs.stages[0];
  program.instructions = {{.bucket = Bucket::compute, .duration = to_ticks(100.0_ms), .clocked = to_ticks(100.0_ms)},
                          {.kind = InstructionKind::collective,
                           .stream = Stream::data,
                           .bucket = Bucket::dp_comm,
                           .group = GroupKind::data,
                           .duration = to_ticks(40.0_ms),
                           .sms = 33,
                           .memory_traffic = 60.0_GB}};
  program.streams[static_cast<std::size_t>(Stream::compute)] = {0};
  program.streams[static_cast<std::size_t>(Stream::data)] = {1};
  return programs;
}

TEST(Interference, AKernelLosesTheSmsOfACollectiveBesideIt) {
  ExecutionOptions options = sharing(true);
  options.interference = true;
  // 40 ms at three quarters of full speed, then the other 70 ms of its work.
  EXPECT_NEAR(events(kernel_beside_collective(), options).step.seconds().si(), 0.110, 2e-9);
  EXPECT_EQ(events(kernel_beside_collective(), sharing(true)).step.ps, to_ticks(100.0_ms).ps);
}

TEST(Interference, AMemoryBoundKernelLosesItsTraffic) {
  ExecutionOptions options = sharing(true);
  options.interference = true;
  Programs programs = kernel_beside_collective();
  programs.stages[0].instructions[0].clocked = {};
  // 60 GB in 40 ms are half of 3 TB/s: 20 ms of work are done by then.
  EXPECT_NEAR(events(programs, options).step.seconds().si(), 0.120, 2e-9);
}

RC_GTEST_PROP(Interference, OnlyAddsTime, ()) {
  const Job job = fixtures::any_job();
  ExecutionOptions options = sharing(false);
  const Seconds apart = predict(job, options).step_time;
  options.interference = true;
  RC_ASSERT(predict(job, options).step_time.si() >= apart.si() - 1e-6);
}

}  // namespace
}  // namespace stepcast
