#include "simulator/collectives/steps.hpp"

#include <algorithm>
#include <cmath>

namespace stepcast {
namespace {

using Rounds = std::vector<Round>;

bool gathers(CollectiveKind kind) {
  return kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
}
/// 2 for all_reduce, which is a reduce_scatter and an all_gather; 0: neither.
double phases(CollectiveKind kind) { return kind == CollectiveKind::all_reduce ? 2 : gathers(kind) ? 1 : 0; }

Rounds ring(CollectiveKind kind, Bytes size, double n, double, double nodes) {
  const bool crosses = nodes > 1;
  if (phases(kind) > 0) return {{phases(kind) * (n - 1), size / n, crosses}};
  if (kind == CollectiveKind::broadcast || kind == CollectiveKind::reduce) return {{1, size, crosses}};
  return {};
}

Rounds tree(CollectiveKind kind, Bytes size, double, double p, double nodes) {
  if (kind != CollectiveKind::all_reduce) return {};
  Rounds rounds;
  if (p > 1) rounds.push_back({2, size, false});
  if (nodes > 1) rounds.push_back({2, size, true});
  return rounds;
}

/// Every rank hands its p-th part up to the switch and gets the sum back.
Rounds nvls(CollectiveKind kind, Bytes size, double, double p, double nodes) {
  if (phases(kind) == 0 || p < 2) return {};
  Rounds rounds{{1, size, false}};
  if (nodes > 1) rounds.push_back({kind == CollectiveKind::all_reduce ? 2.0 : 1.0, size / p, true});
  return rounds;
}

Rounds collnet(CollectiveKind kind, Bytes size, double, double p, double nodes) {
  if (kind != CollectiveKind::all_reduce || nodes < 2) return {};
  Rounds rounds{{1, size / p, true}};
  if (p > 1) rounds.push_back({2 * (p - 1), size / p, false});
  return rounds;
}

Rounds pat(CollectiveKind kind, Bytes size, double n, double p, double) {
  if (!gathers(kind) || p > 1) return {};
  // Distances halve while what has been gathered doubles: n-1 parts in ceil(log2 n) messages.
  Rounds rounds;
  for (double parts = 1, left = n - 1; left > 0; parts *= 2) {
    rounds.push_back({1, std::min(parts, left) * size / n, true});
    left -= std::min(parts, left);
  }
  return rounds;
}

Rounds pairwise(CollectiveKind kind, Bytes size, double n, double p, double nodes) {
  if (kind == CollectiveKind::send_recv) return {{1, size, nodes > 1}};
  if (kind != CollectiveKind::all_to_all && kind != CollectiveKind::scatter && kind != CollectiveKind::gather)
    return {};
  Rounds rounds;
  if (p > 1) rounds.push_back({p - 1, size / n, false});
  if (nodes > 1) rounds.push_back({n - p, size / n, true});
  return rounds;
}

Rounds pxn(CollectiveKind kind, Bytes size, double n, double p, double nodes) {
  if (kind != CollectiveKind::all_to_all || nodes < 2 || p < 2) return {};
  // To each GPU of the node what it should have, and what it should send on along its rail.
  return {{p - 1, size / p, false}, {nodes - 1, p * size / n, true}};
}

Rounds hierarchical(CollectiveKind kind, Bytes size, double, double p, double nodes) {
  if (phases(kind) == 0 || nodes < 2 || p < 2) return {};
  return {{phases(kind) * (p - 1), size / p, false}, {phases(kind) * (nodes - 1), size / (p * nodes), true}};
}

Rounds halving_doubling(CollectiveKind kind, Bytes size, double n, double p, double nodes) {
  if (phases(kind) == 0) return {};
  const double levels = std::floor(std::log2(n));
  Rounds rounds;
  if (std::exp2(levels) < n) rounds.push_back({phases(kind), size, nodes > 1});
  for (int level = 1; level <= levels; ++level) {
    const bool network = nodes > 1 && std::exp2(level) > p;
    rounds.push_back({phases(kind), size / std::exp2(level), network});
  }
  return rounds;
}

}  // namespace

std::vector<Round> rounds_of(Algorithm algorithm, CollectiveKind kind, Bytes size, const GroupShape& group) {
  if (group.ranks <= 1) return {};
  const double n = static_cast<double>(group.ranks);
  const double p = static_cast<double>(std::min(group.ranks, group.per_domain));
  const double nodes = static_cast<double>(group.domains());
  switch (algorithm) {
    case Algorithm::ring: return ring(kind, size, n, p, nodes);
    case Algorithm::tree: return tree(kind, size, n, p, nodes);
    case Algorithm::nvls:
    case Algorithm::symmetric:
    case Algorithm::nvls_tree: return nvls(kind, size, n, p, nodes);
    case Algorithm::collnet_direct:
    case Algorithm::collnet_chain: return collnet(kind, size, n, p, nodes);
    case Algorithm::pat: return pat(kind, size, n, p, nodes);
    case Algorithm::pairwise: return pairwise(kind, size, n, p, nodes);
    case Algorithm::pxn: return pxn(kind, size, n, p, nodes);
    case Algorithm::hierarchical: return hierarchical(kind, size, n, p, nodes);
    case Algorithm::halving_doubling: return halving_doubling(kind, size, n, p, nodes);
  }
  return {};
}

Seconds idle_time(const std::vector<Round>& rounds, const Links& links) {
  Seconds time(0);
  for (const Round& round : rounds) {
    const Seconds latency = round.network ? links.network_latency : links.inside_latency;
    time += round.times * (latency + round.message / (round.network ? links.network : links.inside));
  }
  return time;
}

}  // namespace stepcast
