#include <algorithm>

#include "simulator/collectives/nccl_model.hpp"

namespace stepcast {
namespace {

/// NCCL 2.27 and later, src/sym_kernels.cc: latencies and the most that its kernels move in an NVLink domain, by
/// generation. LL writes each value to every peer with a flag beside it: nine times the bytes for half of the latency.
struct SymmetricKernels {
  std::string_view generation;
  Seconds ll_all_gather, ll_other;
  Seconds all_reduce, other;
  BytesPerSecond all_reduce_of_sm, of_sm;
  BytesPerSecond all_reduce_peak, peak;
};
constexpr SymmetricKernels kernels[] = {
    {"hopper", 4.5_us, 4.5_us, 7.8_us, 7.8_us, 65.0_GBps, 44.0_GBps, 480.0_GBps, 320.0_GBps},
    {"blackwell", 8.5_us, 11.0_us, 19.5_us, 13.0_us, 55.0_GBps, 55.0_GBps, 1000.0_GBps, 600.0_GBps},
};
constexpr double ll_bytes = 9;

}  // namespace

NcclEstimate nccl_symmetric(CollectiveKind kind, Protocol protocol, Bytes, const Communicator& c) {
  const bool gathers = kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
  const bool sums = kind == CollectiveKind::all_reduce;
  if (!c.registered || !c.one_node() || protocol == Protocol::ll128 || (!sums && !gathers)) return {};
  const auto* found = std::find_if(std::begin(kernels), std::end(kernels),
                                   [&](const SymmetricKernels& k) { return k.generation == c.generation->name; });
  if (found == std::end(kernels)) return {};
  const BytesPerSecond bus = std::min(c.channels * (sums ? found->all_reduce_of_sm : found->of_sm),
                                      sums ? found->all_reduce_peak : found->peak);
  const BytesPerSecond rate = bus / bus_factor(kind, static_cast<std::int64_t>(c.ranks));
  if (protocol == Protocol::simple) return {sums ? found->all_reduce : found->other, rate};
  return {kind == CollectiveKind::all_gather ? found->ll_all_gather : found->ll_other, rate / ll_bytes};
}

}  // namespace stepcast
