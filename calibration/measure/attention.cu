// Fused attention, forward and backward, by cuDNN where it was found at build time.

#include "calibration/measure/harness.cuh"

#if STEPCAST_CUDNN_FOUND

#include <cmath>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "calibration/measure/sdpa.hpp"

namespace stepcast::measure {
namespace {

// --- the reference -----------------------------------------------------------------------------------------------
// Glossary: h query heads, g key and value heads, s query_length, t key_length, d head_dim. Row i of the scores.

constexpr int reference_threads = 256;
constexpr int largest_head_dim = 256;

struct Problem {
  int h, g, s, t, d;
  bool causal, bf16;
  float scale;
  const void *q, *k, *v, *o, *grad_o, *grad_q, *grad_k, *grad_v;
  const float* log_sum_exp;

  __device__ float load(const void* data, long long index) const {
    return bf16 ? __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index])
                : __half2float(static_cast<const __half*>(data)[index]);
  }
  /// Of a [batch, length, heads, d] tensor.
  __device__ long long place(int batch, int position, int head, int length, int heads) const {
    return ((static_cast<long long>(batch) * length + position) * heads + head) * d;
  }
  __device__ float dot(const void* x, long long x_place, const void* y, long long y_place) const {
    float sum = 0;
    for (int i = 0; i < d; ++i) sum += load(x, x_place + i) * load(y, y_place + i);
    return sum;
  }
  __device__ int group() const { return h / g; }
};

/// One row of a result: which, how far cuDNN's is from ours, and how large it is.
struct Row {
  int batch, head, position;
  float largest_error, largest_value;
};

/// The sum over the block, for all its threads.
__device__ float block_sum(float value) {
  __shared__ float parts[reference_threads];
  __syncthreads();
  parts[threadIdx.x] = value;
  __syncthreads();
  for (int half = reference_threads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    __syncthreads();
  }
  return parts[0];
}

/// Compares `computed` (shared memory, d numbers) with a row of a result.
__device__ void compare(const Problem& p, const float* computed, const void* result, long long place, Row& row) {
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 0; i < p.d; ++i) {
    const float found = p.load(result, place + i);
    const float error = fabsf(found - computed[i]);
    row.largest_value = fmaxf(row.largest_value, fabsf(computed[i]));
    row.largest_error = error <= row.largest_error ? row.largest_error : error;  // NaN counts
  }
}

/// Row i of O and dQ. A block does one.
__global__ void check_query_rows(Problem p, bool backward, Row* rows) {
  Row& row = rows[blockIdx.x];
  const int kv_head = row.head / p.group();
  const int seen = p.causal ? min(row.position + 1, p.t) : p.t;
  const long long query = p.place(row.batch, row.position, row.head, p.s, p.h);
  __shared__ float result[largest_head_dim];
  for (int i = threadIdx.x; i < p.d; i += blockDim.x) result[i] = 0;

  float sum = 0;  // of exp(score): scores of normal numbers are small, no maximum is needed
  for (int j = threadIdx.x; j < seen; j += blockDim.x)
    sum += expf(p.scale * p.dot(p.q, query, p.k, p.place(row.batch, j, kv_head, p.t, p.g)));
  sum = block_sum(sum);
  const float softmax_sum = backward ? p.dot(p.grad_o, query, p.o, query) : 0;

  for (int j = threadIdx.x; j < seen; j += blockDim.x) {
    const long long key = p.place(row.batch, j, kv_head, p.t, p.g);
    const float probability = expf(p.scale * p.dot(p.q, query, p.k, key)) / sum;
    const float factor =
        backward ? p.scale * probability * (p.dot(p.grad_o, query, p.v, key) - softmax_sum) : probability;
    for (int i = 0; i < p.d; ++i) atomicAdd(&result[i], factor * p.load(backward ? p.k : p.v, key + i));
  }
  compare(p, result, backward ? p.grad_q : p.o, query, row);
  if (!backward && threadIdx.x == 0) {
    const float found = p.log_sum_exp[(static_cast<long long>(row.batch) * p.h + row.head) * p.s + row.position];
    const float error = fabsf(found - logf(sum));
    row.largest_error = error <= row.largest_error ? row.largest_error : error;
  }
}

