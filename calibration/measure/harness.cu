#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "calibration/measure/harness.cuh"

namespace stepcast::measure {

void check_cuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const std::string message = std::string(call) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // it is not sticky
    throw Unsupported("not enough GPU memory");
  }
  throw DeviceFailure(message);
}

// --- memory, streams, events -------------------------------------------------------------------------------------

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  CHECK_CUDA(cudaMalloc(&data, std::max<std::size_t>(bytes, 256)));
  data_ = static_cast<char*>(data);
}

void Buffer::release() {
  if (data_) (void)cudaFree(data_);
  data_ = nullptr;
  bytes_ = 0;
}

void Buffer::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  release();
  *this = Buffer(bytes);
}

Stream::Stream() { CHECK_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
Stream::~Stream() { (void)cudaStreamDestroy(stream_); }
void Stream::synchronize() const { CHECK_CUDA(cudaStreamSynchronize(stream_)); }

Event::Event() { CHECK_CUDA(cudaEventCreate(&event_)); }
Event::~Event() {
  if (event_) (void)cudaEventDestroy(event_);
}
void Event::record(cudaStream_t stream) const { CHECK_CUDA(cudaEventRecord(event_, stream)); }
bool Event::reached() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return false;
  }
  CHECK_CUDA(status);
  return true;
}
void Event::wait() const { CHECK_CUDA(cudaEventSynchronize(event_)); }

double microseconds_between(const Event& start, const Event& end) {
  float milliseconds = 0;
  CHECK_CUDA(cudaEventElapsedTime(&milliseconds, start.get(), end.get()));
  return 1000.0 * milliseconds;
}

// --- data --------------------------------------------------------------------------------------------------------

std::size_t bytes_of(Element element) {
  switch (element) {
    case Element::fp32: return 4;
    case Element::fp16:
    case Element::bf16: return 2;
    case Element::fp8_e4m3: return 1;
  }
  return 0;
}

Element element_of(const std::string& precision) {
  if (precision == "fp16") return Element::fp16;
  if (precision == "bf16") return Element::bf16;
  if (precision == "fp8") return Element::fp8_e4m3;
  return Element::fp32;
}

namespace {

/// SplitMix64: every index its own random bits.
__device__ std::uint64_t random_bits(std::uint64_t index, std::uint64_t seed) {
  std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

template <class T>
__global__ void fill_normal_kernel(T* data, std::size_t count, std::uint64_t seed) {
  const std::size_t stride = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t pair = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; 2 * pair < count; pair += stride) {
    // Box-Muller: two uniform numbers make two normal ones.
    const std::uint64_t bits = random_bits(pair, seed);
    const float u = (static_cast<float>(bits >> 40) + 0.5f) * 0x1p-24f;
    const float angle = static_cast<float>(bits & 0xFFFFFF) * (0x1p-24f * 6.2831853f);
    const float radius = sqrtf(-2 * logf(u));
    data[2 * pair] = static_cast<T>(radius * cosf(angle));
    if (2 * pair + 1 < count) data[2 * pair + 1] = static_cast<T>(radius * sinf(angle));
  }
}

template <class T>
void launch_fill(void* data, std::size_t count, std::uint64_t seed, cudaStream_t stream) {
  if (count == 0) return;
  const std::size_t blocks = std::min<std::size_t>((count + 511) / 512, 8192);
  fill_normal_kernel<<<static_cast<unsigned>(blocks), 256, 0, stream>>>(static_cast<T*>(data), count, seed);
  CHECK_LAUNCH();
}

__device__ std::uint64_t nanoseconds() {
  std::uint64_t time;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
  return time;
}

__global__ void spin_kernel(std::uint64_t duration_ns) {
  const std::uint64_t start = nanoseconds();
  while (nanoseconds() - start < duration_ns) {
  }
}

}  // namespace

void fill_normal(void* data, std::size_t count, Element element, std::uint64_t seed, cudaStream_t stream) {
  switch (element) {
    case Element::fp32: return launch_fill<float>(data, count, seed, stream);
    case Element::fp16: return launch_fill<__half>(data, count, seed, stream);
    case Element::bf16: return launch_fill<__nv_bfloat16>(data, count, seed, stream);
    case Element::fp8_e4m3: return launch_fill<__nv_fp8_e4m3>(data, count, seed, stream);
  }
}

void spin(cudaStream_t stream, double microseconds) {
  spin_kernel<<<1, 1, 0, stream>>>(static_cast<std::uint64_t>(microseconds * 1000));
  CHECK_LAUNCH();
}

