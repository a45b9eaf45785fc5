#pragma once
/// The answer: plain values, ready for any output format.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simulator/job.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/units/units.hpp"

namespace stepcast {

/// Where the time of one rank goes; the parts sum to the step.
struct Breakdown {
  Seconds compute, tp_comm_exposed, cp_comm_exposed, ep_comm_exposed, dp_comm_exposed, pp_comm_exposed, bubble,
      optimizer, host_other;

  Seconds total() const {
    return compute + tp_comm_exposed + cp_comm_exposed + ep_comm_exposed + dp_comm_exposed + pp_comm_exposed + bubble +
           optimizer + host_other;
  }
};

struct StageReport {
  int stage = 0;
  std::vector<std::string> contents;  ///< per model chunk: "embedding + 4 layers"
  double layers = 0;
  double parameters = 0;              ///< of one rank
  double microbatches_in_flight = 0;  ///< activations held at the peak, in microbatches of this stage's work
  Breakdown breakdown;
  MemoryUse memory;
};

/// One line of the account of a rank's compute time: an operator, summed over the step.
struct OperatorTime {
  std::string block;  ///< embedding | layer | head | step; "layer 2": of the second kind
  int stage = 0;  ///< the pipeline stage that it is reckoned for: embedding and head have their own, layers the busiest
  std::string name;     ///< "linear_fc1"
  std::string pass;     ///< forward | recompute | backward_input | backward_weight | step
  std::string shape;    ///< "m=2048 n=6144 k=12288"
  std::string bound;    ///< tensor cores | HBM | launch | network
  std::string basis;    ///< how its time was obtained
  double count = 0;     ///< executions in a step on that rank
  Seconds each;         ///< with the gap to the next kernel
  double flops = 0;     ///< of one execution, in matrix units
  Bytes bytes;          ///< of one execution: HBM traffic, or payload of a collective
  FlopsPerSecond peak;  ///< of the matrix units in its precision; zero: it uses none

  Seconds total() const { return each * count; }
  /// FLOP per byte of HBM traffic.
  double intensity() const { return bytes > Bytes{} ? flops / bytes.si() : 0; }
};

/// What bounds the kernels of one GPU.
struct Roofs {
  struct MatrixUnits {
    std::string precision;
    FlopsPerSecond peak;       ///< data sheet
    FlopsPerSecond sustained;  ///< what the largest tiles reach inside a step
  };
  std::vector<MatrixUnits> matrix;  ///< in the precisions that the run multiplies in; its own first
  BytesPerSecond hbm;               ///< data sheet
  BytesPerSecond hbm_sustained;     ///< what large elementwise kernels reach

  /// FLOP per byte above which the matrix units bind: "ops:byte ratio".
  double ridge() const { return matrix.empty() || hbm.si() == 0 ? 0 : matrix.front().peak.si() / hbm.si(); }
};

/// What measured runs of the user's own changed.
struct Anchor {
  struct Constant {
    std::string name;       ///< "sustained clock of h100-80gb-sxm in bf16"
    double multiplier = 1;  ///< of the profile's value
    double low = 1, high = 1;
    bool informed = false;  ///< whether the runs say anything about it
  };
  struct Run {
    std::string name;
    Seconds measured, before, after;  ///< step times: predicted before and after
  };
  std::vector<Constant> constants;
  std::vector<Run> runs;
};

/// One change of the plan that saves memory, predicted.
struct Advice {
  std::string change;   ///< "recompute every layer"
  std::string setting;  ///< "plan.recompute full"
  Bytes memory;         ///< of the fullest stage, as the device shows it
  Bytes saved;          ///< of tensors and what lies outside the allocator
  bool fits = false;
  Seconds step_time;
  double cost = 0;  ///< of the step time, a share; negative: faster
};

/// What one rank holds over a step.
struct MemoryTimeline {
  std::int64_t rank = 0;
  int stage = 0;
  std::vector<std::pair<Seconds, Bytes>> samples;  ///< tensors, from each time on
  Seconds fullest;                                 ///< when it holds most for the first time
  Bytes most;
  std::string pass;              ///< that runs then: "backward"
  std::int32_t microbatch = -1;  ///< of that pass; -1: none
  std::string block, op;         ///< that run then: layer, head, embedding; "linear_fc1"
};

struct Report {
  std::string scenario;
  std::string id;
  bool feasible = false;
  std::string infeasible_reason;

