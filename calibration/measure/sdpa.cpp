#include "calibration/measure/sdpa.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "calibration/measure/failures.hpp"

namespace stepcast::measure {
namespace {

[[noreturn]] void fail(cudnnStatus_t status, const std::string& call) {
  char reason[1024] = "";
  cudnnGetLastErrorString(reason, sizeof reason);
  std::string text = reason;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const std::string message = call + ": " + cudnnGetErrorString(status) + (text.empty() ? "" : ": " + text);
  if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED) throw Unsupported("cuDNN: " + message);
  throw DeviceFailure("cuDNN: " + message);
}

#define CHECK_CUDNN(call)                                                            \
  do {                                                                               \
    const cudnnStatus_t check_cudnn_status = (call);                                 \
    if (check_cudnn_status != CUDNN_STATUS_SUCCESS) fail(check_cudnn_status, #call); \
  } while (0)

cudnnBackendDescriptor_t create(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t raw = nullptr;
  CHECK_CUDNN(cudnnBackendCreateDescriptor(type, &raw));
  return raw;
}

}  // namespace

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) : raw_(create(type)) {}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                          const void* values) {
  const cudnnStatus_t status = cudnnBackendSetAttribute(get(), name, type, count, values);
  if (status != CUDNN_STATUS_SUCCESS) fail(status, "attribute " + std::to_string(name));
}

void CudnnDescriptor::set_int64(cudnnBackendAttributeName_t name, std::int64_t value) {
  set(name, CUDNN_TYPE_INT64, 1, &value);
}

void CudnnDescriptor::set_int64(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
  set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
}

void CudnnDescriptor::set_flag(cudnnBackendAttributeName_t name, bool value) {
  set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
}

void CudnnDescriptor::set_descriptor(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
  const cudnnBackendDescriptor_t raw = value.get();
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
}

void CudnnDescriptor::finalize() { CHECK_CUDNN(cudnnBackendFinalize(get())); }

// --- the graph ---------------------------------------------------------------------------------------------------
// Glossary: b batch, h query heads, g key and value heads, s query_length, t key_length, d head_dim.
//
// cuDNN recognises attention by the shape of its graph, operation by operation; what is written here is the graph
// that its own front end composes for versions 9.0 and newer.

namespace {

using Shape = std::vector<std::int64_t>;

/// [b, heads, length, d] of memory laid out [b, length, heads, d].
Shape interleaved_strides(std::int64_t heads, std::int64_t length, std::int64_t d) {
  return {length * heads * d, d, heads * d, 1};
}
Shape packed_strides(const Shape& shape) { return {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1}; }
Shape swapped(Shape shape) {
  std::swap(shape[2], shape[3]);
  return shape;
}

enum Id : std::int64_t {
  q_id = 1,
  k_id,
  v_id,
  o_id,
  log_sum_exp_id,
  grad_o_id,
  grad_q_id,
  grad_k_id,
  grad_v_id,
  grad_q_sum_id,
  softmax_sum_id,
  scale_id,
  minus_infinity_id,
  one_id,
  first_virtual_id = 100
};

struct Tensor {
  Shape shape, strides;
  cudnnDataType_t type;
  std::shared_ptr<CudnnDescriptor> descriptor;
};

enum class Kind { in_memory, by_value, virtual_ };

}  // namespace

struct SdpaPlan::Graph {
  std::vector<CudnnDescriptor> operations;
  std::vector<std::shared_ptr<CudnnDescriptor>> parts;  ///< tensors, and what operations point to
  std::int64_t next_id = first_virtual_id;
  float scale = 1, minus_infinity = -std::numeric_limits<float>::infinity(), one = 1;
  bool causal_mask = false, backward = false;

