#pragma once
/// One matrix product through cuBLASLt, by the algorithm that its heuristics rank first: what frameworks run.

#include <memory>

#include <cublasLt.h>

#include "calibration/measure/harness.cuh"

namespace stepcast::measure {

/// Handle, workspace (32 MiB, as Transformer Engine and PyTorch give it on Hopper), and the scale of fp8 operands: one.
class MatmulLibrary {
 public:
  MatmulLibrary();
  ~MatmulLibrary();
  MatmulLibrary(const MatmulLibrary&) = delete;
  MatmulLibrary& operator=(const MatmulLibrary&) = delete;

  cublasLtHandle_t handle() const { return handle_; }
  void* workspace() const { return workspace_.at(); }
  std::size_t workspace_bytes() const { return workspace_.size(); }
  const void* one() const { return one_.at(); }
  static std::string version();  ///< "cuBLASLt 13.1.0"

 private:
  cublasLtHandle_t handle_ = nullptr;
  Buffer workspace_, one_;
};

/// [m, k] x [k, n], row-major in both layouts' sense: tn has the right operand as [n, k], nt the left one as [k, m].
class Matmul {
 public:
  /// @throws Unsupported when cuBLASLt has no algorithm
  Matmul(const MatmulLibrary& library, const GemmPoint& point);

  Element input() const { return input_; }
  Element output() const { return output_; }
  std::size_t left_bytes() const;
  std::size_t right_bytes() const;
  std::size_t result_bytes() const;

  void run(const void* left, const void* right, void* result, cudaStream_t stream) const;

 private:
  template <class Handle, cublasStatus_t (*destroy)(Handle)>
  struct Destroy {
    using pointer = Handle;
    void operator()(Handle handle) const { (void)destroy(handle); }
  };
  using Layout = std::unique_ptr<void, Destroy<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
  using Operation = std::unique_ptr<void, Destroy<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;

  static Layout make_layout(cudaDataType type, std::int64_t rows, std::int64_t columns, bool transposed,
                            std::int64_t batch);

  const MatmulLibrary& library_;
  GemmPoint point_;
  Element input_, output_;
  Operation operation_;
  Layout a_, b_, c_;  ///< cuBLAS is column-major: its A is our right operand
  cublasLtMatmulAlgo_t algorithm_{};
};

}  // namespace stepcast::measure
