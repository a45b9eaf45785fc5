#pragma once
/// How a prediction is carried out; none of it changes what is predicted, but for jitter.

#include <cstdint>

namespace stepcast {

enum class Executor { dataflow, events };

/// chunk: one instruction for a model chunk's pass (exact where nothing inside can contend); kernel: one each.
enum class Granularity { chunk, kernel };

struct ExecutionOptions {
  Executor executor = Executor::dataflow;
  Granularity granularity = Granularity::chunk;
  bool fold = true;        ///< one simulated rank stands for all that do the same at the same time
  bool contention = true;  ///< concurrent transfers share links (events alone)
  bool jitter = true;      ///< spread of speed between GPUs and between launches
  std::uint64_t seed = 1;
  bool record_spans = false;
};

}  // namespace stepcast
