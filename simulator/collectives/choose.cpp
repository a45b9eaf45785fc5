#include "simulator/collectives/choose.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

constexpr AlgorithmRow rows[] = {
    {Algorithm::ring, "ring", "NCCL Ring: each rank passes on to the next, 2(n-1) or n-1 steps", nccl_ring,
     ring_messages},
    {Algorithm::tree, "tree", "NCCL Tree: double binary tree of nodes; small all_reduce", nccl_tree, tree_messages},
    {Algorithm::nvls, "nvls", "NCCL NVLS: NVSwitches add up and multicast (Hopper and later)", nccl_nvls,
     nvls_messages},
    {Algorithm::nvls_tree, "nvls-tree", "NCCL NVLSTree: NVSwitches in each node, a tree of nodes", nccl_nvls_tree,
     nvls_tree_messages},
    {Algorithm::collnet_direct, "collnet-direct", "SHARP: the network's switches add up, all-to-all inside the node",
     nccl_collnet_direct, collnet_messages},
    {Algorithm::collnet_chain, "collnet-chain", "SHARP: the network's switches add up, a chain inside the node",
     nccl_collnet_chain, collnet_messages},
    {Algorithm::pat, "pat", "NCCL PAT: all_gather and reduce_scatter with one GPU a node, log2 steps", nccl_pat,
     pat_messages},
    {Algorithm::pairwise, "pairwise", "a message to every peer: all_to_all, scatter, gather, send_recv",
     pairwise_exchange, pairwise_messages},
    {Algorithm::pxn, "pxn", "all_to_all through the GPU beside the NIC: one message a node", pxn_all_to_all,
     pxn_messages},
    {Algorithm::hierarchical, "hierarchical", "two levels: inside the node, then between nodes on each rail (not NCCL)",
     hierarchical, hierarchical_messages, false},
    {Algorithm::halving_doubling, "halving-doubling", "log2(n) exchanges of halves (not NCCL)", halving_doubling,
     halving_doubling_messages, false},
    {Algorithm::symmetric, "symmetric",
     "NCCL 2.27's kernels on registered buffers, one NVLink domain (Hopper and later)", nccl_symmetric, nvls_messages},
};

constexpr Protocol protocols[] = {Protocol::ll, Protocol::ll128, Protocol::simple};

}  // namespace

std::string_view name_of(Protocol protocol) {
  constexpr std::string_view names[] = {"LL", "LL128", "Simple"};
  return names[static_cast<std::size_t>(protocol)];
}

std::span<const AlgorithmRow> list_collectives() { return rows; }

const AlgorithmRow& row_of(Algorithm algorithm) {
  const AlgorithmRow& row = rows[static_cast<std::size_t>(algorithm)];
  CHECK(row.algorithm == algorithm, "the table lists the algorithms in the order of their enum");
  return row;
}

double bus_factor(CollectiveKind kind, std::int64_t ranks) {
  const double n = static_cast<double>(ranks);
  switch (kind) {
    case CollectiveKind::all_reduce: return 2 * (n - 1) / n;
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_to_all:
    case CollectiveKind::scatter:
    case CollectiveKind::gather: return (n - 1) / n;
    case CollectiveKind::broadcast:
    case CollectiveKind::reduce:
    case CollectiveKind::send_recv: return 1;
  }
  return 1;
}

BytesPerSecond bus_bandwidth(CollectiveKind kind, std::int64_t ranks, Bytes size, Seconds time) {
  return time > Seconds(0) ? bus_factor(kind, ranks) * (size / time) : BytesPerSecond(0);
}

Seconds corrected_time(const NcclEstimate& estimate, const Correction& c, Bytes size) {
  const double ramp = size > Bytes(0) ? size / (size + c.half_size) : 0.0;
  return estimate.latency * (c.latency_factor + c.chunk_factor * ramp) +
         size / (c.share * estimate.bandwidth) * (1 + c.own_factor * estimate.own_part);
}

CollectiveChoice choose_collective(const CollectiveCall& call) {
  CollectiveChoice choice;
  if (call.group.ranks <= 1) return choice;
  const Communicator searched = communicator(call.group, call.cluster, call.options);
  CHECK(searched.generation != nullptr, "NCCL's tables know the GPU");
  const Communicator wire = searched.as_on_the_wire();

  choice.offered = false;
  struct Candidate {
    Algorithm algorithm{};
    Protocol protocol{};
    Seconds estimate = Seconds(0);
    bool found = false;
  };
  Candidate best_of[protocol_count];
  for (const AlgorithmRow& row : rows) {
    if (call.options.algorithm ? row.algorithm != *call.options.algorithm : !row.by_nccl) continue;
    if (row.algorithm == Algorithm::pxn && !call.options.pxn && !call.options.algorithm) continue;
    for (const Protocol protocol : protocols) {
      if (call.options.protocol && protocol != *call.options.protocol) continue;
      const NcclEstimate estimate = row.estimate(call.kind, protocol, call.size, searched);
      if (!estimate) continue;
      Candidate& best = best_of[static_cast<std::size_t>(protocol)];
      const Seconds time = estimate.time(call.size);
      if (!best.found || time < best.estimate) best = {row.algorithm, protocol, time, true};
    }
  }
  const Candidate* best = nullptr;
  for (const Candidate& candidate : best_of) {
    if (candidate.found && (best == nullptr || candidate.estimate < best->estimate)) best = &candidate;
  }
  if (best == nullptr) return choice;
  const auto time_of = [&](const Candidate& candidate) {
    const NcclEstimate estimate = row_of(candidate.algorithm).estimate(call.kind, candidate.protocol, call.size, wire);
    // The logs that corrections were fitted to are of NVLink.
    Correction measured =
        wire.nvlink ? correction(*searched.generation, candidate.algorithm, candidate.protocol) : Correction();
    // NVLinks do better than NCCL counts; a network does what its profile says.
    if (!searched.one_node() && candidate.protocol != Protocol::ll) measured.share = std::min(measured.share, 1.0);
    return corrected_time(estimate, measured, call.size);
  };
  choice = {best->algorithm, best->protocol, time_of(*best), best->estimate, true};
  // NCCL goes from LL to LL128 to Simple a little later than logs would have it; a larger message is not faster for that.
  constexpr double a_little = 1.5;  // by NCCL's estimate
  for (const Candidate* next = best + 1; next != std::end(best_of); ++next) {
    if (next->found && next->estimate < a_little * best->estimate) choice.time = std::min(choice.time, time_of(*next));
  }
  return choice;
}

Seconds nccl_time(const CollectiveCall& call) { return choose_collective(call).time; }

}  // namespace stepcast
