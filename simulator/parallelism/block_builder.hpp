#pragma once
/// Expands one block operator by operator: the forward list, the backward list and the bytes kept between them.
///
/// Tensor parallelism is Megatron's: a column-split linear starts a region (its input is gathered under sequence
/// parallelism), a row-split linear ends it (its partial sums are reduced). With sequence parallelism a layer runs
/// 2 all_gather + 2 reduce_scatter forward and 4 all_gather + 2 reduce_scatter backward of a [T, h] tensor; without,
/// 2 + 2 all_reduce (Korthikanti et al. 2022, section 4.2.2).

#include "simulator/parallelism/shard.hpp"

namespace stepcast {

/// Rows that the experts of the busiest rank work on in one microbatch: with a capacity factor every expert's share is
/// padded to it, so that all ranks have the same.
double expert_rows(const Sharding& sharding, const Routing& routing);

/// Experts that a rank holds, or shares with its expert-tensor-parallel group.
double local_experts(const Sharding& sharding, const Routing& routing);

/// Tokens whose keys and values an attention runs over.
inline double key_length(const CoreAttentionOp& attention, const Sharding& s) {
  return attention.crosses ? s.encoded_length : s.sequence_length;
}

/// Scores of one microbatch on one rank: [b, a/t, s, s].
inline double score_elements(const CoreAttentionOp& attention, const Sharding& s) {
  return s.sequences * static_cast<double>(attention.heads) / s.tensor * s.sequence_length * key_length(attention, s);
}

/// What the softmax of unfused attention moves, in bytes a score, and in how many kernels of each pass.
struct SoftmaxTraffic {
  double forward, backward;
  double kernels;
};

/// Of Megatron's kernel for causal masks (scale, mask and softmax in one): the lower triangle is read, all is written.
/// It takes 16-bit scores of at most 2,048 keys whose number of matrices is a multiple of four; others go to fp32, are
/// scaled, masked, normalised and brought back by kernels of their own (megatron/model/fused_softmax.py of 2021-22,
/// is_kernel_available; scaled_upper_triang_masked_softmax.h).
SoftmaxTraffic softmax_traffic(const CoreAttentionOp& attention, const Sharding& sharding);

/// Elements of a norm's input on one rank.
double norm_elements(const NormOp& norm, double hidden, const Sharding& sharding);

/// Rows that an operator runs on where its input is whole, and those that a rank stores.
double rows_inside(Rows rows, const Sharding& sharding);
double rows_stored(Rows rows, const Sharding& sharding);

inline double width_or(std::int64_t width, double hidden) { return width > 0 ? static_cast<double>(width) : hidden; }

struct SavedBytes;
struct Kept;

class BlockBuilder {
 public:
  BlockBuilder(const Block& block, double hidden, const Sharding& sharding, bool recomputed);
  LocalBlock build();

 private:
  // Forward, one overload an operator; `pass` is forward or recompute.
  void forward(const ModelOp& op, Pass pass, OpList& ops);
  void forward(const NormOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const LinearOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const RotaryOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const CoreAttentionOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const ActivationOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const ResidualOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const EmbeddingOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const LmHeadOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const CrossEntropyOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const RouterOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const DispatchOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const ExpertLinearOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const CombineOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const AdapterOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const ConvolutionOp&, std::string_view name, Pass pass, OpList& ops);
  void forward(const StateSpaceOp&, std::string_view name, Pass pass, OpList& ops);

  void backward(const NormOp&, std::string_view name, OpList& ops);
  void backward(const LinearOp&, std::string_view name, OpList& ops);
  void backward(const RotaryOp&, std::string_view name, OpList& ops);
  void backward(const CoreAttentionOp&, std::string_view name, OpList& ops);
  void backward(const ActivationOp&, std::string_view name, OpList& ops);
  void backward(const ResidualOp&, std::string_view name, OpList& ops);
  void backward(const EmbeddingOp&, std::string_view name, OpList& ops);
  void backward(const LmHeadOp&, std::string_view name, OpList& ops);
  void backward(const CrossEntropyOp&, std::string_view name, OpList& ops);
  void backward(const RouterOp&, std::string_view name, OpList& ops);
  void backward(const DispatchOp&, std::string_view name, OpList& ops);
  void backward(const ExpertLinearOp&, std::string_view name, OpList& ops);
  void backward(const CombineOp&, std::string_view name, OpList& ops);
  void backward(const AdapterOp&, std::string_view name, OpList& ops);
  void backward(const ConvolutionOp&, std::string_view name, OpList& ops);
  void backward(const StateSpaceOp&, std::string_view name, OpList& ops);

