#pragma once
/// Where the ranks of a run sit, and what that means for each of its communication groups.
///
/// Megatron's order: tensor fastest, then context, (expert,) data, pipeline; rank = tp + t (cp + c (dp + D pp)).

#include <cstdint>

#include "simulator/cluster/cluster.hpp"

namespace stepcast {

/// A group of ranks as a collective sees it.
struct GroupShape {
  std::int64_t ranks = 1;
  std::int64_t per_domain = 1;   ///< members that share an NVLink domain

  std::int64_t domains() const { return (ranks + per_domain - 1) / per_domain; }
  bool crosses_network() const { return ranks > per_domain; }
};

/// The shape of a group of `ranks` ranks whose members are `stride` apart in rank order.
GroupShape group_shape(const Cluster& cluster, std::int64_t ranks, std::int64_t stride);

/// True when ranks `stride` apart sit in different NVLink domains.
bool distance_crosses_network(const Cluster& cluster, std::int64_t stride);

}  // namespace stepcast
