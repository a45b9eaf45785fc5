#pragma once
/// What carries traffic between GPUs, as the events executor shares it out: links, and which of them a message crosses.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "simulator/cluster/cluster.hpp"
#include "simulator/cluster/faults.hpp"
#include "simulator/engine/flows.hpp"

namespace stepcast {

struct Interconnect {
  std::vector<BytesPerSecond> links;      ///< one direction, what a large transfer reaches
  std::int64_t domain_gpus = 1;           ///< GPUs that NVLink joins
  std::vector<std::int64_t> gpu_of_rank;  ///< empty: ranks sit on GPUs in their own order
  /// Appends the links from one GPU to another.
  std::function<void(std::int64_t from, std::int64_t to, std::vector<LinkId>& path)> route;
  std::function<std::string(LinkId)> name;      ///< "node 3 NIC 0 out"
  std::unordered_map<LinkId, double> impaired;  ///< what is left of a link that carries less than it should

  double health(LinkId link) const {
    const auto found = impaired.find(link);
    return found == impaired.end() ? 1 : found->second;
  }
};

/// Each GPU's NVLinks out and in, each NIC out and in; and what leaves and enters each leaf switch and each pod, where the
/// fabric carries less there than its NICs could ask for. Elsewhere switches never bind: what collisions of hashed routes
/// cost is in the NIC's efficiency, as measured.
///
/// A leaf has 32 ports down: 32 nodes of one rail where the fabric is rail-optimised (NVIDIA DGX SuperPOD reference
/// architecture), else all ports of as many nodes as that makes.
///
/// @param shares  every GPU has its share of the node's NICs to itself, as when ranks that do the same at the same time
///                are folded into one; switches then never bind
/// @param faults  of NICs: one that has failed leaves its traffic to the next of its node
Interconnect ports_of(const Cluster& cluster, bool shares, std::span<const Fault> faults = {});

/// The links of a ring over these GPUs: from each to the next; across domains from each to its like in the next domain,
/// channel by channel. A link that several hops cross stands there as often, in a row.
std::vector<LinkId> ring_path(const Interconnect& network, const std::vector<std::int64_t>& gpus);

}  // namespace stepcast
