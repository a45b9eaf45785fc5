#pragma once
/// Model families: each builds the graph of operators of one kind of architecture.

#include <span>
#include <string_view>

#include "simulator/workload/model_graph.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// A decoder-only dense transformer: GPT and Llama styles.
/// @param vocab      rows of the embedding, with the framework's padding
/// @param positions  rows of a learned position table
ModelGraph dense_transformer(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// The same with multi-head latent attention (MLA).
ModelGraph latent_attention(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// The same, with either attention, where a router sends each token to some of many experts.
ModelGraph mixture_of_experts(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// Attention and MLP over all tokens at once: BERT, ViT.
ModelGraph encoder(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// An encoder, and a decoder that attends to it as well: T5.
ModelGraph encoder_decoder(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// State-space layers, alone or with layers of attention, MLPs and experts between them: Mamba-2, Nemotron-H.
ModelGraph hybrid(const Architecture& model, std::int64_t vocab, std::int64_t positions);

/// The graph with weights frozen as the plan says, and with low-rank adapters beside its linears (LoRA, arXiv
/// 2106.09685). Experts have none.
ModelGraph fine_tuned(ModelGraph graph, const ParallelPlan& plan);

/// What `plan.lora.targets` may name: Megatron's names of linears, PEFT's, LitGPT's.
struct AdapterTarget {
  std::string_view name;
  std::string_view description;
  std::string_view linear;  ///< operator of the graph
  int part = -1;            ///< of a linear that several are fused in; -1: all of it as one
};
std::span<const AdapterTarget> adapter_targets();

struct ModelFamily {
  std::string_view name;
  std::string_view description;
  bool (*accepts)(const Architecture&);
  ModelGraph (*build)(const Architecture&, std::int64_t vocab, std::int64_t positions);
};

std::span<const ModelFamily> model_families();

/// The family of an architecture, or null when none builds it yet.
const ModelFamily* family_of(const Architecture& model);

}  // namespace stepcast
