// A product while something else runs on the same GPU, and what that costs both: a kernel that moves HBM traffic on a
// few SMs, as a collective's kernels do, and NCCL itself where there are two GPUs.

#include <algorithm>
#include <chrono>
#include <thread>

#include "calibration/measure/matmul.cuh"
#include "calibration/measure/nccl.cuh"

namespace stepcast::measure {
namespace {

constexpr double overlap_us = 60'000;  ///< the two run side by side for about so long

/// Operands of the product; one set is far larger than the L2.
class Product {
 public:
  Product(const MatmulLibrary& library, const OverlapPoint& point, cudaStream_t stream)
      : matmul_(library, {point.m, point.n, point.k, 1, "tn", point.precision, false}), stream_(stream) {
    operands_ = Buffer(aligned(matmul_.left_bytes()) + aligned(matmul_.right_bytes()) + matmul_.result_bytes());
    fill_normal(operands_.at(), operands_.size() / bytes_of(matmul_.input()), matmul_.input(), 1, stream);
  }
  void run() const {
    matmul_.run(operands_.at(), operands_.at<char>(aligned(matmul_.left_bytes())),
                operands_.at<char>(aligned(matmul_.left_bytes()) + aligned(matmul_.right_bytes())), stream_);
  }

 private:
  Matmul matmul_;
  cudaStream_t stream_;
  Buffer operands_;
};

// --- HBM traffic on a few SMs ------------------------------------------------------------------------------------

constexpr int traffic_threads = 1024;
constexpr int in_flight = 8;  ///< 16-byte words a thread
constexpr int most_blocks = 64;

/// In device memory: how the product's stream directs the traffic kernel.
struct Control {
  int go, stop;
  unsigned long long pieces;  ///< of 1024 threads x 8 words that all blocks have moved
};

__device__ std::uint64_t nanoseconds() {
  std::uint64_t time;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
  return time;
}

/// A block occupies an SM: it takes all the shared memory. From `go` to `stop` (or for `limit_ns`) it moves data.
__global__ void __launch_bounds__(traffic_threads)
    traffic_kernel(const uint4* from, uint4* to, long long words, bool writes, Control* control, int* ready,
                   std::uint64_t limit_ns) {
  const std::uint64_t start = nanoseconds();
  volatile Control* const directions = control;
  if (threadIdx.x == 0) {
    reinterpret_cast<volatile int*>(ready)[blockIdx.x] = 1;
    __threadfence_system();
    while (directions->go == 0 && nanoseconds() - start < limit_ns) {
    }
  }
  __syncthreads();
  constexpr long long piece = static_cast<long long>(traffic_threads) * in_flight;
  const long long pieces = words / piece;
  unsigned long long moved = 0;
  unsigned sum = 0;
  for (long long at = blockIdx.x;; at += gridDim.x) {
    const bool ends = threadIdx.x == 0 && (directions->stop != 0 || nanoseconds() - start >= limit_ns);
    if (__syncthreads_or(ends ? 1 : 0)) break;
    const long long first = at % pieces * piece + threadIdx.x;
    uint4 values[in_flight];
#pragma unroll
    for (int i = 0; i < in_flight; ++i) values[i] = from[first + i * traffic_threads];
#pragma unroll
    for (int i = 0; i < in_flight; ++i)
      if (writes)
        to[first + i * traffic_threads] = values[i];
      else
        sum ^= values[i].x ^ values[i].y ^ values[i].z ^ values[i].w;
    ++moved;
  }
  if (sum == 0x9E3779B9u) to[threadIdx.x].x = sum;  // keeps the loads
  if (threadIdx.x == 0) atomicAdd(&control->pieces, moved);
}

/// Flags in host memory that the GPU writes.
class ReadyFlags {
 public:
  ReadyFlags() {
    CHECK_CUDA(cudaHostAlloc(&flags_, most_blocks * sizeof(int), cudaHostAllocMapped));
    std::fill_n(flags_, most_blocks, 0);
  }
  ~ReadyFlags() { (void)cudaFreeHost(flags_); }
  ReadyFlags(const ReadyFlags&) = delete;
  ReadyFlags& operator=(const ReadyFlags&) = delete;
  int* on_device() const {
    int* address = nullptr;
    CHECK_CUDA(cudaHostGetDevicePointer(&address, flags_, 0));
    return address;
  }
  bool all(int count) const {
    const volatile int* flags = flags_;
    for (int i = 0; i < count; ++i)
      if (flags[i] == 0) return false;
    return true;
  }