  Seconds step_time;
  std::optional<std::pair<Seconds, Seconds>> interval;  ///< 90%; absent until residuals have been learned
  std::string interval_from;                            ///< the runs that it was learned from, in words
  double tokens_per_s = 0;
  double tokens_per_s_per_gpu = 0;
  double model_tflops_per_gpu = 0;  ///< in the default convention
  std::string flops_convention;
  double mfu = 0;
  double hfu = 0;  ///< executed matrix FLOPs, recomputation included
  std::map<std::string, double> mfu_by_convention;
  std::map<std::string, double> hfu_by_convention;
  FlopsPerSecond mfu_peak;
  double bubble_fraction = 0;  ///< of the step
  MemoryUse memory;            ///< worst stage
  int memory_stage = 0;
  Breakdown breakdown;  ///< of the rank with the most busy time
  int busiest_stage = 0;
  std::vector<StageReport> per_stage;
  std::vector<OperatorTime> operators;  ///< of every block, largest share first
  Roofs roofs;
  std::map<std::string, double> leans_on;  ///< how the busiest stage's kernel times were obtained: shares of their sum
  std::vector<std::string> assumed;
  std::vector<std::string> defaults_taken;
  std::vector<Advice> advice;                    ///< when asked for, or when the plan needs too much memory
  std::vector<MemoryTimeline> memory_over_time;  ///< when a timeline was asked for

  /// Many simulated steps; step_time is their median.
  struct Steps {
    int count = 0;
    Seconds fastest, mean, p50, p95, p99, slowest;
  };
  std::optional<Steps> steps;
  std::optional<Seconds> undisturbed;  ///< the step without faults and spread
  struct Straggler {
    std::int64_t rank = 0;
    int stage = 0;
    std::int64_t node = 0;
    Seconds kept_waiting;  ///< how long others stood in collectives for it alone, summed over them
  };
  std::vector<Straggler> stragglers;  ///< the worst first
  /// A stretch of the critical path: what one rank spent on one kind of work.
  struct PathPart {
    std::int64_t rank = 0;
    int stage = 0;
    std::string what;
    Seconds start, time;
  };
  std::vector<PathPart> critical_path;  ///< when asked for, in order of time

  struct Simulation {
    std::string executor;
    bool folded = true;
    bool jitter = true;
    std::int64_t ranks = 0;  ///< simulated
    std::int64_t instructions = 0;
    std::int64_t events = 0;
    double wall_s = 0;
  } simulation;

  // What the scenario was, for the heading of a page.
  std::string model_name;
  double model_parameters = 0;
  double active_parameters = 0;   ///< of these, what one token passes: fewer with experts
  double trained_parameters = 0;  ///< of all, those that are not frozen
  std::string cluster_text;       ///< "64 x A100-SXM4-80GB, 8 nodes, HDR InfiniBand"
  std::string plan_text;          ///< "TP 8 (SP)  PP 8 x 3  DP 1"
  std::string framework_name;
  std::int64_t gpus = 0;
  std::int64_t gpus_per_node = 1;
  std::int64_t tokens_per_step = 0;
  std::optional<Anchor> anchor;
  std::optional<Reference> reference;  ///< the published figures beside the prediction

  /// Whether a step was timed: a plan that does not divide has no time, one that does not fit may have one.
  bool has_time() const { return step_time > Seconds{}; }

  /// Of the predicted step time against the published one, signed; absent when either is.
  std::optional<double> error_percent() const {
    if (!has_time() || !reference || !reference->measured.step_time_s) return std::nullopt;
    return 100 * (step_time.si() / *reference->measured.step_time_s - 1);
  }
};

}  // namespace stepcast
