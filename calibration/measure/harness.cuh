#pragma once
/// What every benchmark needs: memory, streams and events that clean up after themselves, data, and a stopwatch.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include "calibration/measure/session.hpp"

namespace stepcast::measure {

/// @throws Unsupported when memory does not suffice, else DeviceFailure
void check_cuda(cudaError_t status, const char* call);
#define CHECK_CUDA(call) ::stepcast::measure::check_cuda((call), #call)
/// After a <<<launch>>>.
#define CHECK_LAUNCH() ::stepcast::measure::check_cuda(cudaGetLastError(), "kernel launch")

/// Memory of the current device, 256-byte aligned.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);
  ~Buffer() { release(); }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  /// Grows to at least so many bytes; what was there is lost.
  void reserve(std::size_t bytes);
  std::size_t size() const { return bytes_; }
  template <class T = void>
  T* at(std::size_t offset_bytes = 0) const {
    return reinterpret_cast<T*>(data_ + offset_bytes);
  }

 private:
  void release();
  char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  void record(cudaStream_t stream) const;
  bool reached() const;
  void wait() const;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};
double microseconds_between(const Event& start, const Event& end);

enum class Element { fp32, fp16, bf16, fp8_e4m3 };
std::size_t bytes_of(Element element);
/// Operands of that precision; tf32 is stored as fp32.
Element element_of(const std::string& precision);

/// Standard normal numbers, other ones for another seed.
void fill_normal(void* data, std::size_t count, Element element, std::uint64_t seed, cudaStream_t stream);

/// How many sets of buffers to go round, so that none is still in the L2 when its turn comes.
int rotations(std::size_t bytes_of_a_set, const Device& device);
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

struct Effort {
  double warm_up_ms = 20;
  double busy_ms = 60;  ///< time of the executions that count, together
  int most_samples = 200;
};

/// Times launch(0), launch(1), ... which put the i-th execution on the stream.
///
/// Warmed up; the host runs ahead, so that what is timed is the GPU's own pace: the time from the start of one
/// execution to the start of the next in a busy queue (kind launch, quantity gap has the idle time between two).
/// Long ones are timed one by one, short ones in groups behind a kernel that holds the queue while it is filled.
using Launch = std::function<void(int i)>;
Timing time_executions(const Session& session, cudaStream_t stream, const Launch& launch, const Effort& effort = {});

/// Occupies one thread for so long.
void spin(cudaStream_t stream, double microseconds);

Timing timing_of(std::vector<double> samples_us, const Reading& sensors);

/// Waits for the event, reading the sensors meanwhile.
Reading watch(const Sensors& sensors, const Event& end);

}  // namespace stepcast::measure
