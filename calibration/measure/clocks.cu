// Clocks, power and speed under a load that lasts: products of normal numbers and of zeros, memory traffic, and both
// in turn as in training.

#include <algorithm>
#include <cmath>
#include <deque>

#include "calibration/measure/matmul.cuh"

namespace stepcast::measure {
namespace {

constexpr std::int64_t side = 8192;
constexpr std::size_t copied = std::size_t{512} << 20;  ///< bytes, read once and written once
constexpr double batch_us = 50'000;                     ///< the sensors are read about so often

/// What one iteration puts on the stream.
class Load {
 public:
  Load(const MatmulLibrary& library, const ClockPoint& point, cudaStream_t stream)
      : stream_(stream), multiplies_(point.load != "memory"), copies_(point.load != "gemm") {
    if (multiplies_) {
      matmul_ = std::make_unique<Matmul>(library, GemmPoint{side, side, side, 1, "tn", point.precision, false});
      operands_ = Buffer(matmul_->left_bytes() + matmul_->right_bytes() + matmul_->result_bytes());
      if (point.data == "zeros")
        CHECK_CUDA(cudaMemsetAsync(operands_.at(), 0, operands_.size(), stream));
      else
        fill_normal(operands_.at(), operands_.size() / bytes_of(matmul_->input()), matmul_->input(), 1, stream);
    }
    if (copies_) {
      memory_ = Buffer(2 * copied);
      fill_normal(memory_.at(), memory_.size() / 4, Element::fp32, 2, stream);
    }
  }
  void iterate() const {
    if (multiplies_)
      matmul_->run(operands_.at(), operands_.at<char>(matmul_->left_bytes()),
                   operands_.at<char>(matmul_->left_bytes() + matmul_->right_bytes()), stream_);
    if (copies_)
      CHECK_CUDA(cudaMemcpyAsync(memory_.at<char>(copied), memory_.at(), copied, cudaMemcpyDeviceToDevice, stream_));
  }
  double flops() const { return multiplies_ ? 2.0 * side * side * side : 0; }
  double bytes() const { return copies_ ? 2.0 * copied : 0; }

 private:
  cudaStream_t stream_;
  bool multiplies_, copies_;
  std::unique_ptr<Matmul> matmul_;
  Buffer operands_, memory_;
};

struct Window {
  double total_us = 0;
  int iterations = 0;
  std::vector<double> samples_us;  ///< of each batch, one iteration
  ReadingAverage sensors;
};

/// Runs without a pause: two batches are always queued. One window a second.
template <class Done>
void run_for(const Session& session, const Load& load, cudaStream_t stream, int seconds, const Done& window_done) {
  const Event before, after;
  load.iterate();
  before.record(stream);
  for (int i = 0; i < 5; ++i) load.iterate();
  after.record(stream);
  after.wait();
  const int batch = std::max(1, static_cast<int>(batch_us * 5 / microseconds_between(before, after)));

  std::deque<Event> ends;
  ends.emplace_back().record(stream);
  const auto enqueue = [&] {
    for (int i = 0; i < batch; ++i) load.iterate();
    ends.emplace_back().record(stream);
  };
  enqueue();
  enqueue();
  Window window;
  for (int second = 1; second <= seconds;) {
    ends[1].wait();
    enqueue();
    window.sensors.add(session.sensors().read());
    const double us = microseconds_between(ends[0], ends[1]);
    ends.pop_front();
    window.total_us += us;
    window.iterations += batch;
    window.samples_us.push_back(us / batch);
    if (window.total_us < 1e6) continue;
    window_done(second++, window);
    window = Window();
    session.check_stop();
  }
  CHECK_CUDA(cudaStreamSynchronize(stream));
}

/// The points of one load: they differ in the second only.
bool same_load(const ClockPoint& a, const ClockPoint& b) {
  return a.load == b.load && a.data == b.data && a.precision == b.precision;
}

}  // namespace

void measure_clocks(Session& session, const Points& points) {
  const Stream stream;
  const MatmulLibrary library;
  const std::string version = MatmulLibrary::version();
  for (auto first = points.begin(); first != points.end();) {
    const auto& load_point = std::get<ClockPoint>(*first);
    const auto last = std::find_if(first, points.end(), [&](const MeasuredPoint& point) {
      return !same_load(std::get<ClockPoint>(point), load_point);
    });
    const Points windows(first, last);
    first = last;
    if (std::all_of(windows.begin(), windows.end(), [&](const auto& point) { return session.has(version, point); })) {
      for (std::size_t i = 0; i < windows.size(); ++i) session.skip_existing();
      continue;
    }
    session.check_stop();
    session.begin(load_point);
    try {
      if (load_point.precision == "fp8" && session.device().compute_capability < 89)
        throw Unsupported("fp8 needs compute capability 8.9");
      const Load load(library, load_point, stream);
      run_for(session, load, stream, static_cast<int>(windows.size()), [&](int second, const Window& window) {
        auto point = std::get<ClockPoint>(windows[static_cast<std::size_t>(second) - 1]);
        point.tflops = load.flops() * window.iterations / window.total_us * 1e-6;
        point.gbps = load.bytes() * window.iterations / window.total_us * 1e-3;
        Timing timing = timing_of(window.samples_us, window.sensors.mean());
        timing.repeats = window.iterations;
        if (!session.has(version, point)) session.record(version, point, {timing, {}});
      });
    } catch (const Unsupported& unsupported) {
      session.leave_out(describe(load_point), unsupported.what());
    }
  }
}

}  // namespace stepcast::measure