/// Row j of dV or dK; row.head is a key head. Uses the log-sum-exp that the forward pass was checked for.
__global__ void check_key_rows(Problem p, bool of_values, Row* rows) {
  Row& row = rows[blockIdx.x];
  const long long key = p.place(row.batch, row.position, row.head, p.t, p.g);
  __shared__ float result[largest_head_dim];
  for (int i = threadIdx.x; i < p.d; i += blockDim.x) result[i] = 0;
  __syncthreads();
  const int first = p.causal ? row.position : 0;
  for (int index = threadIdx.x; index < (p.s - first) * p.group(); index += blockDim.x) {
    const int i = first + index / p.group();
    const int head = row.head * p.group() + index % p.group();
    const long long query = p.place(row.batch, i, head, p.s, p.h);
    const float log_sum_exp = p.log_sum_exp[(static_cast<long long>(row.batch) * p.h + head) * p.s + i];
    const float probability = expf(p.scale * p.dot(p.q, query, p.k, key) - log_sum_exp);
    const float grad_score = p.dot(p.grad_o, query, p.v, key) - p.dot(p.grad_o, query, p.o, query);
    const float factor = of_values ? probability : p.scale * probability * grad_score;
    for (int e = 0; e < p.d; ++e) atomicAdd(&result[e], factor * p.load(of_values ? p.grad_o : p.q, query + e));
  }
  compare(p, result, of_values ? p.grad_v : p.grad_k, key, row);
}

std::vector<Row> sample_rows(const AttentionPoint& point, std::int64_t heads, std::int64_t length) {
  std::vector<Row> rows;
  for (int i = 0; i < 16; ++i)
    rows.push_back({static_cast<int>(i % point.batch), static_cast<int>(5 * i % heads),
                    static_cast<int>(i * (length - 1) / 15), 0, 0});
  return rows;
}

/// Scores are summed up in fp32 and rounded to 8 (11) bits where they enter a product.
void check_rows(const std::vector<Row>& rows, const char* what, bool bf16) {
  for (const Row& row : rows) {
    const float allowed = (bf16 ? 0.02f : 0.005f) * row.largest_value + (bf16 ? 0.004f : 0.002f);
    if (!(row.largest_error <= allowed))
      throw WrongResult(std::string(what) + " is off by " + std::to_string(row.largest_error) + " at position " +
                        std::to_string(row.position));
  }
}

template <class Kernel>
void run_check(std::vector<Row> rows, const char* what, bool bf16, cudaStream_t stream, const Kernel& kernel) {
  const std::size_t bytes = rows.size() * sizeof(Row);
  const Buffer on_device(bytes);
  CHECK_CUDA(cudaMemcpyAsync(on_device.at(), rows.data(), bytes, cudaMemcpyHostToDevice, stream));
  kernel(static_cast<unsigned>(rows.size()), on_device.at<Row>());
  CHECK_LAUNCH();
  CHECK_CUDA(cudaMemcpyAsync(rows.data(), on_device.at(), bytes, cudaMemcpyDeviceToHost, stream));
  CHECK_CUDA(cudaStreamSynchronize(stream));
  check_rows(rows, what, bf16);
}

void verify(const AttentionPoint& point, const SdpaBuffers& b, cudaStream_t stream) {
  if (point.head_dim > largest_head_dim) throw Unsupported("the reference takes heads of up to 256");
  const bool bf16 = point.precision == "bf16";
  const Problem p{static_cast<int>(point.heads),
                  static_cast<int>(point.kv_heads),
                  static_cast<int>(point.query_length),
                  static_cast<int>(point.key_length),
                  static_cast<int>(point.head_dim),
                  point.causal,
                  bf16,
                  static_cast<float>(1 / std::sqrt(static_cast<double>(point.head_dim))),
                  b.q,
                  b.k,
                  b.v,
                  b.o,
                  b.grad_o,
                  b.grad_q,
                  b.grad_k,
                  b.grad_v,
                  static_cast<const float*>(b.log_sum_exp)};
  const bool backward = point.backward;
  run_check(sample_rows(point, point.heads, point.query_length), backward ? "dQ" : "O", bf16, stream,
            [&](unsigned blocks, Row* rows) {
              check_query_rows<<<blocks, reference_threads, 0, stream>>>(p, backward, rows);
            });
  if (!backward) return;
  for (const bool of_values : {true, false})
    run_check(sample_rows(point, point.kv_heads, point.key_length), of_values ? "dV" : "dK", bf16, stream,
              [&](unsigned blocks, Row* rows) {
                check_key_rows<<<blocks, reference_threads, 0, stream>>>(p, of_values, rows);
              });
}

// --- the measurement ---------------------------------------------------------------------------------------------

class Cudnn {
 public:
  explicit Cudnn(cudaStream_t stream) {
    if (cudnnCreate(&handle_) != CUDNN_STATUS_SUCCESS) throw Unsupported("cuDNN cannot start here");
    if (cudnnSetStream(handle_, stream) != CUDNN_STATUS_SUCCESS) throw DeviceFailure("cudnnSetStream failed");
  }
  ~Cudnn() {
    if (handle_) (void)cudnnDestroy(handle_);
  }
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;
  cudnnHandle_t handle() const { return handle_; }