 private:
  int* flags_ = nullptr;
};

class Traffic {
 public:
  explicit Traffic(const OverlapPoint& point) : point_(point) {
    memory_ = Buffer(2 * static_cast<std::size_t>(point.other_bytes));
    control_ = Buffer(sizeof(Control));
    fill_normal(memory_.at(), memory_.size() / 4, Element::fp32, 3, stream_);
    int device = 0;
    CHECK_CUDA(cudaGetDevice(&device));
    CHECK_CUDA(cudaDeviceGetAttribute(&shared_memory_, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    shared_memory_ -= 2048;  // what the kernel itself may take
    CHECK_CUDA(cudaFuncSetAttribute(traffic_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_memory_));
    stream_.synchronize();
  }

  /// Moves data while `foreground` works on the other stream; the time of `other_bytes` of it.
  template <class Foreground>
  double time_beside(cudaStream_t other, const Foreground& foreground) {
    const int blocks = static_cast<int>(point_.other_sms);
    const ReadyFlags ready;
    CHECK_CUDA(cudaMemsetAsync(control_.at(), 0, sizeof(Control), stream_));
    const long long words = point_.other_bytes / 16;
    constexpr std::uint64_t limit_ns = 5'000'000'000;
    traffic_kernel<<<static_cast<unsigned>(blocks), traffic_threads, static_cast<std::size_t>(shared_memory_),
                     stream_>>>(memory_.at<uint4>(), memory_.at<uint4>(static_cast<std::size_t>(point_.other_bytes)),
                                words, writes(), control_.at<Control>(), ready.on_device(), limit_ns);
    CHECK_LAUNCH();
    const auto begin = std::chrono::steady_clock::now();
    while (!ready.all(blocks)) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(2))
        throw Unsupported("the traffic kernel did not get its SMs");
    }
    const Event start, end;
    start.record(other);
    CHECK_CUDA(cudaMemsetAsync(&control_.at<Control>()->go, 1, sizeof(int), other));
    foreground();
    CHECK_CUDA(cudaMemsetAsync(&control_.at<Control>()->stop, 1, sizeof(int), other));
    end.record(other);
    end.wait();
    stream_.synchronize();
    Control done{};
    CHECK_CUDA(cudaMemcpy(&done, control_.at(), sizeof done, cudaMemcpyDeviceToHost));
    const double bytes = 16.0 * traffic_threads * in_flight * static_cast<double>(done.pieces) * (writes() ? 2 : 1);
    if (bytes == 0) throw Unsupported("the traffic kernel moved nothing");
    return microseconds_between(start, end) * static_cast<double>(point_.other_bytes) / bytes;
  }

 private:
  bool writes() const { return point_.other == "copy"; }

