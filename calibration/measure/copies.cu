// Copies by cudaMemcpyAsync: between pinned host memory and the GPU, within the GPU, and to the next GPU.

#include <algorithm>
#include <cstring>

#include "calibration/measure/harness.cuh"

namespace stepcast::measure {
namespace {

class PinnedBuffer {
 public:
  explicit PinnedBuffer(std::size_t bytes) { CHECK_CUDA(cudaMallocHost(&data_, bytes)); }
  ~PinnedBuffer() { (void)cudaFreeHost(data_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  char* data() const { return static_cast<char*>(data_); }

 private:
  void* data_ = nullptr;
};

/// Makes another device current for a while.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    CHECK_CUDA(cudaGetDevice(&before_));
    CHECK_CUDA(cudaSetDevice(device));
  }
  ~OnDevice() { (void)cudaSetDevice(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
};

constexpr int peer = 1;  ///< the benchmarks run on device 0

void enable_peer_access() {
  int possible = 0;
  CHECK_CUDA(cudaDeviceCanAccessPeer(&possible, 0, peer));
  if (!possible) throw Unsupported("GPUs 0 and 1 cannot reach each other's memory");
  const cudaError_t status = cudaDeviceEnablePeerAccess(peer, 0);
  if (status == cudaErrorPeerAccessAlreadyEnabled)
    (void)cudaGetLastError();
  else
    CHECK_CUDA(status);
}

/// Whether both hold the same, wherever they are.
void expect_equal(const void* a, const void* b, std::size_t bytes) {
  std::vector<char> left(bytes), right(bytes);
  CHECK_CUDA(cudaMemcpy(left.data(), a, bytes, cudaMemcpyDefault));
  CHECK_CUDA(cudaMemcpy(right.data(), b, bytes, cudaMemcpyDefault));
  if (left != right) throw WrongResult("the copy differs from the original");
}

/// Two places in the memory of the host, this GPU or the next.
Outcome measure_point(const Session& session, const Stream& stream, const CopyPoint& point) {
  const auto bytes = static_cast<std::size_t>(point.bytes);
  const bool touches_host = point.from == "host" || point.to == "host";
  const std::size_t padded = aligned(bytes);
  const int sets = rotations(touches_host ? padded : 2 * padded, session.device());

  const Buffer here(padded * sets);
  fill_normal(here.at(), here.size() / 4, Element::fp32, 1, stream);
  stream.synchronize();
  Buffer there;
  std::unique_ptr<PinnedBuffer> host;
  if (touches_host) {
    host = std::make_unique<PinnedBuffer>(padded);
    for (std::size_t i = 0; i < padded; ++i) host->data()[i] = static_cast<char>(i * 31 + (i >> 12));
  } else if (point.to == "peer") {
    enable_peer_access();
    const OnDevice on_peer(peer);
    there = Buffer(padded * sets);
  } else {
    there = Buffer(padded * sets);
  }

  const auto source = [&](int set) -> const void* {
    return point.from == "host" ? host->data() : here.at<char>(padded * set);
  };
  const auto target = [&](int set) -> void* {
    return point.to == "host" ? host->data()
           : touches_host     ? here.at<char>(padded * set)
                              : there.at<char>(padded * set);
  };
  const auto launch = [&](int i) {
    CHECK_CUDA(cudaMemcpyAsync(target(i % sets), source(i % sets), bytes, cudaMemcpyDefault, stream));
  };
  launch(0);
  stream.synchronize();
  expect_equal(target(0), source(0), std::min<std::size_t>(bytes, std::size_t{16} << 20));
  const Outcome outcome{time_executions(session, stream, launch), true};
  if (point.to == "peer") {
    const OnDevice on_peer(peer);
    there = Buffer();
  }
  return outcome;
}

}  // namespace

void measure_copies(Session& session, const Points& points) {
  const Stream stream;
  for (const MeasuredPoint& point : points)
    session.measure("", point,
                    [&](MeasuredPoint& p) { return measure_point(session, stream, std::get<CopyPoint>(p)); });
}

}  // namespace stepcast::measure
