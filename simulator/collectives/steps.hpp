#pragma once
/// What an algorithm sends, as rounds of messages: for the engine, and to prove the closed forms.

#include <vector>

#include "simulator/collectives/collective.hpp"

namespace stepcast {

/// `times` messages one after the other, each of `message` bytes, sent by the busiest rank.
struct Round {
  double times = 1;
  Bytes message;
  bool network = false;  ///< through a NIC, else inside the node

  Bytes bytes() const { return times * message; }
};

/// The rounds of a call on `group`, by the busiest rank. Rings and chains are cut so finely that their pipeline costs
/// nothing; a tree's are those of an inner node, which passes on what it got from two children.
/// Empty where the algorithm does not do the operation.
std::vector<Round> rounds_of(Algorithm algorithm, CollectiveKind kind, Bytes size, const GroupShape& group);

/// Their time on an idle network of two kinds of links.
struct Links {
  Seconds inside_latency, network_latency;
  BytesPerSecond inside, network;
};
Seconds idle_time(const std::vector<Round>& rounds, const Links& links);

}  // namespace stepcast
