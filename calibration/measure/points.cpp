#include "calibration/measure/points.hpp"

#include <algorithm>
#include <set>

namespace stepcast::measure {
namespace {

constexpr std::int64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;

/// Every `step`-th, the first included.
Points thinned(const Points& points, std::size_t step) {
  Points kept;
  for (std::size_t i = 0; i < points.size(); i += step) kept.push_back(points[i]);
  return kept;
}

Points for_scope(Points points, const Scope& scope, std::size_t step) {
  return scope.quick ? thinned(points, step) : std::move(points);
}

// --- GEMM --------------------------------------------------------------------------------------------------------

/// A weight matrix as one tensor-parallel rank holds it: [outputs, inputs].
struct Weight {
  std::int64_t outputs, inputs;
};

const std::vector<Weight>& weights() {
  static const std::vector<Weight> table{
      {12288, 4096}, {4096, 4096},  {22016, 4096}, {4096, 11008},  // Llama-2 7B: qkv, projection, gate and up, down
      {6144, 4096},  {28672, 4096}, {4096, 14336},                 // Llama-3 8B (grouped queries)
      {7680, 5120},  {5120, 2560},  {13824, 5120}, {5120, 6912},   // Llama-2 13B, tensor-parallel 2
      {2304, 6144},  {6144, 768},   {3072, 6144},  {6144, 3072},   // GPT 22B, tensor-parallel 8
      {1280, 8192},  {8192, 1024},  {7168, 8192},  {8192, 3584},   // Llama-3 70B, tensor-parallel 8
      {4608, 12288}, {12288, 1536}, {6144, 12288}, {12288, 6144},  // GPT-3 175B, tensor-parallel 8
      {32000, 4096}, {16032, 8192}, {6400, 12288},                 // vocabularies: 7B, 70B and 175B over 8
  };
  return table;
}

/// Those that are measured at other token counts, too.
const std::vector<Weight>& swept_weights() {
  static const std::vector<Weight> table{{22016, 4096}, {4096, 4096}, {7168, 8192}, {12288, 1536}, {6144, 12288}};
  return table;
}

GemmPoint forward(Weight w, std::int64_t tokens, const char* precision = "bf16") {
  return {tokens, w.outputs, w.inputs, 1, "tn", precision, false};
}
GemmPoint input_gradient(Weight w, std::int64_t tokens, const char* precision = "bf16") {
  return {tokens, w.inputs, w.outputs, 1, "nn", precision, false};
}
GemmPoint weight_gradient(Weight w, std::int64_t tokens, const char* precision = "bf16", bool accumulate_fp32 = true) {
  return {w.outputs, w.inputs, tokens, 1, "nt", precision, accumulate_fp32};
}

}  // namespace

Points gemm_points(const Scope& scope) {
  Points points;
  std::set<std::string> seen;
  const auto add = [&](const GemmPoint& point) {
    Measurement measurement;
    measurement.point = point;
    if (seen.insert(key_of(measurement)).second) points.emplace_back(point);
  };

  for (const Weight& w : weights()) {
    add(forward(w, 4096));
    add(input_gradient(w, 4096));
    add(weight_gradient(w, 4096));
  }
  for (const Weight& w : swept_weights())
    for (const std::int64_t tokens : {1024, 2048, 8192, 16384}) add(forward(w, tokens));
  for (const Weight& w : {swept_weights()[0], swept_weights()[2], swept_weights()[4]})
    for (const std::int64_t tokens : {2048, 8192}) {
      add(input_gradient(w, tokens));
      add(weight_gradient(w, tokens));
    }
  for (const Weight& w : {swept_weights()[1], swept_weights()[2], swept_weights()[4]})
    add(weight_gradient(w, 4096, "bf16", false));

  for (const std::int64_t n : {512, 1024, 2048, 4096, 8192, 16384}) add({n, n, n, 1, "tn", "bf16", false});
  for (const std::int64_t tokens : {64, 128, 256, 512}) add(forward({4096, 4096}, tokens));  // decode, small experts
  for (const std::int64_t tokens : {128, 512}) add(forward({14336, 4096}, tokens));
  // Fit no tile, or are not a multiple of 16 bytes: Llama's formula for the width, GPT-2's vocabulary and widths.
  for (const Weight& w : {Weight{10922, 4096}, {4096, 10922}, {50257, 1600}, {6400, 1600}, {4095, 4096}, {4104, 4104}})
    add(forward(w, 4096));
  add(forward({4096, 4096}, 4097));

  // Unfused attention of 32 heads: Q K^T, its input gradients, and the product with V.
  for (const std::int64_t s : {2048, 4096})
    for (const std::int64_t head_dim : {64, 128}) {
      add({s, s, head_dim, 32, "tn", "bf16", false});
      add({s, head_dim, s, 32, "nn", "bf16", false});
      if (s == 2048) add({s, head_dim, s, 32, "nt", "bf16", false});
    }

  for (const char* precision : {"fp16", "tf32"}) {
    for (const Weight& w : {swept_weights()[1], swept_weights()[0], swept_weights()[2]})
      add(forward(w, 4096, precision));
    add(input_gradient(swept_weights()[4], 4096, precision));
    add(weight_gradient(swept_weights()[4], 4096, precision));
  }
  for (const std::int64_t n : {2048, 4096}) add({n, n, n, 1, "tn", "fp32", false});

  if (scope.fp8) {
    // The kernels take TN only: frameworks transpose the operands of the gradients.
    for (const Weight& w : weights())
      if (w.outputs >= 4096) add(forward(w, 4096, "fp8"));
    for (const Weight& w : swept_weights()) {
      add(forward(w, 16384, "fp8"));
      GemmPoint gradient = weight_gradient(w, 4096, "fp8");
      gradient.layout = "tn";
      add(gradient);
    }
  }
  return for_scope(points, scope, 8);
}

// --- attention ---------------------------------------------------------------------------------------------------

Points attention_points(const Scope& scope) {
  struct Heads {
    std::int64_t heads, kv_heads, head_dim;
    std::vector<std::int64_t> lengths;
  };
  constexpr std::int64_t tokens = 4096;  // at least, so that the GPU is filled
  const std::vector<Heads> table{
      {32, 32, 128, {1024, 2048, 4096, 8192, 16384}},  // 7B
      {32, 8, 128, {2048, 4096, 8192, 32768}},         // 8B
      {12, 12, 128, {2048, 4096}},                     // 175B, tensor-parallel 8
      {8, 1, 128, {4096, 8192}},                       // 70B, tensor-parallel 8
      {16, 16, 64, {1024, 2048, 4096}},
      {8, 8, 256, {4096}},
  };
  Points points;
  for (const bool backward : {false, true}) {
    for (const Heads& row : table)
      for (const std::int64_t length : row.lengths)
        points.emplace_back(AttentionPoint{std::max<std::int64_t>(1, tokens / length), row.heads, row.kv_heads, length,
                                           length, row.head_dim, true, backward, "bf16", "cudnn"});
    for (const std::int64_t length : {2048, 4096})
      points.emplace_back(
          AttentionPoint{tokens / length, 32, 32, length, length, 128, false, backward, "bf16", "cudnn"});
    points.emplace_back(AttentionPoint{2, 16, 16, 2048, 2048, 64, false, backward, "bf16", "cudnn"});
    points.emplace_back(AttentionPoint{1, 32, 32, 4096, 4096, 128, true, backward, "fp16", "cudnn"});
  }
  return for_scope(points, scope, 6);
}

// --- memory ------------------------------------------------------------------------------------------------------

std::int64_t row_bytes(const std::string& op, std::int64_t width) {
  constexpr std::int64_t bf16 = 2, fp32 = 4;
  if (op == "read" || op == "write") return 1 * width;
  if (op == "copy") return 2 * width;
  if (op == "swiglu" || op == "residual_add") return 3 * bf16 * width;                  // a, b -> c
  if (op == "layernorm_backward" || op == "rmsnorm_backward") return 3 * bf16 * width;  // x, dy -> dx
  if (op == "adam") return (4 * fp32 + 3 * fp32 + bf16) * width;                        // w, m, v, g -> w, m, v, w16
  return 2 * bf16 * width;                                                              // x -> y
}

Points memory_points(const Scope& scope) {
  Points points;
  for (const char* op : {"copy", "read", "write"})
    for (std::int64_t bytes = 64 * kib; bytes <= gib; bytes *= 4) points.emplace_back(MemoryPoint{op, bytes, {}});
  for (const char* op : {"gelu", "swiglu", "residual_add", "adam"})
    for (const std::int64_t elements : {256 * kib, 2 * mib, 16 * mib, 64 * mib})
      points.emplace_back(MemoryPoint{op, elements * row_bytes(op, 1), {}});
  struct Rows {
    const char* op;
    std::vector<std::int64_t> widths;
  };
  const std::vector<Rows> by_rows{{"layernorm", {1024, 4096, 12288}}, {"layernorm_backward", {1024, 4096, 12288}},
                                  {"rmsnorm", {4096, 8192}},          {"rmsnorm_backward", {4096, 8192}},
                                  {"softmax", {2048, 4096}},          {"cross_entropy", {16032, 32000}}};
  for (const Rows& kernel : by_rows)
    for (const std::int64_t width : kernel.widths)
      for (const std::int64_t rows : {512, 4096, 16384})
        points.emplace_back(MemoryPoint{kernel.op, rows * row_bytes(kernel.op, width), width});
  return for_scope(points, scope, 5);
}

// --- the rest ----------------------------------------------------------------------------------------------------

Points launch_points(const Scope&) {
  Points points;
  for (const char* mode : {"stream", "graph"})
    for (const char* quantity : {"call", "empty", "gap"}) points.emplace_back(LaunchPoint{mode, quantity});
  return points;
}

Points copy_points(const Scope& scope) {
  Points points;
  for (const auto& [from, to] : {std::pair("host", "device"), std::pair("device", "host"),
                                 std::pair("device", "device"), std::pair("device", "peer")}) {
    if (std::string(to) == "peer" && scope.gpus < 2) continue;
    for (std::int64_t bytes = 4 * kib; bytes <= 256 * mib; bytes *= 16) points.emplace_back(CopyPoint{from, to, bytes});
  }
  return for_scope(points, scope, 3);
}

Points collective_points(const Scope& scope) {
  Points points;
  if (scope.ranks < 2) return points;
  for (const bool in_place : {false, true})
    for (const char* op : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv", "broadcast"}) {
      if (in_place && std::string(op) != "all_reduce") continue;
      for (std::int64_t bytes = kib; bytes <= gib; bytes *= 4)
        points.emplace_back(CollectivePoint{op, bytes, scope.ranks, scope.nodes, in_place, "fp32", 0, 0});
    }
  return for_scope(points, scope, 3);
}

Points overlap_points(const Scope& scope) {
  Points points;
  const auto add = [&](std::int64_t m, std::int64_t n, std::int64_t k, const char* other, std::int64_t bytes,
                       std::int64_t sms, std::int64_t ranks) {
    if (sms < scope.sms) points.emplace_back(OverlapPoint{m, n, k, "bf16", other, bytes, sms, ranks, 0, 0, 0});
  };
  for (const std::int64_t sms : {2, 4, 8, 16, 24, 32}) add(8192, 8192, 8192, "copy", 256 * mib, sms, 1);
  for (const std::int64_t sms : {8, 24}) {
    add(4096, 4608, 12288, "copy", 256 * mib, sms, 1);
    add(8192, 8192, 8192, "read", 256 * mib, sms, 1);
  }
  if (scope.gpus >= 2)
    for (const char* op : {"all_reduce", "all_gather", "reduce_scatter"})
      for (const std::int64_t bytes : {16 * mib, 256 * mib}) add(8192, 8192, 8192, op, bytes, 0, scope.gpus);
  return for_scope(points, scope, 4);
}

Points clock_points(const Scope& scope) {
  struct Load {
    const char *load, *data, *precision;
    int seconds;
  };
  std::vector<Load> loads{{"gemm", "normal", "bf16", 10},
                          {"gemm", "zeros", "bf16", 4},
                          {"memory", "normal", "bf16", 4},
                          {"mixed", "normal", "bf16", 6}};
  if (scope.fp8) loads.push_back({"gemm", "normal", "fp8", 5});
  if (scope.quick) loads = {{"gemm", "normal", "bf16", 3}};
  Points points;
  for (const Load& load : loads)
    for (int second = 1; second <= load.seconds; ++second)
      points.emplace_back(ClockPoint{load.load, load.data, second, 0, 0, load.precision});
  return points;
}

}  // namespace stepcast::measure
