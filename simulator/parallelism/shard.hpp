#pragma once
/// From a model graph to what one rank executes: local shapes, inserted collectives, bytes.

#include <string>
#include <string_view>
#include <vector>

#include "simulator/parallelism/dispatchers.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/profiles/framework.hpp"
#include "simulator/workload/chunk_placement.hpp"
#include "simulator/workload/model_graph.hpp"
#include "simulator/workload/plan.hpp"
#include "simulator/workload/sharded_model.hpp"

namespace stepcast {

/// How the experts of a layer lie on the ranks of a stage.
struct ExpertSharding {
  int parallel = 1;  ///< ranks that hold each expert once
  int tensor = 1;    ///< ranks that share one expert
  double load = 1;   ///< rows of the busiest rank over those of the mean one
  const Dispatcher* dispatcher = nullptr;
  GroupShape group;             ///< where the `parallel` ranks sit
  double element = 2;           ///< bytes of an activation as it is sent to an expert
  bool overlap_shared = false;  ///< shared experts run beside the exchanges
};

/// What the local shapes of a rank depend on; every choice is made (see resolve() in predict.cpp).
struct Sharding {
  double tokens = 0;           ///< T = b s / c: tokens that a rank sees inside a tensor-parallel region
  double sequences = 0;        ///< b
  double sequence_length = 0;  ///< s
  double document = 0;         ///< tokens of a token's own document in a packed sequence; 0: all of it
  double encoded_length = 0;   ///< of an encoder-decoder: tokens of a sequence that the encoder works on
  double decoder_length = 0;   ///< and those of the decoder
  int tensor = 1;              ///< t
  int context = 1;             ///< c
  bool sequence_parallel = false;
  Precision precision = Precision::bf16;
  double element = 2;   ///< bytes of an activation
  double gradient = 4;  ///< bytes of an accumulated gradient
  Recompute recompute = Recompute::none;
  unsigned recompute_modules = 0;  ///< module:: bits, for Recompute::modules
  RecomputedLayers recomputed_layers{};
  bool flash_attention = false;
  std::string_view attention_kernel;
  std::string fp8_recipe;   ///< of scaling; empty: unsaid
  double microbatches = 1;  ///< of one step: what happens once a step is spread over them
  std::string cp_comm_type = "p2p";
  double context_inner = 1;  ///< of the context ranks, neighbours that exchange heads
  std::string tensor_grid = "1d";
  double grid_side = 1, grid_depth = 1;  ///< q and, of 2.5d, d
  std::string tp_overlap;                ///< method; empty: none
  ExpertSharding expert;
  const Framework* framework = nullptr;

  bool on_grid() const { return tensor > 1 && tensor_grid != "1d"; }
  /// Tokens that a rank stores outside tensor-parallel regions: T / t with sequence parallelism.
  double stored_tokens() const { return sequence_parallel ? tokens / tensor : tokens; }
  double attention_length() const { return document > 0 ? document : sequence_length; }
  double encoded_tokens() const { return sequences * encoded_length / context; }

  /// As a block of the decoder of an encoder-decoder model sees it.
  Sharding of_decoder() const {
    Sharding own = *this;
    own.sequence_length = decoder_length;
    own.document = 0;
    own.tokens = sequences * decoder_length / context;
    return own;
  }
};

/// One block's work on one rank. modelling: Megatron-LM's TransformerLayer, Korthikanti et al. 2022 section 4.
/// @param recomputed  the block is subject to the recompute policy (transformer layers are, embedding and head not)
LocalBlock shard(const Block& block, std::int64_t hidden, const Sharding& sharding, bool recomputed);

/// Which layers each virtual stage runs, by the plan's layer split.
///
/// Default: even where pp * v divides the layers; else embedding and loss take a layer's slot each where pp * v
/// divides layers + 2; else nearest to even with the remainder on the middle stages.
/// @return [stage][chunk]
std::vector<std::vector<ChunkContents>> split_layers(const ModelGraph& model, const ParallelPlan& plan,
                                                     ChunkPlacement placement = ChunkPlacement::loop);

/// The same as kinds of the sharded model's blocks, of which a policy for some layers has two for each of the graph's.
std::vector<std::vector<ChunkContents>> stage_contents(const ModelGraph& model, const ParallelPlan& plan,
                                                       const RecomputedLayers& recomputed, ChunkPlacement placement);

/// Everything but the stages.
ShardedModel shard_blocks(const ModelGraph& model, const Sharding& sharding, ChunkPlacement placement);

ShardedModel shard(const ModelGraph& model, const ParallelPlan& plan, const Sharding& sharding,
                   ChunkPlacement placement = ChunkPlacement::loop);

}  // namespace stepcast
