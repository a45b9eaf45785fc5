// NCCL operations by size over all GPUs of the job, counted as nccl-tests counts them, in fp32.

#include "calibration/measure/nccl.cuh"

#if STEPCAST_NCCL_FOUND

#include <algorithm>
#include <cmath>

namespace stepcast::measure {
namespace {

/// What rank r sends at element i: small whole numbers, so that sums are exact.
__host__ __device__ float sent(std::size_t i, int rank) {
  return static_cast<float>(i % 13) + static_cast<float>(rank);
}

__global__ void fill_sent_kernel(float* data, std::size_t count, int rank) {
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x)
    data[i] = sent(i, rank);
}

/// What element i of rank r's receive buffer should be.
float expected(const std::string& op, std::size_t i, int rank, int ranks, std::size_t count) {
  const auto sum = [&](std::size_t index) {
    return static_cast<float>(ranks) * static_cast<float>(index % 13) + static_cast<float>(ranks * (ranks - 1) / 2);
  };
  const std::size_t r = static_cast<std::size_t>(rank);
  if (op == "all_reduce") return sum(i);
  if (op == "reduce_scatter") return sum(r * count + i);
  if (op == "all_gather") return sent(i % count, static_cast<int>(i / count));
  if (op == "all_to_all") return sent(r * count + i % count, static_cast<int>(i / count));
  if (op == "broadcast") return sent(i, 0);
  return sent(i, (rank + ranks - 1) % ranks);  // send_recv
}

/// Elements of a receive buffer.
std::size_t received(const std::string& op, std::size_t count, int ranks) {
  return op == "all_gather" || op == "all_to_all" ? count * static_cast<std::size_t>(ranks) : count;
}

/// nccl-tests doc/PERFORMANCE.md: bytes that the busiest link carries, over the size.
double bus_factor(const std::string& op, int ranks) {
  const double n = ranks;
  if (op == "all_reduce") return 2 * (n - 1) / n;
  if (op == "all_gather" || op == "reduce_scatter" || op == "all_to_all") return (n - 1) / n;
  return 1;
}

void verify(NcclGroup& group, const CollectivePoint& point, std::size_t count) {
  const auto elements = static_cast<std::size_t>(point.bytes) / 4;
  group.each([&](Member& m) {
    fill_sent_kernel<<<1024, 256, 0, *m.stream>>>(m.send.at<float>(), elements, m.rank);
    fill_sent_kernel<<<1024, 256, 0, *m.stream>>>(m.receive.at<float>(), elements, m.rank);
    CHECK_LAUNCH();
  });
  group.synchronize();
  launch_collective(group, point.op, count, point.in_place);
  group.synchronize();
  const std::size_t all = received(point.op, count, group.ranks());
  const std::size_t piece = std::min<std::size_t>(all, 4096);
  group.each([&](Member& m) {
    std::vector<float> values(piece);
    for (const std::size_t first : {std::size_t{0}, all - piece}) {
      CHECK_CUDA(cudaMemcpy(values.data(), m.receive.at<float>() + first, piece * 4, cudaMemcpyDeviceToHost));
      for (std::size_t i = 0; i < piece; ++i) {
        const float right = expected(point.op, first + i, m.rank, group.ranks(), count);
        if (std::abs(values[i] - right) > 1e-6f * right)
          throw WrongResult("element " + std::to_string(first + i) + " of rank " + std::to_string(m.rank) + " is " +
                            std::to_string(values[i]) + ", not " + std::to_string(right));
      }
    }
  });
}

Outcome measure_point(const Session& session, NcclGroup& group, CollectivePoint& point) {
  const std::size_t count = collective_count(point.op, point.bytes, group.ranks());
  if (count == 0) throw Unsupported("less than one element for each rank");
  group.each([&](Member& m) {
    m.send.reserve(static_cast<std::size_t>(point.bytes));
    m.receive.reserve(static_cast<std::size_t>(point.bytes));
  });
  verify(group, point, count);

  // The same numbers on every rank: no process may measure more often than another.
  const int iterations = point.bytes <= (1 << 20) ? 100 : point.bytes <= (64 << 20) ? 20 : 5;
  constexpr int warm_ups = 2, groups = 7;
  const double hold_us = 200 + 20.0 * iterations * static_cast<double>(group.members().size());
  std::vector<double> samples;
  ReadingAverage sensors;
  const Event start, end;
  for (int i = 0; i < warm_ups + groups; ++i) {
    group.each([&](Member& m) { spin(*m.stream, hold_us); });
    start.record(*group.first().stream);
    for (int j = 0; j < iterations; ++j) launch_collective(group, point.op, count, point.in_place);
    end.record(*group.first().stream);
    const Reading reading = watch(session.sensors(), end);
    group.synchronize();
    if (i < warm_ups) continue;
    samples.push_back(microseconds_between(start, end) / iterations);
    sensors.add(reading);
  }
  const Timing timing = timing_of(std::move(samples), sensors.mean());
  point.algbw = static_cast<double>(point.bytes) / timing.median_us * 1e-3;
  point.busbw = point.algbw * bus_factor(point.op, group.ranks());
  return {timing, true};
}

enum Decision : int { skip, go, stop };

}  // namespace

void measure_collectives(Session& session, const Points& points) {
  if (points.empty()) return session.leave_out("NCCL between GPUs", "there is only one GPU");
  NcclGroup group(session.job());
  const std::string version = NcclGroup::version();
  for (const MeasuredPoint& point : points) {
    // Rank 0 has the file and hears the user; all do as it does.
    int decision = go;
    std::string why;
    if (session.job().rank == 0) {
      try {
        session.check_stop();
      } catch (const Stopped& stopped) {
        why = stopped.why;
        decision = stop;
      }
      if (decision == go && session.has(version, point)) decision = skip;
    }
    decision = group.agree(decision);
    if (decision == stop) throw Stopped{why};
    if (decision == skip) {
      session.skip_existing();
      continue;
    }
    session.begin(point);
    auto completed = std::get<CollectivePoint>(point);
    try {
      const Outcome outcome = measure_point(session, group, completed);
      session.record(version, completed, outcome);
    } catch (const Unsupported& unsupported) {
      session.leave_out(describe(point), unsupported.what());
    } catch (const WrongResult& wrong) {
      session.reject(point, wrong.what());
    }
  }
}

}  // namespace stepcast::measure

#else

namespace stepcast::measure {

void measure_collectives(Session& session, const Points&) {
  session.leave_out("NCCL", "NCCL was not found when this program was built");
}

}  // namespace stepcast::measure

#endif
