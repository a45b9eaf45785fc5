// Facts read from NCCL 2.30.7 (github.com/NVIDIA/nccl @ 5067397): src/graph/tuning.cc, src/graph/topo.h,
// src/graph/search.cc. Numbers only; the formulas that use them stand in the algorithms' files.

#include "simulator/collectives/nccl_constants.hpp"

#include <algorithm>
#include <cmath>

namespace stepcast {
namespace {

constexpr double intra_default[] = {40, 30, 20, 18, 15, 12, 10, 9, 7, 6, 5, 4, 3};
constexpr double inter_default[] = {48, 30, 28, 24, 20, 18, 15, 12, 10, 9, 7, 6, 5, 4, 3, 2.4, 1.2, 0.24, 0.12};
constexpr double intra_sm90[] = {60, 50, 40, 30, 24, 20, 15, 12, 11, 6, 3};
constexpr double inter_sm90[] = {48, 45, 42, 40, 30, 24, 22, 20, 17.5, 15, 12, 6, 3, 2.4, 1.2, 0.24, 0.12};
constexpr double intra_sm100[] = {90, 80, 70, 60, 50, 45, 40, 30, 24, 20, 19, 18};
constexpr double inter_sm100[] = {96, 86,   80, 48, 45.1, 42, 40,  30,  24,   22,
                                  20, 17.5, 15, 12, 6,    3,  2.4, 1.2, 0.24, 0.12};

constexpr ByNodes<BytesPerSecond> rates(double one, double two, double more) {
  return {BytesPerSecond(one * 1e9), BytesPerSecond(two * 1e9), BytesPerSecond(more * 1e9)};
}

/// LL over several nodes follows the host and not the GPU: the Volta row with Intel, the Ampere row with AMD. So does
/// the overhead of a network message, 1 us and 2 us. DGX A100 have AMD hosts, the others Intel's.
constexpr NcclGeneration generations[] = {
    {.name = "volta",
     .nvlink = 25.0_GBps,
     .nvlink_searched = 20.0_GBps,
     .intra_speeds = intra_default,
     .inter_speeds = inter_default,
     .duplicate_from = 25,
     .ll_total = rates(39, 39, 20.4),
     .ring_ll128_channel = rates(20, 20, 20),
     .tree_ll128_channel = rates(20, 20, 20),
     .tree_channel = rates(26.5, 18.5, 10),
     .nvls_tree_channel = rates(26.5, 18.5, 10),
     .nvls_efficiency = 0,
     .ring_latency_factor = 1.9,
     .network_overhead = 1.0_us},
    {.name = "ampere",
     .nvlink = 25.0_GBps,
     .nvlink_searched = 20.0_GBps,
     .intra_speeds = intra_default,
     .inter_speeds = inter_default,
     .duplicate_from = 25,
     .ll_total = rates(87.7, 22.5, 19),
     .ring_ll128_channel = rates(20, 20, 20),
     .tree_ll128_channel = rates(20, 20, 20),
     .tree_channel = rates(24, 23.6, 17.8),
     .nvls_tree_channel = rates(24, 23.6, 17.8),
     .nvls_efficiency = 0,
     .ring_latency_factor = 1.4,
     .network_overhead = 2.0_us,
     .network_logs = true},
    {.name = "hopper",
     .nvlink = 25.0_GBps,
     .nvlink_searched = 20.6_GBps,
     .intra_speeds = intra_sm90,
     .inter_speeds = inter_sm90,
     .duplicate_from = 50,
     .ll_total = rates(141, 39, 20.4),
     .ring_ll128_channel = rates(36.7, 36.7, 36.7),
     .tree_ll128_channel = rates(36.7, 36.7, 29),
     .tree_channel = rates(38.7, 41.4, 36),
     .nvls_tree_channel = rates(0, 57.7, 45.5),
     .nvls_efficiency = 0.85,
     .ring_latency_factor = 1.4,
     .network_overhead = 1.0_us,
     .network_logs = true},
    {.name = "blackwell",
     .nvlink = 50.0_GBps,
     .nvlink_searched = 40.1_GBps,
     .intra_speeds = intra_sm100,
     .inter_speeds = inter_sm100,
     .duplicate_from = 100,
     .ll_total = rates(282, 39, 20.4),
     .ring_ll128_channel = rates(40, 40, 40),
     .tree_ll128_channel = rates(55.6, 31.67, 20),
     .tree_channel = rates(70, 42.8, 24),
     .nvls_tree_channel = rates(0, 96, 80),
     .nvls_efficiency = 0.74,
     .ring_latency_factor = 1.4,
     .network_overhead = 1.0_us,
     .network_logs = true},
};

constexpr NcclLatencies latencies{
    .tree_base = {6.8_us, 14.0_us, 8.4_us},
    .ring_base = {6.6_us, 14.0_us, 8.4_us},
    .pat_base = 8.0_us,
    .nvlink = {.tree = {0.6_us, 1.25_us, 4.0_us},
               .ring = {0.6_us, 1.9_us, 3.4_us},
               .nvls = 25.0_us,
               .nvls_tree = 25.0_us,
               .collnet_direct = 3.7_us,
               .collnet_chain = 2.8_us,
               .pat = 4.0_us},
    .pci = {.tree = {1.0_us, 1.9_us, 4.0_us},
            .ring = {1.0_us, 2.5_us, 5.7_us},
            .nvls = 0.0_us,
            .nvls_tree = 0.0_us,
            .collnet_direct = 3.7_us,
            .collnet_chain = 2.8_us,
            .pat = 4.0_us},
    .network = {.tree = {5.0_us, 8.5_us, 14.0_us},
                .ring = {2.7_us, 4.0_us, 14.0_us},
                .nvls = 18.0_us,
                .nvls_tree = 20.9_us,
                .collnet_direct = 31.0_us,
                .collnet_chain = 30.0_us,
                .pat = 14.0_us},
};

constexpr int corrections = 24;
constexpr double tree_corrections[protocol_count][corrections] = {
    {1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1, 1},
    {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9, .9},
};

}  // namespace

const NcclGeneration* nccl_generation(std::string_view name) {
  if (name == "ada") name = "ampere";  // NCCL's compute capability index: anything from sm80 up to sm90
  const auto* found = std::find_if(std::begin(generations), std::end(generations),
                                   [&](const NcclGeneration& g) { return g.name == name; });
  return found == std::end(generations) ? nullptr : found;
}

const NcclLatencies& nccl_latencies() { return latencies; }

double tree_correction(Protocol protocol, Bytes size) {
  const double place = std::floor(std::log2(std::max(1.0, size.si() / 64)));
  if (size < 64.0_B || place >= corrections - 1) return 1;
  return tree_corrections[static_cast<int>(protocol)][static_cast<int>(place)];
}

double smooth_tree_correction(Protocol protocol, Bytes size) {
  const auto& table = tree_corrections[static_cast<int>(protocol)];
  const double place = std::log2(std::max(1.0, size.si() / 64));
  if (place >= corrections - 1) return 1;
  const int at = static_cast<int>(place);
  const double next = at + 1 < corrections - 1 ? table[at + 1] : 1.0;
  return table[at] + (place - at) * (next - table[at]);
}

}  // namespace stepcast