  Tensor tensor(std::int64_t id, Shape shape, Shape strides, cudnnDataType_t type, Kind kind) {
    auto descriptor = std::make_shared<CudnnDescriptor>(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    descriptor->set_int64(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    descriptor->set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    descriptor->set_int64(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
    descriptor->set_int64(CUDNN_ATTR_TENSOR_DIMENSIONS, shape);
    descriptor->set_int64(CUDNN_ATTR_TENSOR_STRIDES, strides);
    descriptor->set_flag(CUDNN_ATTR_TENSOR_IS_VIRTUAL, kind == Kind::virtual_);
    descriptor->set_flag(CUDNN_ATTR_TENSOR_IS_BY_VALUE, kind == Kind::by_value);
    descriptor->finalize();
    parts.push_back(descriptor);
    return {std::move(shape), std::move(strides), type, std::move(descriptor)};
  }
  Tensor virtual_tensor(Shape shape, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    Shape strides = packed_strides(shape);
    return tensor(next_id++, std::move(shape), std::move(strides), type, Kind::virtual_);
  }
  Tensor scalar(Id id) { return tensor(id, {1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, Kind::by_value); }

  void pointwise_into(const Tensor& y, cudnnPointwiseMode_t mode, const Tensor& x, const Tensor* b = nullptr,
                      const Tensor* t = nullptr, int axis = -1) {
    const cudnnDataType_t precision = mode == CUDNN_POINTWISE_GEN_INDEX ? CUDNN_DATA_INT32
                                      : y.type == CUDNN_DATA_BOOLEAN    ? CUDNN_DATA_BOOLEAN
                                                                        : CUDNN_DATA_FLOAT;
    auto what = std::make_shared<CudnnDescriptor>(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what->set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    what->set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    if (axis >= 0) what->set_int64(CUDNN_ATTR_POINTWISE_AXIS, axis);
    what->finalize();
    parts.push_back(what);

    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, *what);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *x.descriptor);
    if (b) operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b->descriptor);
    if (t) operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *t->descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *y.descriptor);
    operation.finalize();
    operations.push_back(std::move(operation));
  }
  Tensor pointwise(cudnnPointwiseMode_t mode, const Tensor& x) {
    Tensor y = virtual_tensor(x.shape);
    pointwise_into(y, mode, x);
    return y;
  }
  Tensor pointwise(cudnnPointwiseMode_t mode, const Tensor& x, const Tensor& b) {
    Tensor y = virtual_tensor(x.shape);
    pointwise_into(y, mode, x, &b);
    return y;
  }

  void reduce_into(const Tensor& y, cudnnReduceTensorOp_t mode, const Tensor& x) {
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    auto what = std::make_shared<CudnnDescriptor>(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    what->set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    what->set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
    what->finalize();
    parts.push_back(what);

    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x.descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *y.descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_REDUCTION_DESC, *what);
    operation.finalize();
    operations.push_back(std::move(operation));
  }
  /// Over the last dimension.
  Tensor reduce_rows(cudnnReduceTensorOp_t mode, const Tensor& x) {
    Tensor y = virtual_tensor({x.shape[0], x.shape[1], x.shape[2], 1});
    reduce_into(y, mode, x);
    return y;
  }

  void matmul_into(const Tensor& c, const Tensor& a, const Tensor& b) {
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    auto what = std::make_shared<CudnnDescriptor>(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    what->set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    what->finalize();
    parts.push_back(what);

    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *a.descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *b.descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *c.descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_MATMUL_DESC, *what);
    operation.finalize();
    operations.push_back(std::move(operation));
  }

  /// Its last two dimensions swapped.
  Tensor transposed(const Tensor& x, cudnnDataType_t type) {
    Tensor y = tensor(next_id++, swapped(x.shape), swapped(x.strides), type, Kind::virtual_);
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, *x.descriptor);
    operation.set_descriptor(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, *y.descriptor);
    operation.finalize();
    operations.push_back(std::move(operation));
    return y;
  }

