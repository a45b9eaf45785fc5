#pragma once
/// Pipeline schedules: the order in which one rank runs its passes.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/workload/chunk_placement.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

struct PipelineShape {
  int stages = 1;                 ///< p
  int chunks = 1;                 ///< v: model chunks per rank
  std::int64_t microbatches = 1;  ///< m
  bool paired = false;            ///< a forward pass shares the GPU with the backward pass of another microbatch
};

PipelineShape pipeline_shape(const ParallelPlan& plan);

/// A backward pass is one, or in two parts: gradients of the input, which the stage before waits for, and of the
/// weights, which nobody waits for.
enum class PassKind : std::uint8_t { forward, backward, backward_input, backward_weight };

struct PassStep {
  PassKind kind = PassKind::forward;
  std::int32_t microbatch = 0;
  std::int32_t chunk = 0;
  bool exchange_after = true;  ///< a framework whose exchange blocks talks to its neighbours after this pass
  bool paired = false;         ///< runs together with the pass that follows

  bool operator==(const PassStep&) const = default;
};

struct Schedule {
  std::string_view name;
  std::string_view description;
  /// Why this shape cannot run, or empty.
  std::string (*refuses)(const PipelineShape&);
  /// The passes of `stage`, in order.
  std::vector<PassStep> (*order)(const PipelineShape&, int stage);
  /// Most chunk-activations that `stage` holds at once, in chunks.
  std::int64_t (*chunks_in_flight)(const PipelineShape&, int stage);
  ChunkPlacement placement = ChunkPlacement::loop;
  /// Microbatches by which a long step grows so that every stage repeats the middle of its passes once more; null: none do.
  std::int64_t (*repeats)(const PipelineShape&) = nullptr;
  bool asynchronous = false;  ///< sends and receives overlap, whatever the framework does in others
};

/// Most forward passes of these whose activations are there at once: until the backward pass, or its second part.
std::int64_t most_in_flight(const std::vector<PassStep>& steps);

std::span<const Schedule> list_schedules();

/// Null when there is none of that name.
const Schedule* find_schedule(std::string_view name);

extern const Schedule no_pipeline;
extern const Schedule gpipe;
extern const Schedule one_f_one_b;
extern const Schedule interleaved_one_f_one_b;
extern const Schedule zb_h1;
extern const Schedule zb_v;
extern const Schedule dualpipe;

}  // namespace stepcast
