#pragma once
/// Traffic of a simulated step: messages and collectives as flows over the links of an interconnect.
///
/// A transfer asks for the average rate that it has alone (its bytes on the wire over its closed-form time), so that on an
/// idle network it takes exactly that time; when links are full it gets its max-min fair share of them. Latency and launch
/// are in the average: a transfer that is slowed down is slowed as a whole.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "simulator/engine/flows.hpp"
#include "simulator/execution/code.hpp"
#include "simulator/execution/interconnect.hpp"
#include "simulator/execution/rank_layout.hpp"

namespace stepcast {

class Network {
 public:
  /// @param stages  whose transfers there will be: links that only one stream of a rank ever uses need no sharing
  Network(const Interconnect& interconnect, const RankGrid& grid, bool fold, const std::vector<Code>& stages);

  /// Starts the collective of a rank's group, or a message from a rank to another.
  /// @return false when it crosses nothing that it could share: it takes its own time
  bool start_collective(SimTime now, std::int32_t rank, const Operation& operation, FlowId& flow);
  bool start_message(SimTime now, std::int32_t from, std::int32_t to, const Operation& operation, FlowId& flow);

  bool idle() const { return flows_.flows() == 0; }
  SimTime next() { return flows_.next(); }
  /// What ends up to then. Every flow in the answer is forgotten by the next call.
  std::span<const FlowNetwork::Finished> advance(SimTime now);

  /// Follows the links that a rank's own traffic leaves and arrives by.
  void watch(std::int32_t rank, std::int32_t neighbour);
  std::vector<LinkUse> take_samples() {
    sample();
    return std::move(watched_);
  }

 private:
  /// Notes what the watched links have carried since the last change.
  void sample();
  /// Where one of all ranks sits.
  std::int64_t gpu(std::int64_t rank) const {
    const auto& map = interconnect_.gpu_of_rank;
    return map.empty() ? rank : map[static_cast<std::size_t>(rank)];
  }
  std::int64_t domain(std::int64_t rank) const { return gpu(rank) / interconnect_.domain_gpus; }
  bool worth_sharing(const Operation& operation, std::int32_t from, std::int32_t to) const;
  FlowId start(SimTime now, std::span<const LinkId> path, const Operation& operation);

  const Interconnect& interconnect_;
  const RankLayout gpus_;            ///< every rank
  const std::int32_t ranks_of_one_;  ///< that a simulated rank stands for
  bool shares_inside_ = false;       ///< several streams of a rank use its NVLinks
  FlowNetwork flows_;
  std::unordered_map<std::int32_t, std::vector<LinkId>> path_of_group_;
  std::vector<LinkId> path_;
  std::vector<LinkId> own_link_;  ///< of each flow: holds it to the rate that it has alone
  std::vector<LinkId> free_links_;
  std::vector<LinkUse> watched_;
  std::vector<LinkId> watched_links_;
  SimTime changed_;
};

}  // namespace stepcast
