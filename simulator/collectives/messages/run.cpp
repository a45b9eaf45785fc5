#include "simulator/collectives/messages/run.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"
#include "simulator/engine/flows.hpp"

namespace stepcast {
namespace {

/// A message that waits for its ends, or is on its way.
struct Waiting {
  const Message* message;
  int ends_missing;
};

class Run {
 public:
  Run(const MessageSteps& messages, const Topology& topology, std::span<const std::int64_t> ranks)
      : topology_(topology), ranks_(ranks), bytes_(topology.links().size(), 0) {
    for (const Link& link : topology.links()) network_.add_link(link.bandwidth);
    places_.resize(ranks.size());
    for (std::size_t step = 0; step < messages.steps.size(); ++step) {
      for (const Message& message : messages.steps[step]) {
        const auto index = static_cast<std::uint32_t>(waiting_.size());
        int ends = 0;
        for (const std::int64_t end : {message.from, message.to}) {
          if (end < 0) continue;
          Place& place = places_[static_cast<std::size_t>(end)];
          if (place.steps.empty() || place.steps.back().number != step) place.steps.push_back({step, {}});
          place.steps.back().messages.push_back(index);
          ++ends;
        }
        waiting_.push_back({&message, ends});
      }
    }
  }

  MessagesRun operator()() {
    for (std::size_t place = 0; place < places_.size(); ++place) enter(place, SimTime{});
    SimTime last{};
    while (network_.next() < forever) {
      const auto finished = network_.advance(network_.next());
      done_.assign(finished.begin(), finished.end());
      for (const FlowNetwork::Finished& flow : done_) {
        last = flow.time;
        finish(*waiting_[message_of_[flow.flow]].message, flow.time);
      }
    }
    CHECK(ended_ == waiting_.size(), "every message finds both of its ends");
    MessagesRun run{last, static_cast<std::int64_t>(waiting_.size()), 0};
    const double seconds = last.seconds().si();
    for (std::size_t link = 0; link < bytes_.size() && seconds > 0; ++link)
      run.busiest_link = std::max(run.busiest_link, bytes_[link] / (topology_.links()[link].bandwidth.si() * seconds));
    return run;
  }

 private:
  struct OwnStep {
    std::size_t number;
    std::vector<std::uint32_t> messages;
  };
  struct Place {
    std::vector<OwnStep> steps;  ///< those in which it has something to do
    std::size_t at = 0;
    std::size_t left = 0;  ///< messages of this step that are not done
  };

  void enter(std::size_t number, SimTime now) {
    Place& place = places_[number];
    if (place.at == place.steps.size()) return;
    place.left = place.steps[place.at].messages.size();
    for (const std::uint32_t index : place.steps[place.at].messages)
      if (--waiting_[index].ends_missing == 0) start(index, now);
  }

  void start(std::uint32_t index, SimTime now) {
    const Message& message = *waiting_[index].message;
    path_.clear();
    if (message.from >= 0 && message.to >= 0)
      topology_.route(rank(message.from), rank(message.to), path_);
    else if (message.to < 0)
      to_switch(rank(message.from), message.to);
    else {
      to_switch(rank(message.to), message.from);
      // The same links the other way round.
      std::reverse(path_.begin(), path_.end());
      for (LinkIndex& link : path_) {
        const Link& up = topology_.links()[link];
        link = topology_.index_of(*topology_.between(up.to, up.from));
      }
    }
    Seconds latency(0);
    for (const LinkIndex link : path_) {
      latency += topology_.links()[link].latency;
      bytes_[link] += message.size.si();
    }
    const FlowId flow = network_.add_flow(now, path_, message.size, latency);
    if (message_of_.size() <= flow) message_of_.resize(flow + 1);
    message_of_[flow] = index;
  }

  void finish(const Message& message, SimTime now) {
    ++ended_;
    for (const std::int64_t end : {message.from, message.to}) {
      if (end < 0) continue;
      Place& place = places_[static_cast<std::size_t>(end)];
      if (--place.left > 0) continue;
      ++place.at;
      enter(static_cast<std::size_t>(end), now);
    }
  }

  /// The links from a rank to the NVSwitches of its domain, or through its NIC to the leaf switch.
  void to_switch(std::int64_t from, std::int64_t which) {
    const VertexIndex gpu = topology_.gpus()[static_cast<std::size_t>(from)];
    const std::vector<VertexIndex> planes = topology_.neighbours(gpu, Device::nvswitch);
    if (which == node_switch && !planes.empty()) {
      path_.push_back(topology_.index_of(*topology_.between(gpu, planes.front())));
      return;
    }
    if (which == node_switch || topology_.switch_of(from) < 0)
      throw UserError("this node's GPUs have no switch between them that adds up");
    topology_.route_to_switch(from, path_);
  }

  std::int64_t rank(std::int64_t place) const { return ranks_[static_cast<std::size_t>(place)]; }

  const Topology& topology_;
  std::span<const std::int64_t> ranks_;
  FlowNetwork network_;
  std::vector<Place> places_;
  std::vector<Waiting> waiting_;
  std::vector<std::uint32_t> message_of_;  ///< by flow
  std::vector<FlowNetwork::Finished> done_;
  std::vector<double> bytes_;  ///< of each link
  std::vector<LinkIndex> path_;
  std::size_t ended_ = 0;
};

}  // namespace

MessagesRun run_messages(const MessageSteps& messages, const Topology& topology, std::span<const std::int64_t> ranks) {
  return Run(messages, topology, ranks)();
}

}  // namespace stepcast