  /// Row i sees columns up to i.
  Tensor causal(const Tensor& scores) {
    const Tensor minus_infinity_tensor = scalar(minus_infinity_id);
    const Tensor row = virtual_tensor(scores.shape, CUDNN_DATA_INT32);
    pointwise_into(row, CUDNN_POINTWISE_GEN_INDEX, scores, nullptr, nullptr, 2);
    const Tensor column = virtual_tensor(scores.shape, CUDNN_DATA_INT32);
    pointwise_into(column, CUDNN_POINTWISE_GEN_INDEX, scores, nullptr, nullptr, 3);
    const Tensor seen = virtual_tensor(scores.shape, CUDNN_DATA_BOOLEAN);
    pointwise_into(seen, CUDNN_POINTWISE_CMP_GE, row, &column);
    Tensor masked = virtual_tensor(scores.shape);
    pointwise_into(masked, CUDNN_POINTWISE_BINARY_SELECT, scores, &minus_infinity_tensor, &seen);
    return masked;
  }

  void build_forward(const AttentionPoint& p, cudnnDataType_t type);
  void build_backward(const AttentionPoint& p, cudnnDataType_t type);
};

void SdpaPlan::Graph::build_forward(const AttentionPoint& p, cudnnDataType_t type) {
  const std::int64_t b = p.batch, h = p.heads, g = p.kv_heads, s = p.query_length, t = p.key_length, d = p.head_dim;
  const Tensor q = tensor(q_id, {b, h, s, d}, interleaved_strides(h, s, d), type, Kind::in_memory);
  const Tensor k_transposed = tensor(k_id, {b, g, d, t}, swapped(interleaved_strides(g, t, d)), type, Kind::in_memory);
  const Tensor v = tensor(v_id, {b, g, t, d}, interleaved_strides(g, t, d), type, Kind::in_memory);
  const Tensor o = tensor(o_id, {b, h, s, d}, interleaved_strides(h, s, d), type, Kind::in_memory);
  const Tensor log_sum_exp = tensor(log_sum_exp_id, {b, h, s, 1}, {h * s, s, 1, 1}, CUDNN_DATA_FLOAT, Kind::in_memory);

  Tensor scores = virtual_tensor({b, h, s, t});
  matmul_into(scores, q, k_transposed);
  scores = pointwise(CUDNN_POINTWISE_MUL, scores, scalar(scale_id));
  if (p.causal) scores = causal(scores);

  const Tensor largest = reduce_rows(CUDNN_REDUCE_TENSOR_MAX, scores);
  const Tensor exponentials = pointwise(CUDNN_POINTWISE_EXP, pointwise(CUDNN_POINTWISE_SUB, scores, largest));
  const Tensor sum = reduce_rows(CUDNN_REDUCE_TENSOR_ADD, exponentials);
  const Tensor log_sum = pointwise(CUDNN_POINTWISE_LOG, sum);
  pointwise_into(log_sum_exp, CUDNN_POINTWISE_ADD, largest, &log_sum);
  const Tensor probabilities = virtual_tensor({b, h, s, t}, type);
  pointwise_into(probabilities, CUDNN_POINTWISE_DIV, exponentials, &sum);
  matmul_into(o, probabilities, v);
}

