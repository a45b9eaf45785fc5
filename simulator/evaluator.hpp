#pragma once
/// Many plans of one model on one cluster: what predict() says of each, at the cost of what sets it apart.
///
///   Evaluator evaluator(job);
///   if (evaluator.set_plan(plan).empty() && evaluator.memory().fits()) evaluator.step();
///
/// Blocks are sharded and their passes folded once for all plans that shard them alike; stages once for all plans that cut
/// the model alike; a step is simulated with as few microbatches as show what all of them take (step_time.hpp).

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "simulator/execution/pass_costs.hpp"
#include "simulator/execution/step_time.hpp"
#include "simulator/job.hpp"
#include "simulator/stages.hpp"

namespace stepcast {

class Evaluator {
 public:
  /// @param jitter  add the expected wait for the slowest rank, as predict() does
  explicit Evaluator(const Job& base, bool jitter = true);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  /// Takes up a plan; what it leaves open has the framework's default. Its degrees multiply to the cluster's GPUs.
  /// @return why it cannot run, memory aside; empty: it can, and the functions below speak of it
  const std::string& set_plan(const ParallelPlan& plan);

  const Job& job() const { return job_; }
  const ParallelPlan& plan() const { return job_.plan; }

  /// Of one stage at its peak, and of the fullest.
  MemoryUse memory(int stage) const;
  MemoryUse memory() const;

  /// The time of a step, as `predict` with the dataflow executor finds it, to the tick.
  StepTime step() const;

  /// Which passes a schedule runs.
  struct Passes {
    bool splits = false;  ///< backward passes in two parts
    bool pairs = false;   ///< passes that share the GPU
    bool drains = true;   ///< every stage ends with a backward pass of its first chunk
  };
  /// Blocks of a stage, counted, and those that a microbatch passes before it first gets there.
  struct StageTotals {
    struct Blocks {
      int embedding = 0, head = 0;
      std::vector<int> kinds;
    };
    int stage = 0;
    Blocks own, before;
    int hops = 0;  ///< between ranks, on the way there
  };
  /// How the model is cut, and the stages that may take longest: the ends and the one with most layers.
  struct Cut {
    std::vector<std::vector<ChunkContents>> stages;
    std::vector<StageTotals> totals;
    std::vector<std::int64_t> in_flight;  ///< chunk activations by stage; empty where they grow with the microbatches
    Passes passes;
  };

  // What a lower bound draws on.
  const ShardedModel& model() const;
  const Cut& cut() const { return *cut_; }
  const PassCosts& passes() const;
  const CostModel& costs() const { return *costs_; }
  const Boundary& boundary() const { return boundary_; }
  /// But for the order of passes.
  LoweringInput lowering() const;
  const Schedule& schedule() const;
  PipelineShape shape() const;
  /// collective() of the cost model, remembered.
  Seconds collective(CollectiveKind kind, GroupKind group, Bytes size) const;

 private:
  struct Blocks;
  struct Key;
  struct KeyHash;
  struct BlockMap;

  const ModelGraph& graph_of(std::int64_t vocab);
  void choose_blocks(const Sharding& sharding);
  void choose_cut(const RecomputedLayers& recomputed);
  void put_back();

  Job job_;
  const ParallelPlan base_plan_;
  std::unique_ptr<const CostModel> machine_, machine_sharding_;  ///< the second with a framework's fewer NICs
  struct Graph {
    std::int64_t vocab, sequence_length;  ///< with the framework's padding
    std::optional<LowRankAdaptation> lora;
    std::int64_t frozen_layers;
    ModelGraph graph;
  };
  std::deque<Graph> graphs_;
  std::unique_ptr<BlockMap> blocks_;
  std::unordered_map<std::string, std::unique_ptr<Cut>> cuts_;
  struct Timed {
    std::uint64_t size = 0;
    GroupShape shape;
    int kind = 0;
    bool sharding = false;
    bool operator==(const Timed&) const = default;
  };
  struct TimedHash {
    std::size_t operator()(const Timed& timed) const;
  };
  mutable std::unordered_map<Timed, Seconds, TimedHash> timed_;
  mutable StepTimer timer_;

  const ModelGraph* graph_ = nullptr;
  Blocks* current_ = nullptr;
  Cut* cut_ = nullptr;
  std::unique_ptr<const CostModel> costs_;
  Boundary boundary_;
  mutable std::vector<std::int64_t> in_flight_;  ///< of a schedule whose cut does not know
  std::string reason_;
};

}  // namespace stepcast
