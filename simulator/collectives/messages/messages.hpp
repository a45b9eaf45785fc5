#pragma once
/// What an algorithm sends, message by message: for the engine, and to prove that it does what it promises.
///
/// A buffer is cut into `parts`. A step is a set of messages; a rank enters its next step when all messages that it sends
/// and receives in this one are done.

#include <cstdint>
#include <vector>

#include "simulator/collectives/collective.hpp"

namespace stepcast {

/// At the other end of a link that a switch does the adding up or the copying for.
inline constexpr std::int64_t node_switch = -1;     ///< the domain's NVSwitches
inline constexpr std::int64_t network_switch = -2;  ///< the leaf switch of the rank's NIC

struct Message {
  std::int64_t from = 0, to = 0;  ///< places in the group; or one of them a switch
  Bytes size;
  std::int64_t first = 0,
               count = 1;  ///< parts of the buffer, counted round past the last; of an exchange: whose they are
  bool reduces = false;    ///< added to what the receiver has, else in its place
};

struct MessageSteps {
  std::int64_t parts = 1;
  std::vector<std::vector<Message>> steps;

  std::int64_t messages() const;
};

/// `n` ranks, `p` in each NVLink domain, domain after domain; the last one may be smaller only for algorithms that do not
/// look at domains. Root is place 0.
struct MessageShape {
  std::int64_t n = 1, p = 1;
  std::int64_t domains() const { return n / p; }
};

// One function an algorithm; no steps where it does not do the operation or not on this group.
MessageSteps ring_messages(CollectiveKind kind, Bytes size, MessageShape shape);
/// Double binary tree of domains with a chain in each, cut into chunks that follow one another.
MessageSteps tree_messages(CollectiveKind kind, Bytes size, MessageShape shape);
/// Up to the switch and down again; between nodes a tree of each rail.
MessageSteps nvls_messages(CollectiveKind kind, Bytes size, MessageShape shape);
MessageSteps nvls_tree_messages(CollectiveKind kind, Bytes size, MessageShape shape);
/// Each member adds up its share of the node, the network's switches add up the nodes.
MessageSteps collnet_messages(CollectiveKind kind, Bytes size, MessageShape shape);
MessageSteps pat_messages(CollectiveKind kind, Bytes size, MessageShape shape);
MessageSteps pairwise_messages(CollectiveKind kind, Bytes size, MessageShape shape);
/// On the rails first, then between nodes; NCCL overlaps the two.
MessageSteps pxn_messages(CollectiveKind kind, Bytes size, MessageShape shape);
MessageSteps hierarchical_messages(CollectiveKind kind, Bytes size, MessageShape shape);
MessageSteps halving_doubling_messages(CollectiveKind kind, Bytes size, MessageShape shape);

/// Most messages that are written down at once.
inline constexpr std::int64_t most_messages = 20'000'000;

/// The messages of a call. @throws UserError for more than most_messages, or when the algorithm does not do it
MessageSteps messages_of(Algorithm algorithm, CollectiveKind kind, Bytes size, const GroupShape& group);

}  // namespace stepcast
