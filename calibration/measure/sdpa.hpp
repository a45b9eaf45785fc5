#pragma once
/// Fused attention by cuDNN (9 or newer): scaled dot products, causal mask, softmax, forward and backward, as one
/// graph of the C backend API. Host code only, and nothing here touches a GPU until run(): with the properties of a
/// device instead of a handle, a plan can be built on a machine that has none.
///
/// Tensors lie in memory as [batch, sequence, heads, head_dim]; the log-sum-exp of the scores as
/// [batch, heads, query_length] in fp32. The scores are scaled by 1 / sqrt(head_dim).

#include <cstddef>
#include <memory>
#include <vector>

#include <cudnn_graph.h>

#include "calibration/measurement.hpp"

namespace stepcast::measure {

/// A descriptor of the backend API.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values);
  void set_int64(cudnnBackendAttributeName_t name, std::int64_t value);
  void set_int64(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values);
  void set_flag(cudnnBackendAttributeName_t name, bool value);
  void set_descriptor(cudnnBackendAttributeName_t name, const CudnnDescriptor& value);
  void finalize();

  cudnnBackendDescriptor_t get() const { return raw_.get(); }

 private:
  struct Destroy {
    void operator()(cudnnBackendDescriptor_t raw) const { (void)cudnnBackendDestroyDescriptor(raw); }
  };
  std::unique_ptr<void, Destroy> raw_;
};

/// Device memory of one execution; the gradients are for the backward pass only.
struct SdpaBuffers {
  void *q = nullptr, *k = nullptr, *v = nullptr, *o = nullptr, *log_sum_exp = nullptr;
  void *grad_o = nullptr, *grad_q = nullptr, *grad_k = nullptr, *grad_v = nullptr;
  void* workspace = nullptr;  ///< SdpaPlan::workspace_bytes()
};

/// One attention kernel, or the few of a backward pass, ready to run.
class SdpaPlan {
 public:
  /// @param device  a finalized device property descriptor, instead of the handle; may be null
  /// @throws Unsupported when cuDNN has no kernel for it
  SdpaPlan(const AttentionPoint& point, cudnnHandle_t handle, const CudnnDescriptor* device = nullptr);

  std::size_t workspace_bytes() const { return engine_workspace_ + scratch_bytes(); }

  /// What run() wants: the addresses of one execution.
  CudnnDescriptor bind(const SdpaBuffers& buffers) const;

  /// On the stream of the handle.
  void run(const CudnnDescriptor& bound) const;

 private:
  struct Graph;
  std::size_t scratch_bytes() const { return grad_q_sum_bytes_ + softmax_sum_bytes_; }

  cudnnHandle_t handle_;
  std::shared_ptr<const Graph> graph_;
  std::unique_ptr<CudnnDescriptor> plan_;
  std::size_t engine_workspace_ = 0;
  std::size_t grad_q_sum_bytes_ = 0;  ///< dQ is summed up in fp32
  std::size_t softmax_sum_bytes_ = 0;
};

}  // namespace stepcast::measure
