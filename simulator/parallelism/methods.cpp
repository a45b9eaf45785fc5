#include "simulator/parallelism/methods.hpp"

namespace stepcast {

std::span<const ParallelMethod> list_parallel_methods() {
  static constexpr ParallelMethod rows[] = {
      {"zero", "0", "replicas: gradients are all-reduced (DDP)"},
      {"zero", "1",
       "the optimizer is sharded (Megatron's distributed optimizer); with shard_group in several instances"},
      {"zero", "2", "and the gradients (FSDP's SHARD_GRAD_OP)"},
      {"zero", "3", "and the parameters (FSDP's FULL_SHARD); with shard_group hybrid (HSDP, MiCS)"},
      {"tensor_grid", "1d", "a matrix by columns, the next by rows (Megatron-LM)"},
      {"tensor_grid", "2d", "q x q blocks, SUMMA (Colossal-AI; Xu et al. 2021, arXiv 2104.05343)"},
      {"tensor_grid", "2.5d", "tensor_depth layers of q x q blocks (Wang et al. 2021, arXiv 2105.14500)"},
      {"tensor_grid", "3d", "a cube of q x q x q ranks (Bian et al. 2021, arXiv 2105.14450)"},
      {"tp_overlap", "userbuffers", "ring exchange, pipelined and bulk, by product (Transformer Engine)"},
      {"tp_overlap", "async", "products cut by rank, each part beside the next one's transfer (PyTorch async TP)"},
      {"cp_comm_type", "p2p", "keys and values go round a ring, causal halves balanced (Ring Attention)"},
      {"cp_comm_type", "all_gather", "keys and values are gathered before the attention (Llama 3)"},
      {"cp_comm_type", "torch_ring",
       "gathered keys and values, fp32 gradients go round (PyTorch's context_parallel, allgather)"},
      {"cp_comm_type", "a2a", "heads for sequence and back (DeepSpeed-Ulysses, arXiv 2309.14509)"},
      {"cp_comm_type", "a2a+p2p",
       "heads among context_parallel_a2a neighbours, a ring over these (USP, arXiv 2405.07719)"},
  };
  return rows;
}

}  // namespace stepcast
