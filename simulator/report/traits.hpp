#pragma once
/// What runs are alike in: by these, errors are grouped and intervals learned.

#include <cstdint>
#include <string>

#include "simulator/job.hpp"

namespace stepcast {

struct RunTraits {
  std::string framework;
  std::string framework_family;  ///< megatron | deepspeed | pytorch | xla | other
  std::string gpu;
  std::string generation;    ///< volta | ampere | hopper ...
  std::string model_family;  ///< dense | experts ...
  std::string parallelism;   ///< "TP PP": what splits the model, or how data parallelism shards it
  std::int64_t gpus = 0;
  std::string precision;
  std::string model;
  double tokens_per_step = 0;
};

RunTraits traits_of(const Job& job);

/// "1-8 GPUs", "9-64 GPUs" ...: clusters within one power of eight.
std::string size_class(std::int64_t gpus);

}  // namespace stepcast