void SdpaPlan::Graph::build_backward(const AttentionPoint& p, cudnnDataType_t type) {
  const std::int64_t b = p.batch, h = p.heads, g = p.kv_heads, s = p.query_length, t = p.key_length, d = p.head_dim;
  const auto of_queries = [&](Id id) {
    return tensor(id, {b, h, s, d}, interleaved_strides(h, s, d), type, Kind::in_memory);
  };
  const auto of_keys = [&](Id id) {
    return tensor(id, {b, g, t, d}, interleaved_strides(g, t, d), type, Kind::in_memory);
  };
  const auto of_keys_transposed = [&](Id id) {
    return tensor(id, {b, g, d, t}, swapped(interleaved_strides(g, t, d)), type, Kind::in_memory);
  };
  const Tensor q = of_queries(q_id), o = of_queries(o_id), grad_o = of_queries(grad_o_id),
               grad_q = of_queries(grad_q_id);
  const Tensor k_transposed = of_keys_transposed(k_id), v_transposed = of_keys_transposed(v_id);
  const Tensor grad_k = of_keys(grad_k_id), grad_v = of_keys(grad_v_id);
  const Tensor log_sum_exp = tensor(log_sum_exp_id, {b, h, s, 1}, {h * s, s, 1, 1}, CUDNN_DATA_FLOAT, Kind::in_memory);
  const Tensor scale_tensor = scalar(scale_id);

  // rows of dO * O, summed
  const Tensor row_sum = reduce_rows(CUDNN_REDUCE_TENSOR_ADD, pointwise(CUDNN_POINTWISE_MUL, grad_o, o));
  const Tensor softmax_sum = tensor(softmax_sum_id, {b, h, s, 1}, {h * s, s, 1, 1}, CUDNN_DATA_FLOAT, Kind::in_memory);
  const Tensor one_tensor = scalar(one_id);
  pointwise_into(softmax_sum, CUDNN_POINTWISE_MUL, row_sum, &one_tensor);

  // P = exp(scale * Q K^T - log_sum_exp), and dV = P^T dO
  Tensor scores = virtual_tensor({b, h, s, t});
  matmul_into(scores, q, k_transposed);
  scores = pointwise(CUDNN_POINTWISE_MUL, scores, scale_tensor);
  scores = pointwise(CUDNN_POINTWISE_SUB, scores, log_sum_exp);
  if (p.causal) scores = causal(scores);
  const Tensor probabilities = pointwise(CUDNN_POINTWISE_EXP, scores);
  const auto sum_heads_into = [&](const Tensor& result, const Tensor& left, const Tensor& right) {
    if (h == g) return matmul_into(result, left, right);
    const Tensor of_all_heads = virtual_tensor({b, h, t, d}, type);
    matmul_into(of_all_heads, left, right);
    reduce_into(result, CUDNN_REDUCE_TENSOR_ADD, of_all_heads);
  };
  sum_heads_into(grad_v, transposed(probabilities, type), grad_o);

  // dS = scale * P * (dO V^T - softmax_sum), dK = dS^T Q, dQ = dS K
  Tensor grad_scores = virtual_tensor({b, h, s, t});
  matmul_into(grad_scores, grad_o, v_transposed);
  grad_scores = pointwise(CUDNN_POINTWISE_SUB, grad_scores, softmax_sum);
  grad_scores = pointwise(CUDNN_POINTWISE_MUL, grad_scores, probabilities);
  grad_scores = pointwise(CUDNN_POINTWISE_MUL, grad_scores, scale_tensor);
  sum_heads_into(grad_k, transposed(grad_scores, type), q);
  const Tensor k = transposed(k_transposed, type);
  const Tensor grad_q_sum =
      tensor(grad_q_sum_id, {b, h, s, d}, packed_strides({b, h, s, d}), CUDNN_DATA_FLOAT, Kind::in_memory);
  matmul_into(grad_q_sum, grad_scores, k);
  pointwise_into(grad_q, CUDNN_POINTWISE_IDENTITY, grad_q_sum);
}

// --- the plan ----------------------------------------------------------------------------------------------------

namespace {

cudnnDataType_t data_type(const std::string& precision) {
  if (precision == "bf16") return CUDNN_DATA_BFLOAT16;
  if (precision == "fp16") return CUDNN_DATA_HALF;
  throw Unsupported("attention in " + precision + " is not measured");
}

/// The configurations that cuDNN proposes, best first.
std::vector<CudnnDescriptor> proposed_engines(const CudnnDescriptor& graph, const CudnnDescriptor* device) {
  constexpr std::int64_t most = 16;
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set_descriptor(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
#if CUDNN_VERSION >= 90800
  if (device) heuristics.set_descriptor(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
#endif
  heuristics.finalize();

  std::vector<CudnnDescriptor> engines;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < most; ++i) raw.push_back(engines.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
  std::int64_t found = 0;
  CHECK_CUDNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                       most, &found, raw.data()));
  engines.erase(engines.begin() + std::min(found, most), engines.end());
  return engines;
}

}  // namespace

