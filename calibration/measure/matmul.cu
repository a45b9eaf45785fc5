#include <cstring>

#include "calibration/measure/matmul.cuh"

namespace stepcast::measure {
namespace {

void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string message = std::string(call) + ": " + cublasLtGetStatusString(status);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) throw Unsupported(message);
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw Unsupported("not enough GPU memory");
  throw DeviceFailure(message);
}
#define CHECK_CUBLAS(call) check_cublas((call), #call)

constexpr std::size_t workspace_size = std::size_t{32} << 20;

cudaDataType cuda_type(Element element) {
  switch (element) {
    case Element::fp32: return CUDA_R_32F;
    case Element::fp16: return CUDA_R_16F;
    case Element::bf16: return CUDA_R_16BF;
    case Element::fp8_e4m3: return CUDA_R_8F_E4M3;
  }
  return CUDA_R_32F;
}

Element output_element(const GemmPoint& point) {
  if (point.accumulate_fp32) return Element::fp32;
  return point.precision == "fp8" ? Element::bf16 : element_of(point.precision);
}

template <class T>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  CHECK_CUBLAS(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value));
}

}  // namespace

MatmulLibrary::MatmulLibrary() : workspace_(workspace_size), one_(256) {
  CHECK_CUBLAS(cublasLtCreate(&handle_));
  const float one = 1;
  CHECK_CUDA(cudaMemcpy(one_.at(), &one, sizeof one, cudaMemcpyHostToDevice));
}

MatmulLibrary::~MatmulLibrary() {
  if (handle_) (void)cublasLtDestroy(handle_);
}

std::string MatmulLibrary::version() {
  const std::size_t v = cublasLtGetVersion();
  return "cuBLASLt " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
}

/// Column-major, `rows` x `columns` as it lies in memory once `transposed`.
Matmul::Layout Matmul::make_layout(cudaDataType type, std::int64_t rows, std::int64_t columns, bool transposed,
                                   std::int64_t batch) {
  if (transposed) std::swap(rows, columns);
  cublasLtMatrixLayout_t layout = nullptr;
  CHECK_CUBLAS(cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(rows),
                                          static_cast<std::uint64_t>(columns), rows));
  Layout owned(layout);
  const auto count = static_cast<std::int32_t>(batch);
  const std::int64_t distance = rows * columns;
  CHECK_CUBLAS(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
  CHECK_CUBLAS(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &distance,
                                                sizeof distance));
  return owned;
}

Matmul::Matmul(const MatmulLibrary& library, const GemmPoint& point)
    : library_(library), point_(point), input_(element_of(point.precision)), output_(output_element(point)) {
  const bool fp8 = point.precision == "fp8";
  if (fp8 && point.layout != "tn") throw Unsupported("fp8 products are TN only");

  // Row-major result [m, n] is column-major [n, m] = right^T [n, k] x left^T [k, m].
  const bool right_transposed = point.layout == "tn";
  const bool left_transposed = point.layout == "nt";
  a_ = make_layout(cuda_type(input_), point.n, point.k, right_transposed, point.batch);
  b_ = make_layout(cuda_type(input_), point.k, point.m, left_transposed, point.batch);
  c_ = make_layout(cuda_type(output_), point.n, point.m, false, point.batch);

  cublasLtMatmulDesc_t operation = nullptr;
  const cublasComputeType_t compute = point.precision == "tf32" ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  CHECK_CUBLAS(cublasLtMatmulDescCreate(&operation, compute, CUDA_R_32F));
  operation_.reset(operation);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, right_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, left_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (fp8) {
    set(operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, library.one());
    set(operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, library.one());
    // Transformer Engine: fast accumulation in the forward pass, not for gradients.
    set(operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<std::int8_t>(point.accumulate_fp32 ? 0 : 1));
  }

  cublasLtMatmulPreference_t preference = nullptr;
  CHECK_CUBLAS(cublasLtMatmulPreferenceCreate(&preference));
  const std::unique_ptr<void, Destroy<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>> owner(preference);
  const std::size_t workspace = library.workspace_bytes();
  CHECK_CUBLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                    sizeof workspace));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(library.handle(), operation, a_.get(), b_.get(),
                                                               c_.get(), c_.get(), preference, 1, &found, &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && count == 0))
    throw Unsupported("cuBLASLt has no algorithm for " + point.precision + " " + point.layout);
  CHECK_CUBLAS(status);
  algorithm_ = found.algo;
}

std::size_t Matmul::left_bytes() const { return point_.batch * point_.m * point_.k * bytes_of(input_); }
std::size_t Matmul::right_bytes() const { return point_.batch * point_.k * point_.n * bytes_of(input_); }
std::size_t Matmul::result_bytes() const { return point_.batch * point_.m * point_.n * bytes_of(output_); }

void Matmul::run(const void* left, const void* right, void* result, cudaStream_t stream) const {
  const float alpha = 1, beta = point_.accumulate_fp32 ? 1 : 0;
  CHECK_CUBLAS(cublasLtMatmul(library_.handle(), operation_.get(), &alpha, right, a_.get(), left, b_.get(), &beta,
                              result, c_.get(), result, c_.get(), &algorithm_, library_.workspace(),
                              library_.workspace_bytes(), stream));
}

}  // namespace stepcast::measure
