#pragma once
/// Pipeline schedules: the order in which the ranks of a pipeline run their passes.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/workload/pipeline_order.hpp"
#include "simulator/workload/plan.hpp"

namespace stepcast {

/// How long the passes of one chunk take, in any one unit; a whole backward pass is input + weight.
struct PassTimes {
  double forward = 1, input = 1, weight = 1;
};

struct PipelineShape {
  int stages = 1;                 ///< p
  int chunks = 1;                 ///< v: model chunks per rank
  std::int64_t microbatches = 1;  ///< m
  bool paired = false;            ///< a forward pass shares the GPU with the backward pass of another microbatch

  // For schedules that arrange themselves.
  std::vector<std::vector<PassTimes>> times = {};  ///< [stage][chunk]; empty: all alike
  double exchange = 0;                             ///< from one rank to the next, in the same unit
  const OwnOrder* own = nullptr;                   ///< the user's order, when there is one

  PassTimes times_of(int stage, int chunk) const {
    return times.empty() ? PassTimes{} : times[static_cast<std::size_t>(stage)][static_cast<std::size_t>(chunk)];
  }
};

/// Refers to the plan's own order, if it has one.
PipelineShape pipeline_shape(const ParallelPlan& plan);

struct Schedule {
  std::string_view name;
  std::string_view description;
  /// Why this shape cannot run, or empty.
  std::string (*refuses)(const PipelineShape&);
  PipelineOrder (*order)(const PipelineShape&);
  ChunkPlacement placement = ChunkPlacement::loop;
  /// Microbatches by which a long step grows so that every stage repeats the middle of its passes once more; null: none do.
  std::int64_t (*repeats)(const PipelineShape&) = nullptr;
  bool asynchronous = false;  ///< sends and receives overlap, whatever the framework does in others
  bool arranges = false;      ///< its order depends on how long passes take
};

/// Why a shape cannot run under a schedule that splits backward passes in two, on so many chunks a rank; or empty.
std::string refused_by_split_passes(const PipelineShape& shape, const std::string& name, int chunks);

/// The order of a schedule that is written down rank by rank.
template <std::vector<PassStep> (*passes)(const PipelineShape&, int stage)>
PipelineOrder by_stage(const PipelineShape& shape) {
  PipelineOrder order;
  for (int stage = 0; stage < shape.stages; ++stage) order.push_back(passes(shape, stage));
  return order;
}

/// Most forward passes of these whose activations are there at once: until the backward pass, or its second part.
std::int64_t most_in_flight(const std::vector<PassStep>& steps);
/// Of each stage, in chunks.
std::vector<std::int64_t> chunks_in_flight(const PipelineOrder& order);

std::span<const Schedule> list_schedules();

/// Null when there is none of that name.
const Schedule* find_schedule(std::string_view name);

/// Which chunks lie where, by the plan's schedule or its own order.
ChunkPlacement chunk_placement(const ParallelPlan& plan);

extern const Schedule no_pipeline;
extern const Schedule gpipe;
extern const Schedule one_f_one_b;
extern const Schedule interleaved_one_f_one_b;
extern const Schedule breadth_first;
extern const Schedule zb_h1;
extern const Schedule zb_h2;
extern const Schedule zb_1p;
extern const Schedule zb_2p;
extern const Schedule zb_v;
extern const Schedule v_half;
extern const Schedule v_min;
extern const Schedule dualpipe;
extern const Schedule dualpipe_v;
extern const Schedule custom;

}  // namespace stepcast