  static std::string version() {
    const std::size_t v = cudnnGetVersion();
    return "cuDNN " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
  }

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// Tensors of one execution, and several of them in one piece of memory.
class Tensors {
 public:
  Tensors(const AttentionPoint& point, std::size_t workspace) : point_(point), workspace_(workspace) {
    const std::int64_t d = point.head_dim;
    queries_ = aligned(2 * point.batch * point.query_length * point.heads * d);
    keys_ = aligned(2 * point.batch * point.key_length * point.kv_heads * d);
    statistics_ = aligned(4 * point.batch * point.heads * point.query_length);
  }
  std::size_t set_bytes() const {
    return 2 * queries_ + 2 * keys_ + statistics_ + (point_.backward ? 2 * queries_ + 2 * keys_ : 0);
  }
  void allocate(int sets, cudaStream_t stream) {
    memory_ = Buffer(set_bytes() * sets);
    shared_ = Buffer(workspace_);
    const Element element = element_of(point_.precision);
    fill_normal(memory_.at(), memory_.size() / bytes_of(element), element, 1, stream);
  }
  SdpaBuffers set(int index) const {
    std::size_t at = set_bytes() * index;
    const auto take = [&](std::size_t bytes) { return memory_.at(std::exchange(at, at + bytes)); };
    SdpaBuffers b;
    b.q = take(queries_);
    b.o = take(queries_);
    b.k = take(keys_);
    b.v = take(keys_);
    b.log_sum_exp = take(statistics_);
    if (point_.backward) {
      b.grad_o = take(queries_);
      b.grad_q = take(queries_);
      b.grad_k = take(keys_);
      b.grad_v = take(keys_);
    }
    b.workspace = shared_.at();
    return b;
  }

 private:
  AttentionPoint point_;
  std::size_t queries_ = 0, keys_ = 0, statistics_ = 0, workspace_ = 0;
  Buffer memory_, shared_;
};

/// Building a plan compiles kernels, which takes longer than measuring them: that of a forward pass serves its backward
/// pass as well.
class Plans {
 public:
  explicit Plans(const Cudnn& cudnn) : cudnn_(cudnn) {}
  const SdpaPlan& plan(const AttentionPoint& point) {
    std::unique_ptr<SdpaPlan>& plan = plans_[describe(point)];
    if (!plan) plan = std::make_unique<SdpaPlan>(point, cudnn_.handle());
    return *plan;
  }

 private:
  const Cudnn& cudnn_;
  std::map<std::string, std::unique_ptr<SdpaPlan>> plans_;
};

Outcome measure_point(const Session& session, Plans& plans, const Stream& stream, const AttentionPoint& point) {
  const SdpaPlan& plan = plans.plan(point);
  Tensors tensors(point, plan.workspace_bytes());
  const int sets = rotations(tensors.set_bytes(), session.device());
  tensors.allocate(sets, stream);
  if (point.backward) {
    // It starts from a forward pass's output and log-sum-exp.
    AttentionPoint forward_point = point;
    forward_point.backward = false;
    const SdpaPlan& forward = plans.plan(forward_point);
    const Buffer workspace(forward.workspace_bytes());
    for (int i = 0; i < sets; ++i) {
      SdpaBuffers buffers = tensors.set(i);
      buffers.workspace = workspace.at();
      forward.run(forward.bind(buffers));
      if (i == 0) {
        stream.synchronize();
        verify(forward_point, buffers, stream);
      }
    }
    stream.synchronize();
  }

  std::vector<CudnnDescriptor> bound;
  for (int i = 0; i < sets; ++i) bound.push_back(plan.bind(tensors.set(i)));
  plan.run(bound[0]);
  stream.synchronize();
  verify(point, tensors.set(0), stream);
  const auto launch = [&](int i) { plan.run(bound[static_cast<std::size_t>(i % sets)]); };
  return {time_executions(session, stream, launch), true};
}

}  // namespace

void measure_attention(Session& session, const Points& points) {
  const Stream stream;
  const Cudnn cudnn(stream);
  Plans plans(cudnn);
  for (const MeasuredPoint& point : points)
    session.measure(Cudnn::version(), point, [&](MeasuredPoint& p) {
      return measure_point(session, plans, stream, std::get<AttentionPoint>(p));
    });
}

}  // namespace stepcast::measure

#else

namespace stepcast::measure {

void measure_attention(Session& session, const Points&) {
  session.leave_out("attention", "cuDNN 9 was not found when this program was built");
}

}  // namespace stepcast::measure

#endif
