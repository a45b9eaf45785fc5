#include "simulator/execution/gradient_buckets.hpp"

#include <algorithm>

namespace stepcast {

std::span<const GradientBuckets> list_gradient_buckets() {
  constexpr double mib = 1048576;
  static const GradientBuckets rows[] = {
      {"megatron", "max(40e6, 1e6 x data ranks) parameters, on the first stage alone (distributed_data_parallel.py)",
       false, [](std::size_t, double data_ranks, double) { return std::max(40e6, 1e6 * data_ranks); }},
      {"ddp", "25 MiB of gradients, the first bucket 1 MiB (torch DistributedDataParallel, bucket_cap_mb)", true,
       [](std::size_t index, double, double element) { return (index == 0 ? 1 : 25) * mib / element; }},
      {"deepspeed", "5e8 elements (DeepSpeed reduce_bucket_size and allgather_bucket_size)", true,
       [](std::size_t, double, double) { return 5e8; }},
  };
  return rows;
}

const GradientBuckets* find_gradient_buckets(std::string_view name) {
  for (const GradientBuckets& buckets : list_gradient_buckets()) {
    if (buckets.name == name) return &buckets;
  }
  return nullptr;
}

}  // namespace stepcast