  std::size_t first_with_backward() const;
  void recompute_forward(OpList& ops);
  void recompute_selected(OpList& ops);
  void recompute_modules(std::size_t last, OpList& ops);
  bool runs_again(std::size_t op) const;
  double recomputed_share(const LocalBlock& local) const;
  void send_to_experts(const Routing&, double element, Pass pass, OpList& ops);
  void send_to_tokens(const Routing&, Pass pass, OpList& ops);
  bool waits_for_exchange(const ModelOp& op) const;
  void forward_beside(bool first_half, Pass pass, OpList& ops);
  void backward_beside(bool first_half, OpList& ops);
  void backward_at(std::size_t op, OpList& ops);
  void exchange_tokens(std::string_view name, const Collective& exchange, Pass pass, OpList& ops);
  void expert_tensor_collective(const Routing&, std::string_view name, CollectiveKind kind, Pass pass, OpList& ops);
  // Context parallelism (context_attention.cpp).
  AttentionKernel fused_attention(const CoreAttentionOp& attention, bool backward) const;
  void context_attention(const CoreAttentionOp&, std::string_view name, Pass pass, bool backward, OpList& ops);
  void ring_attention(const CoreAttentionOp&, std::string_view name, Pass pass, bool backward, OpList& ops);
  void gathered_attention(const CoreAttentionOp&, std::string_view name, Pass pass, bool backward, OpList& ops);
  void torch_ring_attention(const CoreAttentionOp&, std::string_view name, Pass pass, bool backward, OpList& ops);
  double sent_width(const CoreAttentionOp& attention) const;
  void exchange_heads(double width, Pass pass, OpList& ops);
  void blocking_context(OpList& ops, std::string_view name, Pass pass, CollectiveKind kind, GroupKind group,
                        double bytes);

  // Ranks in a grid (tensor_grid.cpp).
  struct GridProduct;
  GridProduct grid_product(const LinearOp& linear) const;
  void grid_transfer(OpList& ops, std::string_view name, Pass pass, GroupKind axis, double bytes);
  void grid_forward(const LinearOp& linear, std::string_view name, Pass pass, OpList& ops);
  void grid_backward(const LinearOp& linear, std::string_view name, OpList& ops);
  void grid_statistics(Pass pass, OpList& ops);

  // Products cut into pieces beside their transfers (tensor_overlap.cpp).
  bool overlaps_products() const { return s_.tp_overlap == "userbuffers" || s_.tp_overlap == "async"; }
  void gathered_products(OpList& ops, std::string_view name, Pass pass, double bytes,
                         const std::vector<Gemm>& products);
  void scattered_products(OpList& ops, std::string_view name, Pass pass, double bytes,
                          const std::vector<Gemm>& products);

  // Memory, in bytes.
  struct HeldByOp {
    double all = 0;      ///< for its backward pass
    double stays = 0;    ///< of these, from the forward pass on
    bool again = false;  ///< the rest is computed again, together with its neighbours'
  };
  struct Held {
    std::vector<HeldByOp> ops;
    double rest = 0;  ///< of no operator in particular
  };
  Held held_by_ops() const;
  void account_memory(LocalBlock& local) const;
  Kept kept_by(std::size_t index, SavedBytes& saved) const;

  // Emission.
  void kernel(OpList& ops, std::string_view name, Pass pass, Gemm gemm);
  void kernel(OpList& ops, std::string_view name, Pass pass, GroupedGemm gemm);
  void memory(OpList& ops, std::string_view name, Pass pass, double bytes, double kernels = 1);
  /// A collective of the tensor group that the next kernel waits for.
  void blocking(OpList& ops, std::string_view name, Pass pass, CollectiveKind kind, double bytes);
  /// A collective that runs beside the following kernels; the one that needs it says so with `await`.
  int background(OpList& ops, std::string_view name, Pass pass, CollectiveKind kind, double bytes,
                 GroupKind group = GroupKind::tensor);
  void await(int op) { pending_ = op; }
  /// The next op of a lane waits for `op`, the one after it for what it would have waited for.
  void await_first(int op) {
    later_ = pending_;
    pending_ = op;
  }
  void push(OpList& ops, LocalOp op);

  void quantise(OpList& ops, Pass pass, double tensor_elements, double weight_elements);
  void quantise_backward(OpList& ops, double gradient_elements, double input_elements, double weight_elements);
  void rescale(OpList& ops, Pass pass, double result_elements);
  void weight_gradient(OpList& ops, std::string_view name, double rows, double columns, double tokens,
                       Precision precision);
  void accumulate_weight_gradient(OpList& ops, double elements);
  struct LocalLinear {
    double in;
    std::vector<double> outs;
    TensorSplit split;
    bool bias, starts_region;
    double tokens;
    double gathers = 0;  ///< bytes of the output gradient, when its gather overlaps the product
    bool wide = false;   ///< not in fp8 (the LM head)
  };
  void linear_backward(OpList& ops, std::string_view name, const LocalLinear& linear);
  std::vector<double> local_outputs(const LinearOp& linear) const;
  double rows_of(const Routing& routing) const { return routing.experts > 0 ? expert_rows(s_, routing) : T_; }
  double width_of(const ActivationOp& activation) const;
  Precision linear_precision() const { return s_.precision; }
  Precision wide_precision() const { return s_.precision == Precision::fp8 ? Precision::bf16 : s_.precision; }

  const Block& block_;
  const std::int64_t hidden_;
  const double h_;
  const Sharding& s_;
  const Framework& framework_;
  const bool recomputed_;
  const double t_;               ///< tensor-parallel ranks
  const double T_;               ///< tokens inside a region
  const double T_sp_;            ///< tokens stored outside
  const double e_;               ///< bytes of an activation
  bool frozen_ = false;          ///< the operator that runs backward has no weight gradients
  bool passes_gradient_ = true;  ///< something before it is trained: it has an input gradient
  int later_ = -1;               ///< what the op after the next one waits for
  int pending_ = -1;             ///< op of the other lane that the next op of a lane waits for
};

}  // namespace stepcast
