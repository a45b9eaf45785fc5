// What a kernel launch costs: the host, empty kernels in a row, and the pause between two kernels where one waits for
// the other. On a stream, and as nodes of a CUDA graph.

#include <chrono>

#include "calibration/measure/harness.cuh"

namespace stepcast::measure {
namespace {

constexpr int kernels = 100;  ///< in a graph, and in a burst on a stream: no queue is that short
constexpr std::int64_t spin_cycles = 20'000;

__global__ void empty_kernel() {}

/// All SMs are busy for so long.
__global__ void busy_kernel(std::int64_t cycles) {
  const std::int64_t start = clock64();
  while (clock64() - start < cycles) {
  }
}

class Graph {
 public:
  /// @param body puts work on the stream
  template <class Body>
  Graph(cudaStream_t stream, const Body& body) {
    cudaGraph_t graph = nullptr;
    CHECK_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    body();
    CHECK_CUDA(cudaStreamEndCapture(stream, &graph));
    const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    (void)cudaGraphDestroy(graph);
    CHECK_CUDA(status);
  }
  ~Graph() { (void)cudaGraphExecDestroy(executable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(cudaStream_t stream) const { CHECK_CUDA(cudaGraphLaunch(executable_, stream)); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

/// Host time of `launch`, which launches a hundred kernels, for one of them.
template <class LaunchAll>
Timing host_time(const Session& session, cudaStream_t stream, const LaunchAll& launch_all) {
  std::vector<double> samples;
  for (int i = 0; i < 60; ++i) {
    const auto before = std::chrono::steady_clock::now();
    launch_all();
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - before;
    CHECK_CUDA(cudaStreamSynchronize(stream));
    if (i >= 10) samples.push_back(elapsed.count() / kernels);
  }
  return timing_of(std::move(samples), session.sensors().read());
}

/// A chain of busy kernels takes longer than one that is busy for as long as all of them.
template <class LaunchChain>
Timing gap_time(const Session& session, cudaStream_t stream, const LaunchChain& launch_chain) {
  const auto blocks = static_cast<unsigned>(session.device().sms);
  std::vector<double> samples;
  const Event start, middle, end;
  for (int i = 0; i < 40; ++i) {
    spin(stream, 3000);  // meanwhile the host gets ahead
    start.record(stream);
    launch_chain();
    middle.record(stream);
    busy_kernel<<<blocks, 128, 0, stream>>>(spin_cycles * kernels);
    CHECK_LAUNCH();
    end.record(stream);
    end.wait();
    const double gap = (microseconds_between(start, middle) - microseconds_between(middle, end)) / (kernels - 1);
    if (i >= 10 && gap > 0) samples.push_back(gap);
  }
  if (samples.size() < 10) throw Unsupported("the clock is too unsteady for the pause between kernels");
  return timing_of(std::move(samples), session.sensors().read());
}

Outcome measure_point(const Session& session, const Stream& stream, const LaunchPoint& point) {
  const auto blocks = static_cast<unsigned>(session.device().sms);
  const auto empty_kernels = [&] {
    for (int i = 0; i < kernels; ++i) {
      empty_kernel<<<blocks, 128, 0, stream>>>();
      CHECK_LAUNCH();
    }
  };
  const auto busy_kernels = [&] {
    for (int i = 0; i < kernels; ++i) {
      busy_kernel<<<blocks, 128, 0, stream>>>(spin_cycles);
      CHECK_LAUNCH();
    }
  };
  if (point.mode == "stream") {
    if (point.quantity == "call") return {host_time(session, stream, empty_kernels), {}};
    if (point.quantity == "gap") return {gap_time(session, stream, busy_kernels), {}};
    const auto one_kernel = [&](int) {
      empty_kernel<<<blocks, 128, 0, stream>>>();
      CHECK_LAUNCH();
    };
    return {time_executions(session, stream, one_kernel), {}};
  }
  if (point.quantity == "gap") {
    const Graph graph(stream, busy_kernels);
    return {gap_time(session, stream, [&] { graph.launch(stream); }), {}};
  }
  const Graph graph(stream, empty_kernels);
  if (point.quantity == "call") return {host_time(session, stream, [&] { graph.launch(stream); }), {}};
  Timing timing = time_executions(session, stream, [&](int) { graph.launch(stream); });
  for (double* time : {&timing.median_us, &timing.min_us, &timing.p90_us}) *time /= kernels;
  return {timing, {}};
}

}  // namespace

void measure_launch(Session& session, const Points& points) {
  const Stream stream;
  for (const MeasuredPoint& point : points)
    session.measure("", point,
                    [&](MeasuredPoint& p) { return measure_point(session, stream, std::get<LaunchPoint>(p)); });
}

}  // namespace stepcast::measure