  OverlapPoint point_;
  Stream stream_;
  Buffer memory_, control_;
  int shared_memory_ = 0;
};

Outcome measure_with_traffic(const Session& session, const MatmulLibrary& library, OverlapPoint& point) {
  if (point.other_sms > most_blocks) throw Unsupported("more than 64 SMs of traffic");
  const Stream stream;
  const Product product(library, point, stream);
  const Timing alone = time_executions(session, stream, [&](int) { product.run(); });
  Traffic traffic(point);
  (void)traffic.time_beside(stream, [&] { spin(stream, 2000); });  // warms it up
  point.alone_us = alone.median_us;
  point.other_alone_us = traffic.time_beside(stream, [&] { spin(stream, overlap_us / 2); });

  const int runs = std::max(5, static_cast<int>(overlap_us / alone.median_us));
  std::vector<Event> events(static_cast<std::size_t>(runs) + 1);
  point.other_us = traffic.time_beside(stream, [&] {
    events[0].record(stream);
    for (std::size_t i = 1; i < events.size(); ++i) {
      product.run();
      events[i].record(stream);
    }
  });
  std::vector<double> samples;
  for (std::size_t i = 2; i < events.size(); ++i) samples.push_back(microseconds_between(events[i - 1], events[i]));
  return {timing_of(std::move(samples), session.sensors().read()), {}};
}

// --- NCCL --------------------------------------------------------------------------------------------------------

#if STEPCAST_NCCL_FOUND

/// Median of the executions that lie between two times; event i to i + 1 is one.
Timing timing_within(const Session& session, const Event& zero, const std::vector<Event>& events, double from,
                     double to) {
  std::vector<double> samples;
  for (std::size_t i = 1; i < events.size(); ++i) {
    const double begin = microseconds_between(zero, events[i - 1]), end = microseconds_between(zero, events[i]);
    if (begin >= from && end <= to) samples.push_back(end - begin);
  }
  if (samples.size() < 3) throw Unsupported("the two did not run side by side for long enough");
  return timing_of(std::move(samples), session.sensors().read());
}

Outcome measure_with_nccl(const Session& session, NcclGroup& group, OverlapPoint& point) {
  struct Compute {
    std::unique_ptr<Stream> stream;
    std::unique_ptr<MatmulLibrary> library;
    std::unique_ptr<Product> product;
  };
  std::vector<Compute> computes;
  group.each([&](Member& m) {
    m.send.reserve(static_cast<std::size_t>(point.other_bytes));
    m.receive.reserve(static_cast<std::size_t>(point.other_bytes));
    CHECK_CUDA(cudaMemsetAsync(m.send.at(), 0, m.send.size(), *m.stream));
    Compute& c = computes.emplace_back();
    c.stream = std::make_unique<Stream>();
    c.library = std::make_unique<MatmulLibrary>();
    c.product = std::make_unique<Product>(*c.library, point, *c.stream);
    c.product->run();
    c.stream->synchronize();
  });
  const std::size_t count = collective_count(point.other, point.other_bytes, group.ranks());
  const cudaStream_t comm = *group.first().stream, compute = *computes[0].stream;

  const auto run_both = [&](int products, int collectives, Timing* product_time, Timing* collective_time) {
    std::vector<Event> product_ends(static_cast<std::size_t>(products) + 1);
    std::vector<Event> collective_ends(static_cast<std::size_t>(collectives) + 1);
    const Event zero;
    zero.record(compute);
    group.each([&](Member& m) {
      spin(*m.stream, 10'000);
      spin(*computes[static_cast<std::size_t>(m.device)].stream, 10'000);
    });
    product_ends[0].record(compute);
    collective_ends[0].record(comm);
    for (int i = 0; i < std::max(products, collectives); ++i) {
      if (i < collectives) {
        launch_collective(group, point.other, count, false);
        collective_ends[static_cast<std::size_t>(i) + 1].record(comm);
      }
      if (i < products) {
        group.each([&](Member& m) { computes[static_cast<std::size_t>(m.device)].product->run(); });
        product_ends[static_cast<std::size_t>(i) + 1].record(compute);
      }
    }
    group.synchronize();
    for (const Compute& c : computes) c.stream->synchronize();
    const auto first = [&](const std::vector<Event>& ends) { return microseconds_between(zero, ends.front()); };
    const auto last = [&](const std::vector<Event>& ends) { return microseconds_between(zero, ends.back()); };
    const double from = products && collectives ? std::max(first(product_ends), first(collective_ends)) : 0;
    const double to = products && collectives ? std::min(last(product_ends), last(collective_ends)) : 1e12;
    if (product_time) *product_time = timing_within(session, zero, product_ends, from, to);
    if (collective_time) *collective_time = timing_within(session, zero, collective_ends, from, to);
  };

  Timing product_alone, collective_alone, product_beside, collective_beside;
  run_both(20, 0, &product_alone, nullptr);
  run_both(0, 20, nullptr, &collective_alone);
  point.alone_us = product_alone.median_us;
  point.other_alone_us = collective_alone.median_us;
  const auto runs = [](double us) { return std::clamp(static_cast<int>(overlap_us / us), 8, 400); };
  run_both(runs(point.alone_us), runs(point.other_alone_us), &product_beside, &collective_beside);
  point.other_us = collective_beside.median_us;
  group.each([&](Member& m) { computes[static_cast<std::size_t>(m.device)] = Compute(); });
  return {product_beside, {}};
}

#endif

bool is_traffic(const OverlapPoint& point) { return point.other == "copy" || point.other == "read"; }

}  // namespace

void measure_overlap(Session& session, const Points& points) {
  const std::string version = MatmulLibrary::version();
  const MatmulLibrary library;
#if STEPCAST_NCCL_FOUND
  std::unique_ptr<NcclGroup> group;
#endif
  bool needs_nccl = true;
  for (const MeasuredPoint& point : points) {
    if (is_traffic(std::get<OverlapPoint>(point))) {
      session.measure(version, point, [&](MeasuredPoint& p) {
        return measure_with_traffic(session, library, std::get<OverlapPoint>(p));
      });
      continue;
    }
    needs_nccl = false;
#if STEPCAST_NCCL_FOUND
    session.measure(version + " and " + NcclGroup::version(), point, [&](MeasuredPoint& p) {
      if (!group) group = std::make_unique<NcclGroup>(session.job());
      return measure_with_nccl(session, *group, std::get<OverlapPoint>(p));
    });
#else
    session.leave_out(describe(point), "NCCL was not found when this program was built");
#endif
  }
  if (needs_nccl) session.leave_out("GEMM beside NCCL", "there is only one GPU");
}

}  // namespace stepcast::measure
