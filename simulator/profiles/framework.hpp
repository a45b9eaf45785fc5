#pragma once
/// What a training framework does with the same mathematics: what it fuses, overlaps, launches and stores.

#include <map>
#include <optional>
#include <string>

#include "simulator/profiles/sourced.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

enum class LaunchMode { eager, cuda_graph, compiled };

/// Type of the gradient that microbatches are summed into.
enum class GradientType {
  fp32,
  parameter,        ///< as autograd makes it
  reduced,          ///< as it goes into the data-parallel reduction
  fp32_if_bf16,     ///< fp32 under bf16, as autograd makes it under fp16
  fp32_beside_bf16  ///< likewise, and autograd's gradients stay until the pass is over
};

struct Framework {
  std::string name;
  std::string description;
  std::string family;  ///< megatron | deepspeed | pytorch | xla | other: whose stack it is, for comparing errors

  // Kernels.
  Sourced<std::string>
      attention_kernel;  ///< flash1 | flash2 | flash3 | triton | cudnn | unfused: what `flash_attention: true` means
  Sourced<bool> flash_attention;         ///< when the run does not say
  Sourced<bool> fused_softmax;           ///< scale + mask + softmax in one kernel (unfused attention only)
  Sourced<bool> skips_causal_blocks;     ///< fused attention does not execute the masked half
  Sourced<bool> fused_bias_activation;   ///< bias + GELU / gate in one kernel
  Sourced<bool> fused_bias_dropout_add;  ///< bias + dropout + residual in one kernel
  Sourced<double> norm_forward_bytes;    ///< bytes moved per element of the hidden state, one normalisation
  Sourced<double> norm_backward_bytes;
  Sourced<double> norm_saved_bytes;            ///< bytes per element that an RMSNorm keeps for its backward pass
  Sourced<bool> activation_gradient_in_place;  ///< the gradient of a gated activation overwrites its input
  Sourced<bool> fused_rotary;                  ///< one kernel
  Sourced<bool> separate_qkv;                  ///< three GEMMs for query, key, value
  Sourced<bool> repeats_key_value_heads;  ///< to the queries' number before attention: what context parallelism sends
  Sourced<bool> separate_gate;            ///< two GEMMs for the gate and up projections
  Sourced<bool> gradient_accumulation_fusion;  ///< weight-gradient GEMMs add into the fp32 gradient themselves
  Sourced<double> cross_entropy_bytes;         ///< bytes moved per logit, forward and backward together
  Sourced<double> cross_entropy_memory;        ///< bytes alive per logit at the peak

  Sourced<double> dropout;  ///< when the model does not say

  // Precision of the data-parallel reduction when the plan does not say: fp32 | bf16 | fp16 | parameter.
  Sourced<std::string> grad_reduce_dtype;
  Sourced<GradientType> gradient_dtype;  ///< of the accumulated gradient

  // Overlap, when the run does not say.
  Sourced<bool> overlap_grad_reduce;
  Sourced<bool> overlap_param_gather;
  Sourced<bool> overlap_tp;
  Sourced<bool> overlap_p2p;            ///< interleaved schedules only; without virtual stages p2p blocks
  Sourced<std::string> tp_overlap;      ///< how overlap_tp overlaps: a name in the table of tensor overlaps
  Sourced<double> p2p_overlap_exposed;  ///< share of a pipeline transfer that overlap leaves exposed
  Sourced<bool> overlap_tp_backward;    ///< input-gradient collectives run under the weight-gradient GEMM

  Sourced<std::string> gradient_buckets;  ///< of an overlapped reduction: a name in the buckets' table
  Sourced<std::string> cp_comm_type;      ///< how context parallelism exchanges, when unsaid: see list_parallel_methods

  // Pipeline exchange.
  Sourced<bool> p2p_scatter_gather;        ///< each tensor-parallel rank sends 1/t over the NIC, NVLink all-gathers it
  Sourced<bool> p2p_blocking_interleaved;  ///< the interleaved schedule blocks on each forward-backward pair's exchange
  Sourced<Seconds> p2p_sync;               ///< host synchronisation and launch ramp of one blocking exchange

  // Host.
  Sourced<LaunchMode> launch_mode;
  Sourced<Seconds> host_time_per_layer_forward;  ///< CPU time to launch one layer's forward, eager
  Sourced<Seconds> host_time_per_layer_backward;
  Sourced<Seconds> host_time_per_step;  ///< optimizer, logging, data loader, Python between steps, not overlapped

  // Experts.
  Sourced<std::string> dispatcher;  ///< of tokens to experts, when the run does not say
  Sourced<bool> overlap_ep;         ///< a microbatch's exchange of tokens runs beside another's kernels, when unsaid
  Sourced<bool> expert_tensor_follows;  ///< expert_tensor_parallel, when unsaid, is tensor_parallel; else one
  Sourced<bool> fp8_dispatch;           ///< with fp8 training tokens are sent to their experts in fp8
  Sourced<int> exchange_sms;            ///< multiprocessors that an exchange of tokens takes from kernels beside it
  Sourced<double> router_kernels;       ///< small kernels of one forward pass: scores, top-k, loss, maps of rows
  Sourced<Seconds>
      host_time_per_moe_operator;  ///< CPU time of one operator of a layer with experts, its waits included

  // Recompute and padding.
  Sourced<bool> recompute_stops_early;    ///< non-reentrant checkpoint: the block's last GEMM is not run again
  Sourced<bool> fp8_saves_inputs;         ///< the inputs of fp8 linears are kept in fp8 (1 byte), not as they came
  Sourced<bool> fp8_saves_gates;          ///< so is the input of a gated activation, whose output is computed again
  Sourced<int> vocab_multiple;            ///< vocabulary padded to this multiple ...
  Sourced<bool> vocab_multiple_times_tp;  ///< ... times tensor_parallel

  // Optimizer and memory.
  Sourced<int> sharding_nics;            ///< NICs of a node, at most, that gathers of sharded parameters keep busy
  Sourced<double> optimizer_bytes;       ///< bytes moved per parameter by one Adam step, everything fused in it
  Sourced<double> gradient_clip_bytes;   ///< bytes moved per parameter by norm and clipping
  Sourced<double> gradient_clear_bytes;  ///< bytes written per parameter to clear the gradients
  Sourced<double> gradient_scale_bytes;  ///< bytes moved per parameter to scale gradients before the reduction
  Sourced<double> cpu_adam_fraction;     ///< of the host's memory bandwidth, reached by its Adam on the CPU
  Sourced<double> moment_bytes;          ///< of each of Adam's two moments, when the plan does not say
  Sourced<bool> sharded_master;          ///< fully sharded parameters are fp32 and the master copy (PyTorch FSDP)
  Sourced<Bytes> reduce_buffer;          ///< flat copies of gradients on their way into the reduction
  Sourced<double> overlapped_buffers;    ///< so many of them with overlap_grad_reduce
  Sourced<double> live_parameters;       ///< ZeRO-3: parameters gathered at once, module by module; 0: block by block
  Sourced<bool> dummy_weight_gradients;  ///< a tensor like the weight stands for each gradient that a GEMM accumulated
  Sourced<bool> keeps_stage_outputs;     ///< what a pipeline stage sent stays until its backward pass
  Sourced<Bytes> communicator_memory;    ///< buffers of one NCCL communicator
  Sourced<Bytes> kernel_memory;          ///< code loaded beyond the GPU's context
  Sourced<double> fragmentation;         ///< reserved / allocated
  Sourced<std::string> memory_log;       ///< what its own log calls memory: allocated | reserved | device
};

}  // namespace stepcast
