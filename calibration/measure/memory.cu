// Kernels bound by memory traffic: copies, and the element-wise, normalising and optimizer kernels of training.

#include <algorithm>
#include <cmath>

#include "calibration/measure/harness.cuh"
#include "calibration/measure/row_kernels.cuh"

namespace stepcast::measure {
namespace {

// --- data of particular tensors -----------------------------------------------------------------------------------

__global__ void fill_targets_kernel(int* targets, int rows, int width) {
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row < rows)
    targets[row] = static_cast<int>((1103515245u * static_cast<unsigned>(row) + 12345u) % static_cast<unsigned>(width));
}

/// Second moments are not negative.
__global__ void square_kernel(float* data, long long count) {
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<long long>(gridDim.x) * blockDim.x)
    data[i] *= data[i];
}

// --- one operator, its tensors and its check ---------------------------------------------------------------------

unsigned blocks_for(std::int64_t count, std::int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

/// Copies of device memory, as numbers.
std::vector<float> fetch_floats(const void* data, std::size_t first, std::size_t count) {
  std::vector<float> values(count);
  CHECK_CUDA(cudaMemcpy(values.data(), static_cast<const float*>(data) + first, count * 4, cudaMemcpyDeviceToHost));
  return values;
}

std::vector<float> fetch(const void* data, std::size_t first, std::size_t count) {
  std::vector<bf16> raw(count);
  CHECK_CUDA(cudaMemcpy(raw.data(), static_cast<const bf16*>(data) + first, count * 2, cudaMemcpyDeviceToHost));
  std::vector<float> values;
  for (const bf16 value : raw) values.push_back(__bfloat162float(value));
  return values;
}

void expect_near(double found, double expected, double tolerance, const char* what) {
  if (!(std::abs(found - expected) <= tolerance))
    throw WrongResult(std::string(what) + " is " + std::to_string(found) + ", not " + std::to_string(expected));
}
/// Rounded to bf16.
double bf16_tolerance(double expected) { return 0x1p-8 * std::abs(expected) + 1e-5; }

/// A kernel with `sets` of tensors; each tensor of a set has its offset.
class Operator {
 public:
  Operator(const Session& session, const MemoryPoint& point, cudaStream_t stream)
      : session_(session), point_(point), stream_(stream), width_(point.width.value_or(1)) {
    rows_ = point.bytes / row_bytes(point.op, width_);
    if (point.width && width_ % lanes != 0) throw Unsupported("rows that are no multiple of 8 elements");
    if (point.op == "copy" || point.op == "read" || point.op == "write") {
      elements_ = rows_ / 16;  // 16-byte words
      tensor_bytes_.assign(point.op == "copy" ? 2 : 1, static_cast<std::size_t>(rows_));
    } else if (point.op == "adam") {
      elements_ = rows_ / 4;
      tensor_bytes_ = {static_cast<std::size_t>(4 * rows_), static_cast<std::size_t>(4 * rows_),
                       static_cast<std::size_t>(4 * rows_), static_cast<std::size_t>(4 * rows_),
                       static_cast<std::size_t>(2 * rows_)};
    } else {
      elements_ = rows_ * width_ / lanes;
      const std::int64_t tensors = row_bytes(point.op, 1) / 2;
      tensor_bytes_.assign(static_cast<std::size_t>(tensors), static_cast<std::size_t>(2 * rows_ * width_));
    }
    for (const std::size_t bytes : tensor_bytes_) set_bytes_ += aligned(bytes);
    sets_ = rotations(set_bytes_, session.device());
    memory_ = Buffer(set_bytes_ * sets_);
    if (point.op == "adam")
      fill_normal(memory_.at(), memory_.size() / 4, Element::fp32, 1, stream);
    else
      fill_normal(memory_.at(), memory_.size() / 2, Element::bf16, 1, stream);
    if (point.op == "adam")
      for (int set = 0; set < sets_; ++set) {
        square_kernel<<<1024, 256, 0, stream>>>(tensor<float>(set, 2), rows_);
        CHECK_LAUNCH();
      }
    prepare_small();
  }

  void launch(int i) {
    const int set = i % sets_;
    const std::string& op = point_.op;
    if (op == "copy") {
      copy_kernel<<<flat_blocks(unrolled), flat_threads, 0, stream_>>>(tensor<uint4>(set, 0), tensor<uint4>(set, 1),
                                                                       elements_);
    } else if (op == "read") {
      read_kernel<<<flat_blocks(unrolled), flat_threads, 0, stream_>>>(tensor<uint4>(set, 0), elements_,
                                                                       small_.at<unsigned>());
    } else if (op == "write") {
      write_kernel<<<flat_blocks(unrolled), flat_threads, 0, stream_>>>(tensor<uint4>(set, 0), elements_,
                                                                        static_cast<unsigned>(i));
    } else if (op == "gelu") {
      gelu_kernel<<<flat_blocks(1), flat_threads, 0, stream_>>>(tensor(set, 0), tensor(set, 1), elements_);
    } else if (op == "swiglu") {
      swiglu_kernel<<<flat_blocks(1), flat_threads, 0, stream_>>>(tensor(set, 0), tensor(set, 1), tensor(set, 2),
                                                                  elements_);
    } else if (op == "residual_add") {
      residual_add_kernel<<<flat_blocks(1), flat_threads, 0, stream_>>>(tensor(set, 0), tensor(set, 1), tensor(set, 2),
                                                                        elements_);
    } else if (op == "adam") {
      adam_kernel<<<flat_blocks(1), flat_threads, 0, stream_>>>(tensor<float4>(set, 0), tensor<float4>(set, 1),
                                                                tensor<float4>(set, 2), tensor<float4>(set, 3),
                                                                tensor<uint2>(set, 4), elements_, AdamConstants{});
    } else {
      launch_rows(set);
    }
    CHECK_LAUNCH();
  }

  /// Runs once and compares a sample with what the host works out.
  void verify();

 private:
  template <class T = Pack>
  T* tensor(int set, std::size_t index) const {
    std::size_t offset = set_bytes_ * set;
    for (std::size_t i = 0; i < index; ++i) offset += aligned(tensor_bytes_[i]);
    return memory_.at<T>(offset);
  }
  unsigned flat_blocks(int per_thread) const { return blocks_for(elements_, std::int64_t{flat_threads} * per_thread); }

  /// gamma, beta | means, rstds | targets, losses | sums and parts of them, one after the other.
  void prepare_small() {
    const auto rows = static_cast<std::size_t>(rows_), width = static_cast<std::size_t>(width_);
    const bool by_rows = point_.width.has_value();
    const std::int64_t blocks_per_sm = by_rows ? std::max(1, 512 / row_threads(width_)) : 1;
    parts_ = std::min(std::min<std::int64_t>(blocks_per_sm, 4) * session_.device().sms, rows_);
    offsets_ = {0};
    const std::size_t part_bytes = by_rows ? 4 * width * static_cast<std::size_t>(parts_) : 0;
    for (const std::size_t bytes :
         {2 * width, 2 * width, by_rows ? 4 * rows : 128, by_rows ? 4 * rows : 0, by_rows ? 4 * rows : 0,
          by_rows ? 4 * rows : 0, 4 * width, 4 * width, part_bytes, part_bytes})
      offsets_.push_back(offsets_.back() + aligned(bytes));
    small_ = Buffer(offsets_.back());
    CHECK_CUDA(cudaMemsetAsync(small_.at(), 0, small_.size(), stream_));
    if (!by_rows) return;
    fill_normal(small_.at(), 2 * width, Element::bf16, 2, stream_);
    fill_targets_kernel<<<blocks_for(rows_, 256), 256, 0, stream_>>>(small<int>(4), static_cast<int>(rows_),
                                                                     static_cast<int>(width_));
    CHECK_LAUNCH();
    if (point_.op == "layernorm_backward" || point_.op == "rmsnorm_backward") {
      // Statistics of the first set serve all: they are as good as those of the others.
      launch_norm(0, point_.op == "layernorm_backward", tensor(0, 2));
      CHECK_LAUNCH();
    }
  }
  template <class T = float>
  T* small(std::size_t index) const {
    return small_.at<T>(offsets_[index]);
  }
  Pack* gamma() const { return small<Pack>(0); }
  Pack* beta() const { return small<Pack>(1); }

  void launch_norm(int set, bool centred, Pack* y) {
    const auto blocks = static_cast<unsigned>(rows_);
    const int threads = row_threads(width_);
    const auto kernel = centred ? norm_kernel<true> : norm_kernel<false>;
    kernel<<<blocks, threads, 0, stream_>>>(tensor(set, 0), gamma(), beta(), y, small(2), small(3),
                                            static_cast<int>(width_));
  }

  void launch_norm_backward(int set, bool centred) {
    const int threads = row_threads(width_), width = static_cast<int>(width_), parts = static_cast<int>(parts_);
    if (threads > 384) throw Unsupported("rows of more than 12288 elements");
    const auto kernel = threads <= 256 ? (centred ? norm_backward_kernel<true, 256> : norm_backward_kernel<false, 256>)
                                       : (centred ? norm_backward_kernel<true, 384> : norm_backward_kernel<false, 384>);
    kernel<<<static_cast<unsigned>(parts), threads, 0, stream_>>>(tensor(set, 0), tensor(set, 1), gamma(), small(2),
                                                                  small(3), tensor(set, 2), small(8), small(9),
                                                                  static_cast<int>(rows_), width);
    for (const std::size_t which : {std::size_t{0}, std::size_t{1}})
      if (which == 0 || centred)
        sum_parts_kernel<<<blocks_for(width, 32), dim3(32, 8), 0, stream_>>>(small(8 + which), small(6 + which), parts,
                                                                             width);
  }

  void launch_rows(int set) {
    const std::string& op = point_.op;
    const auto blocks = static_cast<unsigned>(rows_);
    const int threads = row_threads(width_), width = static_cast<int>(width_);
    if (op == "layernorm" || op == "rmsnorm") {
      launch_norm(set, op == "layernorm", tensor(set, 1));
    } else if (op == "layernorm_backward" || op == "rmsnorm_backward") {
      launch_norm_backward(set, op == "layernorm_backward");
    } else if (op == "softmax") {
      softmax_kernel<<<blocks, threads, 0, stream_>>>(tensor(set, 0), tensor(set, 1), width);
    } else if (op == "cross_entropy") {
      cross_entropy_kernel<<<blocks, threads, 0, stream_>>>(tensor(set, 0), small<int>(4), tensor(set, 1), small(5),
                                                            width);
    } else {
      throw Unsupported("no kernel for it in this program");
    }
  }

  void verify_flat(std::size_t first, std::size_t count);
  void verify_row(std::size_t row);
  void verify_column_sums(std::size_t column);

  const Session& session_;
  MemoryPoint point_;
  cudaStream_t stream_;
  std::int64_t width_ = 1, rows_ = 0;  ///< without rows: so many elements
  std::int64_t elements_ = 0;          ///< words or packs that the kernel counts
  std::int64_t parts_ = 0;             ///< blocks of a backward pass
  std::vector<std::size_t> tensor_bytes_;
  std::size_t set_bytes_ = 0;
  int sets_ = 0;
  Buffer memory_, small_;
  std::vector<std::size_t> offsets_;
};

// --- verification on the host ------------------------------------------------------------------------------------

void Operator::verify_flat(std::size_t first, std::size_t count) {
  const std::string& op = point_.op;
  const std::vector<float> a = fetch(tensor(0, 0), first, count);
  if (op == "copy") {
    const std::vector<float> y = fetch(tensor(0, 1), first, count);
    for (std::size_t i = 0; i < count; ++i) expect_near(y[i], a[i], 0, "an element");
  } else if (op == "gelu") {
    const std::vector<float> y = fetch(tensor(0, 1), first, count);
    for (std::size_t i = 0; i < count; ++i) {
      const double x = a[i];
      const double expected = 0.5 * x * (1 + std::tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
      expect_near(y[i], expected, bf16_tolerance(expected), "an element");
    }
  } else {
    const std::vector<float> b = fetch(tensor(0, 1), first, count);
    const std::vector<float> y = fetch(tensor(0, 2), first, count);
    for (std::size_t i = 0; i < count; ++i) {
      const double expected = op == "swiglu" ? a[i] / (1 + std::exp(-double{a[i]})) * b[i] : double{a[i]} + b[i];
      expect_near(y[i], expected, bf16_tolerance(expected), "an element");
    }
  }
}

void Operator::verify_row(std::size_t row) {
  const std::string& op = point_.op;
  const auto width = static_cast<std::size_t>(width_);
  const std::vector<float> x = fetch(tensor(0, 0), row * width, width);
  const auto n = static_cast<double>(width);
  if (op == "softmax" || op == "cross_entropy") {
    double sum = 0;
    for (const float value : x) sum += std::exp(double{value});
    const std::vector<float> y = fetch(tensor(0, 1), row * width, width);
    const auto target = op == "cross_entropy" ? static_cast<std::size_t>([&] {
      int index = 0;
      CHECK_CUDA(cudaMemcpy(&index, small<int>(4) + row, sizeof index, cudaMemcpyDeviceToHost));
      return index;
    }())
                                              : width;
    for (std::size_t i = 0; i < width; ++i) {
      const double expected = std::exp(double{x[i]}) / sum - (i == target ? 1 : 0);
      expect_near(y[i], expected, bf16_tolerance(expected), "an element");
    }
    if (target < width) expect_near(fetch_floats(small(5), row, 1)[0], std::log(sum) - x[target], 1e-3, "the loss");
    return;
  }

  const bool centred = op == "layernorm" || op == "layernorm_backward";
  double mean = 0, squares = 0;
  for (const float value : x) mean += centred ? value / n : 0;
  for (const float value : x) squares += (value - mean) * (value - mean);
  const double rstd = 1 / std::sqrt(squares / n + norm_epsilon);
  const std::vector<float> g = fetch(gamma(), 0, width);
  if (op == "layernorm" || op == "rmsnorm") {
    const std::vector<float> b = fetch(beta(), 0, width), y = fetch(tensor(0, 1), row * width, width);
    for (std::size_t i = 0; i < width; ++i) {
      const double expected = (x[i] - mean) * rstd * g[i] + (centred ? b[i] : 0);
      expect_near(y[i], expected, bf16_tolerance(expected) + 1e-3, "an element");
    }
    return;
  }
  const std::vector<float> dy = fetch(tensor(0, 1), row * width, width), dx = fetch(tensor(0, 2), row * width, width);
  double mean_g = 0, mean_g_xhat = 0;
  for (std::size_t i = 0; i < width; ++i) {
    mean_g += centred ? double{dy[i]} * g[i] / n : 0;
    mean_g_xhat += double{dy[i]} * g[i] * (x[i] - mean) * rstd / n;
  }
  for (std::size_t i = 0; i < width; ++i) {
    const double expected = rstd * (double{dy[i]} * g[i] - mean_g - (x[i] - mean) * rstd * mean_g_xhat);
    expect_near(dx[i], expected, bf16_tolerance(expected) + 1e-3, "an element");
  }
}

/// dgamma and dbeta of one column, from all rows.
void Operator::verify_column_sums(std::size_t column) {
  const auto rows = static_cast<std::size_t>(rows_), width = static_cast<std::size_t>(width_);
  const bool centred = point_.op == "layernorm_backward";
  const auto fetch_column = [&](const Pack* data) {
    std::vector<bf16> values(rows);
    CHECK_CUDA(cudaMemcpy2D(values.data(), 2, reinterpret_cast<const bf16*>(data) + column, 2 * width, 2, rows,
                            cudaMemcpyDeviceToHost));
    return values;
  };
  const std::vector<bf16> x = fetch_column(tensor(0, 0)), dy = fetch_column(tensor(0, 1));
  const std::vector<float> means = fetch_floats(small(2), 0, rows), rstds = fetch_floats(small(3), 0, rows);
  double gamma_sum = 0, beta_sum = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const double d = __bfloat162float(dy[i]);
    gamma_sum += d * (__bfloat162float(x[i]) - (centred ? means[i] : 0)) * rstds[i];
    beta_sum += d;
  }
  const double tolerance = 1e-4 * static_cast<double>(rows) + 1e-3;
  expect_near(fetch_floats(small(6), column, 1)[0], gamma_sum, tolerance, "dgamma");
  if (centred) expect_near(fetch_floats(small(7), column, 1)[0], beta_sum, tolerance, "dbeta");
}

void Operator::verify() {
  const std::string& op = point_.op;
  const auto finish = [&] { CHECK_CUDA(cudaStreamSynchronize(stream_)); };
  finish();
  if (op == "read") {
    // Twice the same gives zero; once, what the host finds in the smaller cases.
    launch(0);
    launch(0);
    finish();
    std::vector<unsigned> words(32);
    CHECK_CUDA(cudaMemcpy(words.data(), small_.at(), 128, cudaMemcpyDeviceToHost));
    for (const unsigned word : words) expect_near(word, 0, 0, "the exclusive or of two runs");
    if (tensor_bytes_[0] > (std::size_t{4} << 20)) return;
    launch(0);
    finish();
    std::vector<unsigned> all(tensor_bytes_[0] / 4);
    CHECK_CUDA(cudaMemcpy(all.data(), tensor<unsigned>(0, 0), tensor_bytes_[0], cudaMemcpyDeviceToHost));
    CHECK_CUDA(cudaMemcpy(words.data(), small_.at(), 128, cudaMemcpyDeviceToHost));
    unsigned expected = 0, found = 0;
    for (const unsigned word : all) expected ^= word;
    for (const unsigned word : words) found ^= word;
    expect_near(found, expected, 0, "the exclusive or");
    return;
  }
  if (op == "adam") {
    constexpr std::size_t count = 256;
    const auto first = static_cast<std::size_t>(rows_) - count;
    const auto w = fetch_floats(tensor<float>(0, 0), first, count), m = fetch_floats(tensor<float>(0, 1), first, count),
               v = fetch_floats(tensor<float>(0, 2), first, count), g = fetch_floats(tensor<float>(0, 3), first, count);
    launch(0);
    finish();
    const auto found = fetch_floats(tensor<float>(0, 0), first, count);
    const auto narrow = fetch(tensor(0, 4), first, count);
    const AdamConstants c;
    for (std::size_t i = 0; i < count; ++i) {
      const double m1 = c.beta1 * double{m[i]} + (1 - c.beta1) * double{g[i]};
      const double v1 = c.beta2 * double{v[i]} + (1 - c.beta2) * double{g[i]} * g[i];
      const double expected = w[i] - c.rate * (m1 / (std::sqrt(v1) + c.epsilon) + c.decay * double{w[i]});
      expect_near(found[i], expected, 1e-5 * (1 + std::abs(expected)), "a weight");
      expect_near(narrow[i], found[i], bf16_tolerance(found[i]), "a bf16 weight");
    }
    return;
  }
  launch(0);
  finish();
  if (op == "write") {
    const std::vector<float> y = fetch_floats(tensor<float>(0, 0), 0, static_cast<std::size_t>(4 * elements_));
    for (const float value : y) expect_near(value, 0, 0, "a word");
  } else if (point_.width) {
    const auto last = static_cast<std::size_t>(rows_ - 1);
    for (const std::size_t row : {std::size_t{0}, last / 3, last}) verify_row(row);
    if (op == "layernorm_backward" || op == "rmsnorm_backward")
      for (const std::size_t column : {std::size_t{0}, static_cast<std::size_t>(width_ - 1)})
        verify_column_sums(column);
  } else {
    const auto count = static_cast<std::size_t>(op == "copy" ? 8 * elements_ : rows_);
    const std::size_t piece = std::min<std::size_t>(count, 4096);
    for (const std::size_t first : {std::size_t{0}, (count - piece) / 3, count - piece}) verify_flat(first, piece);
  }
}

}  // namespace

void measure_memory(Session& session, const Points& points) {
  const Stream stream;
  for (const MeasuredPoint& point : points)
    session.measure("", point, [&](MeasuredPoint& p) {
      Operator kernel(session, std::get<MemoryPoint>(p), stream);
      kernel.verify();
      return Outcome{time_executions(session, stream, [&](int i) { kernel.launch(i); }), true};
    });
}

}  // namespace stepcast::measure