int rotations(std::size_t bytes_of_a_set, const Device& device) {
  const std::size_t bytes = std::max<std::size_t>(bytes_of_a_set, 1);
  if (bytes >= 16 * device.l2_bytes) return 1;
  return static_cast<int>(std::clamp<std::size_t>((3 * device.l2_bytes + bytes - 1) / bytes, 2, 4096));
}

// --- time --------------------------------------------------------------------------------------------------------

Timing timing_of(std::vector<double> samples_us, const Reading& sensors) {
  std::sort(samples_us.begin(), samples_us.end());
  const std::size_t n = samples_us.size();
  Timing timing;
  timing.repeats = static_cast<int>(n);
  timing.median_us = n % 2 == 1 ? samples_us[n / 2] : (samples_us[n / 2 - 1] + samples_us[n / 2]) / 2;
  timing.min_us = samples_us.front();
  timing.p90_us = std::max(timing.median_us, samples_us[(9 * n + 9) / 10 - 1]);
  timing.sensors = sensors;
  return timing;
}

Reading watch(const Sensors& sensors, const Event& end) {
  ReadingAverage average;
  do {
    average.add(sensors.read());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  } while (!end.reached());
  return average.mean();
}

namespace {

struct Pace {
  double gpu_us;   ///< one execution
  double host_us;  ///< putting one on the stream
};

/// More and more executions until they last a few milliseconds.
Pace first_impression(cudaStream_t stream, const Launch& launch) {
  launch(0);  // loads the kernel
  CHECK_CUDA(cudaStreamSynchronize(stream));
  const Event start, end;
  for (int n = 2;; n *= 2) {
    const auto before = std::chrono::steady_clock::now();
    start.record(stream);
    for (int i = 0; i < n; ++i) launch(i);
    end.record(stream);
    const std::chrono::duration<double, std::micro> host = std::chrono::steady_clock::now() - before;
    end.wait();
    const double gpu = microseconds_between(start, end);
    if (gpu >= 2000 || n >= 512) return {gpu / n, host.count() / n};
  }
}

Timing time_one_by_one(const Session& session, cudaStream_t stream, const Launch& launch, int samples) {
  std::vector<Event> events(static_cast<std::size_t>(samples) + 1);
  events[0].record(stream);
  for (int i = 0; i < samples; ++i) {
    launch(i);
    events[static_cast<std::size_t>(i) + 1].record(stream);
  }
  const Reading sensors = watch(session.sensors(), events.back());
  std::vector<double> times;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) times.push_back(microseconds_between(events[i], events[i + 1]));
  return timing_of(std::move(times), sensors);
}

Timing time_in_groups(const Session& session, cudaStream_t stream, const Launch& launch, Pace pace, int group,
                      int samples) {
  std::vector<Event> starts(static_cast<std::size_t>(samples)), ends(static_cast<std::size_t>(samples));
  std::vector<double> times;
  ReadingAverage sensors;
  double hold_us = 1.5 * pace.host_us * group + 30;
  int i = 0;
  for (std::size_t sample = 0; sample < starts.size(); ++sample) {
    spin(stream, hold_us);
    starts[sample].record(stream);
    for (int j = 0; j < group; ++j) launch(i++);
    ends[sample].record(stream);
    const bool host_was_ahead = !starts[sample].reached();
    ends[sample].wait();
    if (host_was_ahead)
      times.push_back(microseconds_between(starts[sample], ends[sample]) / group);
    else
      hold_us = std::min(2 * hold_us, 20'000.0);
    if (sample % 8 == 7) sensors.add(session.sensors().read());
  }
  if (times.size() < 3) throw Unsupported("the host is too slow to keep the GPU busy");
  return timing_of(std::move(times), sensors.mean());
}

}  // namespace

Timing time_executions(const Session& session, cudaStream_t stream, const Launch& launch, const Effort& effort) {
  const Pace pace = first_impression(stream, launch);
  const double us = std::max(pace.gpu_us, 0.5);
  for (int i = 0; i < 1000.0 * effort.warm_up_ms / us && i < 2000; ++i) launch(i);
  if (us >= 100) {
    const int samples = static_cast<int>(std::clamp(1000.0 * effort.busy_ms / us, 5.0, 1.0 * effort.most_samples));
    return time_one_by_one(session, stream, launch, samples);
  }
  const int group = static_cast<int>(std::clamp(std::ceil(300.0 / us), 3.0, 200.0));
  const int samples =
      static_cast<int>(std::clamp(1000.0 * effort.busy_ms / (us * group), 16.0, 1.0 * effort.most_samples));
  return time_in_groups(session, stream, launch, pace, group, samples);
}

}  // namespace stepcast::measure
