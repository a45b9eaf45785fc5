#pragma once
/// How a prediction is carried out; none of it changes what is predicted, but for jitter.

#include <cstdint>
#include <limits>
#include <vector>

#include "simulator/cluster/placement.hpp"
#include "simulator/engine/sim_time.hpp"
#include "simulator/workload/executor.hpp"

namespace stepcast {

/// chunk: one instruction for a model chunk's pass (exact where nothing inside can contend); kernel: one each.
enum class Granularity { chunk, kernel };

struct ExecutionOptions {
  Executor executor = Executor::dataflow;
  Granularity granularity = Granularity::chunk;
  bool fold = true;           ///< one simulated rank stands for all that do the same at the same time
  bool contention = true;     ///< concurrent transfers share links (events alone)
  bool interference = false;  ///< transfers take SMs and memory bandwidth from kernels beside them (events alone)
  bool jitter = true;         ///< spread of speed between GPUs and between launches
  std::uint64_t seed = 1;
  int steps = 1;               ///< with every rank: so many steps are simulated, each with its own jitter
  bool critical_path = false;  ///< find it
  bool record_spans = false;
  std::vector<RankRange> traced_ranks{};                                       ///< whose spans; none: all
  SimTime traced_from{}, traced_to{std::numeric_limits<std::int64_t>::max()};  ///< spans that touch this window
};

}  // namespace stepcast