SdpaPlan::SdpaPlan(const AttentionPoint& point, cudnnHandle_t handle, const CudnnDescriptor* device) : handle_(handle) {
  // Before, the caller had to clear the sums of dQ.
  if (point.backward && cudnnGetVersion() < 90600) throw Unsupported("the backward pass needs cuDNN 9.6");
  const auto graph = std::make_shared<Graph>();
  graph->scale = static_cast<float>(1 / std::sqrt(static_cast<double>(point.head_dim)));
  if (cudnnGetVersion() < 91000) graph->minus_infinity = std::numeric_limits<float>::lowest();
  graph->causal_mask = point.causal;
  graph->backward = point.backward;
  if (point.backward)
    graph->build_backward(point, data_type(point.precision));
  else
    graph->build_forward(point, data_type(point.precision));
  graph_ = graph;

  CudnnDescriptor operation_graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (handle) operation_graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const CudnnDescriptor& operation : graph->operations) operations.push_back(operation.get());
  operation_graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                      static_cast<std::int64_t>(operations.size()), operations.data());
  operation_graph.finalize();

  std::string reason = "no kernel for this shape";
  for (const CudnnDescriptor& engine : proposed_engines(operation_graph, device)) {
    auto plan = std::make_unique<CudnnDescriptor>(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    try {
      if (handle) plan->set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
      plan->set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
#if CUDNN_VERSION >= 90800
      if (device) plan->set_descriptor(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
#endif
      plan->finalize();
    } catch (const std::runtime_error& refused) {
      reason = refused.what();
      continue;
    }
    plan_ = std::move(plan);
    break;
  }
  if (!plan_) throw Unsupported("cuDNN has no kernel: " + reason);

  std::int64_t bytes = 0, count = 0;
  CHECK_CUDNN(cudnnBackendGetAttribute(plan_->get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                       &count, &bytes));
  const auto rounded = [](std::int64_t size) { return static_cast<std::size_t>((size + 255) / 256 * 256); };
  engine_workspace_ = rounded(bytes);
  if (point.backward) {
    grad_q_sum_bytes_ = rounded(point.batch * point.heads * point.query_length * point.head_dim * 4);
    softmax_sum_bytes_ = rounded(point.batch * point.heads * point.query_length * 4);
  }
}

CudnnDescriptor SdpaPlan::bind(const SdpaBuffers& buffers) const {
  auto* const scratch = static_cast<char*>(buffers.workspace) + engine_workspace_;
  const Graph& graph = *graph_;
  std::vector<std::int64_t> ids;
  std::vector<const void*> addresses;
  const auto add = [&](Id id, const void* address) {
    ids.push_back(id);
    addresses.push_back(address);
  };
  add(q_id, buffers.q);
  add(k_id, buffers.k);
  add(v_id, buffers.v);
  add(o_id, buffers.o);
  add(log_sum_exp_id, buffers.log_sum_exp);
  add(scale_id, &graph.scale);
  if (graph.causal_mask) add(minus_infinity_id, &graph.minus_infinity);
  if (graph.backward) {
    add(one_id, &graph.one);
    add(grad_o_id, buffers.grad_o);
    add(grad_q_id, buffers.grad_q);
    add(grad_k_id, buffers.grad_k);
    add(grad_v_id, buffers.grad_v);
    add(grad_q_sum_id, scratch);
    add(softmax_sum_id, scratch + grad_q_sum_bytes_);
  }

  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_int64(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<std::int64_t>(addresses.size()),
           addresses.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &buffers.workspace);
  pack.finalize();
  return pack;
}

void SdpaPlan::run(const CudnnDescriptor& bound) const {
  CHECK_CUDNN(cudnnBackendExecute(handle_, plan_->get(), bound.get()));
}

}  // namespace stepcast::measure
