#pragma once
/// The messages of a collective on a topology: links shared max-min, each message from the moment that both of its ends
/// are ready.

#include <span>

#include "simulator/cluster/topology.hpp"
#include "simulator/collectives/messages/messages.hpp"
#include "simulator/engine/sim_time.hpp"

namespace stepcast {

struct MessagesRun {
  SimTime time;  ///< until the last rank is done
  std::int64_t messages = 0;
  double busiest_link = 0;  ///< bytes that the busiest link carried, over what it can in that time
};

/// @param ranks  of the topology, by place in the group
/// Leaves out: what software and protocol add to a message (choose.hpp has that).
MessagesRun run_messages(const MessageSteps& messages, const Topology& topology, std::span<const std::int64_t> ranks);

}  // namespace stepcast
