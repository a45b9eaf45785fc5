#pragma once
/// The vocabulary of work: what one rank executes, one kernel or collective at a time.
///
/// Shapes are those of one rank after sharding. m is the token dimension of the forward pass; a multiply-add is two
/// FLOPs.

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "simulator/profiles/precision.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// Why a kernel runs.
enum class Pass : std::uint8_t { forward, recompute, backward_input, backward_weight, step };
std::string_view name_of(Pass pass);

/// cuBLAS layouts of the three GEMMs of a linear layer: forward TN, input gradient NN, weight gradient NT.
enum class Layout : std::uint8_t { tn, nn, nt };

/// `batch` independent products [m, k] x [k, n].
struct Gemm {
  double m = 0, n = 0, k = 0;
  double batch = 1;
  Precision precision = Precision::bf16;
  Layout layout = Layout::tn;
  bool accumulate_fp32 = false;  ///< adds into an fp32 output (Megatron's fused gradient accumulation)

  Flops flops() const { return Flops(2 * m * n * k * batch); }
  Bytes operand_bytes() const { return Bytes(batch * (m * k + k * n) * element_bytes(precision)); }
  Bytes output_bytes() const;  ///< what is read and written of the output
};

/// One launch that multiplies for every local expert: [m, k] x [k, n] each, m the expert's tokens (their mean).
struct GroupedGemm {
  double experts = 1;
  double m = 0, n = 0, k = 0;  ///< of one expert
  Precision precision = Precision::bf16;
  Layout layout = Layout::tn;
  bool accumulate_fp32 = false;

  /// The same work as a batched product.
  Gemm batched() const { return {m, n, k, experts, precision, layout, accumulate_fp32}; }
  Flops flops() const { return batched().flops(); }
  Bytes operand_bytes() const { return batched().operand_bytes(); }
  Bytes output_bytes() const { return batched().output_bytes(); }
};

/// One fused attention kernel over `sequences` sequences of local heads.
struct AttentionKernel {
  double sequences = 0;
  double heads = 0, kv_heads = 0;
  double query_length = 0, key_length = 0;
  double head_dim_qk = 0, head_dim_v = 0;
  bool causal = true;
  double window = 0;  ///< sliding window in tokens; 0: none
  bool backward = false;
  bool skips_masked = true;  ///< masked blocks are not executed
  std::string_view kernel;   ///< generation: a key of AttentionProfile::kernels
  Precision precision = Precision::bf16;

  /// Share of the full square of scores that is executed, diagonal tiles counted whole.
  double executed_fraction() const;
  /// Executed: 2 matrix products forward, 5 backward (scores are computed again), masked blocks left out.
  Flops flops() const;
  /// Read and written: every tensor once, since scores stay on chip.
  Bytes bytes() const;
};

/// Kernels bound by memory traffic: norms, activations, residuals, casts, softmax, optimizer.
struct MemoryBound {
  Bytes bytes;  ///< read and written, all kernels together
  double kernels = 1;
  bool warm = false;  ///< its tensors were touched just before: what the L2 can hold of them lies there
};

enum class CollectiveKind : std::uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  broadcast,
  reduce,
  scatter,
  gather,
  send_recv
};
std::string_view name_of(CollectiveKind kind);

/// Which ranks take part. Experts have a grid of their own over the ranks of a stage (Megatron's parallel folding):
/// expert tensor fastest, then expert, then expert data.
enum class GroupKind : std::uint8_t {
  tensor,
  context,
  data,           ///< copies of the dense parameters: data x context parallel
  expert,         ///< every expert of a layer once
  expert_tensor,  ///< shares of the same experts
  expert_data,    ///< copies of the same experts
  embedding,
  world,
  data_inner,     ///< a part of `data`: what shards in hybrid sharding, or the copies inside a node (ZeRO++)
  data_outer,     ///< one of each such part
  context_inner,  ///< a part of `context`: what exchanges heads in hybrid context parallelism
  context_outer,  ///< one of each such part: the ring
  tensor_row,     ///< of a grid of tensor-parallel ranks (2D, 2.5D, 3D)
  tensor_column,
  tensor_depth
};
inline constexpr int group_kind_count = 15;

/// What one rank sends when tokens go to their experts, by the path that it takes.
struct ExchangeBytes {
  Bytes inside;   ///< over the links of its own domain, what it forwards for others included
  Bytes outside;  ///< through the network
};

/// @see collectives/: `size` is NCCL's convention of the whole tensor: the buffer of an all_reduce, the gathered
/// tensor of an all_gather or reduce_scatter.
struct Collective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  GroupKind group = GroupKind::tensor;
  Bytes size;
  std::optional<ExchangeBytes> exchange = {};  ///< all_to_all of tokens: in place of an even share for every rank
};

/// Kernels, collectives of tensor and context parallelism, and exchanges of tokens are launched to a queue each.
enum class Lane : std::uint8_t { compute, comm, expert };
inline constexpr std::size_t lane_count = 3;

struct LocalOp {
  std::string_view name;  ///< static text: "linear_qkv"
  Pass pass = Pass::forward;
  std::variant<Gemm, AttentionKernel, MemoryBound, Collective, GroupedGemm> work;
  Lane lane = Lane::compute;
  int after = -1;      ///< index in the same list of an op of another lane that must have finished
  double stretch = 1;  ///< of its time, because an exchange beside it takes multiprocessors
};

/// Launched in this order; ops of one lane run in order.
using OpList = std::vector<LocalOp>;

}  // namespace stepcast
