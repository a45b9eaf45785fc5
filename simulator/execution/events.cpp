#include <algorithm>
#include <optional>
#include <utility>

#include "simulator/base/error.hpp"
#include "simulator/engine/event_queue.hpp"
#include "simulator/engine/random.hpp"
#include "simulator/execution/account.hpp"
#include "simulator/execution/critical_path.hpp"
#include "simulator/execution/execute.hpp"
#include "simulator/execution/network.hpp"
#include "simulator/execution/rank_layout.hpp"

namespace stepcast {
namespace {

constexpr std::size_t compute = static_cast<std::size_t>(Stream::compute);

/// Streams start their next operation once it is ready; ends are events on the queue. A rank is a few counters, whatever
/// the length of its program.
class Events {
 public:
  Events(const Programs& programs, const ExecutionOptions& options, const Disturbances& disturbances,
         const Interconnect* interconnect)
      : programs_(programs),
        code_(compile(programs)),
        layout_(programs.grid, options.fold),
        options_(options),
        disturbances_(disturbances),
        launch_seed_(random_bits(disturbances.seed, disturbances.step, -2)),
        ranks_(static_cast<std::size_t>(layout_.ranks())),
        accounts_(ranks_.size()),
        interferes_(options.interference),
        work_(interferes_ ? ranks_.size() : 0),
        arrived_(static_cast<std::size_t>(layout_.group_ids()), 0) {
    if (interconnect != nullptr) network_.emplace(*interconnect, programs.grid, options.fold, code_);
    if (network_ && options.record_spans) watch_links();
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      const double spread =
          disturbances.speed > 0 ? disturbances.speed * random_normal(disturbances.seed, rank, -1) : 0;
      const auto slow = disturbances.slow.find(rank);
      slowness_.push_back((1 + spread) / (slow == disturbances.slow.end() ? 1 : slow->second) - 1);
    }
    if (disturbances.any()) {
      latest_arrival_.assign(arrived_.size(), 0);
      kept_waiting_.assign(ranks_.size(), 0);
    }
    if (!options.critical_path) return;
    std::size_t slots = 0;
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      offset_.push_back(slots);
      slots += code(rank).operations.size();
    }
    ran_.resize(slots);
  }

  Timeline run() {
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      for (std::size_t stream = 0; stream < stream_count; ++stream) advance(rank, stream);
    }
    for (;;) {
      if (network_ && !network_->idle()) {
        // What starts at one moment starts together: rates are worked out once.
        const SimTime flow = network_->next();
        if (queue_.empty() || flow < queue_.next_time()) {
          now_ = flow.ps;
          for (const auto& ended : network_->advance(flow)) {
            ++events_;
            finish(transfers_[ended.flow]);
          }
          continue;
        }
      }
      if (queue_.empty()) break;
      const auto event = queue_.pop();
      now_ = event.time.ps;
      ++events_;
      finish(event.what);
    }
    return account();
  }

 private:
  /// A stream's operation ends: of one rank, of both ends of a message, of every member of a group.
  struct End {
    std::int64_t began;
    std::int32_t rank;
    std::uint8_t stream;
    InstructionKind kind;
    GroupKind group;
  };
  /// What most events read and write of a rank, streams in its first cache line.
  struct alignas(64) Rank {
    std::array<std::int32_t, stream_count> ended{};  ///< operations of each stream
    std::array<StreamSet, stream_count> wakes{};     ///< streams that wait for this one, a bit each
    StreamSet running = 0;                           ///< streams whose next operation has begun or been posted
    bool computing = false;                          ///< the compute stream's operation has begun
    bool has_history = false;
    std::int64_t idle_since = 0;  ///< the compute stream
    SimTime computed;             ///< of Bucket::compute
  };
  /// The rest of its account.
  struct Account {
    BucketTimes buckets{};
    /// What has ended while the compute stream was idle; it may be what it was idle for.
    std::vector<std::pair<std::int32_t, Interval>> history;
  };

  /// What is left of a rank's kernel, and what transfers beside it take.
  struct Work {
    double left = 0;  ///< ticks at full speed, at `since`
    std::int64_t since = 0;
    double sms = 0, bandwidth = 0;
  };

  Rank& at(std::int32_t rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  const Code& code(std::int32_t rank) const { return code_[static_cast<std::size_t>(layout_.stage(rank))]; }
  std::int32_t next_operation(std::int32_t rank, std::size_t stream) {
    return code(rank).begin[stream] + at(rank).ended[stream];
  }

  void advance(std::int32_t rank, std::size_t stream) {
    Rank& state = at(rank);
    const Code& program = code(rank);
    const std::int32_t index = program.begin[stream] + state.ended[stream];
    if (state.running >> stream & 1U || index == program.begin[stream + 1]) return;
    const Operation& operation = program.operation(index);
    for (std::int32_t w = 0; w < operation.wait_count; ++w) {
      const Wait wait = program.waits[static_cast<std::size_t>(operation.first_wait + w)];
      const auto other = static_cast<std::size_t>(wait.stream);
      if (state.ended[other] < wait.count) {
        state.wakes[other] |= static_cast<StreamSet>(1U << stream);
        return;
      }
    }
    state.running |= static_cast<StreamSet>(1U << stream);
    issue(rank, stream, operation);
  }

  void issue(std::int32_t rank, std::size_t stream, const Operation& operation) {
    const End end{now_, rank, static_cast<std::uint8_t>(stream), operation.kind, operation.group};
    switch (operation.kind) {
      case InstructionKind::local: {
        if (stream == compute) begin_compute(rank);
        const std::int64_t duration = sampled(rank, operation);
        if (stream == compute && interferes_) {
          work_[static_cast<std::size_t>(rank)].left = static_cast<double>(duration);
        }
        queue_.push({now_ + duration}, end);
        return;
      }
      case InstructionKind::send:
      case InstructionKind::receive: {
        const std::int32_t peer = layout_.peer(rank, operation.peer_stage);
        const auto other = static_cast<std::size_t>(code(peer).operation(operation.peer).stream);
        if (!(at(peer).running >> other & 1U) || next_operation(peer, other) != operation.peer) return;  // not posted
        take(rank, operation, 1);
        take(peer, operation, 1);
        const bool sends = operation.kind == InstructionKind::send;
        FlowId flow;
        if (network_ && network_->start_message({now_}, sends ? rank : peer, sends ? peer : rank, operation, flow)) {
          follow(flow, end);
        } else {
          queue_.push({now_ + operation.duration.ps}, end);
        }
        return;
      }
      case InstructionKind::collective: {
        const RankGroup group = layout_.group(rank, operation.group);
        const auto meeting = static_cast<std::size_t>(group.id);
        std::int32_t& arrived = arrived_[meeting];
        if (++arrived < group.count) {
          if (!latest_arrival_.empty()) latest_arrival_[meeting] = now_;
          return;
        }
        if (!latest_arrival_.empty() && group.count > 1) {
          kept_waiting_[static_cast<std::size_t>(rank)] +=
              static_cast<double>(now_ - latest_arrival_[meeting]) * (group.count - 1);
        }
        arrived = 0;
        for (std::int32_t i = 0; stream == compute && i < group.count; ++i) begin_compute(group.member(i));
        for (std::int32_t i = 0; interferes_ && i < group.count; ++i) take(group.member(i), operation, 1);
        FlowId flow;
        if (network_ && network_->start_collective({now_}, rank, operation, flow)) {
          follow(flow, end);
        } else {
          queue_.push({now_ + operation.duration.ps}, end);
        }
        return;
      }
    }
  }

  /// The operation ends when its flow does.
  void follow(FlowId flow, const End& end) {
    if (flow >= transfers_.size()) transfers_.resize(flow + 1);
    transfers_[flow] = end;
  }

  std::int64_t sampled(std::int32_t rank, const Operation& operation) const {
    const std::int64_t duration = operation.duration.ps;
    if (!disturbances_.any()) return duration;
    double longer = slowness_[static_cast<std::size_t>(rank)] * static_cast<double>(operation.clocked.ps);
    if (disturbances_.launch > 0 && operation.launched > 0) {
      longer +=
          disturbances_.launch * operation.launched * random_normal(launch_seed_, rank, operation.first_instruction);
    }
    return std::max<std::int64_t>(0, duration + std::llround(longer));
  }

  void begin_compute(std::int32_t rank) {
    Rank& state = at(rank);
    if (interferes_) work_off(rank);
    state.computing = true;
    if (now_ > state.idle_since) {
      Account& account = accounts_[static_cast<std::size_t>(rank)];
      const auto ran = [&](std::int32_t operation) {
        for (const auto& [index, interval] : account.history) {
          if (index == operation) return interval;
        }
        return Interval{};
      };
      charge_idle(code(rank), next_operation(rank, compute), state.idle_since, now_, ran, account.buckets);
    }
    if (!std::exchange(state.has_history, false)) return;
    accounts_[static_cast<std::size_t>(rank)].history.clear();
  }

  /// How much of a kernel's full speed is left beside the transfers that run: its matrix part loses their SMs, the rest
  /// their memory traffic. (Waves of tiles are left out: the loss is linear in SMs.)
  double speed(const Operation& operation, double sms, double bandwidth) const {
    const double all = std::max(1.0, static_cast<double>(operation.duration.ps));
    const double matrix = static_cast<double>(operation.clocked.ps) / all;
    const double left_sms = std::max(0.1, 1 - sms / std::max(1.0, programs_.sms));
    const double left_bandwidth = std::max(0.1, 1 - bandwidth / programs_.hbm_bandwidth.si());
    return 1 / (matrix / left_sms + (1 - matrix) / left_bandwidth);
  }

  /// Notes what a rank's kernel has done up to now.
  void work_off(std::int32_t rank) {
    Work& work = work_[static_cast<std::size_t>(rank)];
    if (at(rank).computing && now_ > work.since) {
      const Operation& operation = code(rank).operation(next_operation(rank, compute));
      work.left -= static_cast<double>(now_ - work.since) * speed(operation, work.sms, work.bandwidth);
    }
    work.since = now_;
  }

  /// A transfer begins (1) or ends (-1) to take its share of a rank.
  void take(std::int32_t rank, const Operation& operation, int way) {
    if (!interferes_ || operation.duration.ps == 0) return;
    work_off(rank);
    Work& work = work_[static_cast<std::size_t>(rank)];
    work.sms += way * operation.sms;
    work.bandwidth += way * (operation.memory_traffic / operation.duration.seconds()).si();
  }

  void finish(const End& end) {
    const std::size_t stream = end.stream;
    switch (end.kind) {
      case InstructionKind::local:
        if (interferes_ && stream == compute) {
          work_off(end.rank);
          // Slowed down meanwhile: not before the rest is done at full speed does it end.
          constexpr double a_nanosecond = 1000;
          const double left = work_[static_cast<std::size_t>(end.rank)].left;
          if (left > a_nanosecond) {
            queue_.push({now_ + std::llround(left)}, end);
            return;
          }
        }
        complete(end.rank, stream, end.began);
        return;
      case InstructionKind::send:
      case InstructionKind::receive: {
        const Operation& operation = code(end.rank).operation(next_operation(end.rank, stream));
        const std::int32_t peer = layout_.peer(end.rank, operation.peer_stage);
        const auto other = static_cast<std::size_t>(code(peer).operation(operation.peer).stream);
        take(end.rank, operation, -1);
        take(peer, operation, -1);
        complete(peer, other, end.began);
        complete(end.rank, stream, end.began);
        return;
      }
      case InstructionKind::collective: {
        const RankGroup group = layout_.group(end.rank, end.group);
        const Operation& operation = code(end.rank).operation(next_operation(end.rank, stream));
        for (std::int32_t i = 0; interferes_ && i < group.count; ++i) take(group.member(i), operation, -1);
        for (std::int32_t i = 0; i < group.count; ++i) complete(group.member(i), stream, end.began);
        return;
      }
    }
  }

  /// The stream's operation has ended: what waits for it goes on.
  void complete(std::int32_t rank, std::size_t stream, std::int64_t began) {
    Rank& state = at(rank);
    const std::int32_t index = next_operation(rank, stream);
    const Interval ran{began, now_};
    if (stream == compute) {
      const Operation& operation = code(rank).operation(index);
      if (operation.parts < 0 && operation.bucket == Bucket::compute) {
        state.computed.ps += now_ - began;
      } else {
        charge_busy(code(rank), operation, {now_ - began}, accounts_[static_cast<std::size_t>(rank)].buckets);
      }
      state.idle_since = now_;
      state.computing = false;
    } else if (!state.computing && now_ > state.idle_since) {
      accounts_[static_cast<std::size_t>(rank)].history.emplace_back(index, ran);
      state.has_history = true;
    }
    if (!ran_.empty()) ran_[slot(rank, index)] = ran;
    if (is_traced(options_, rank, ran)) {
      append_spans(programs_, code(rank), layout_.stage(rank), rank, index, ran, message(rank, index), spans_);
    }
    ++state.ended[stream];
    state.running &= static_cast<StreamSet>(~(1U << stream));
    const StreamSet wakes = std::exchange(state.wakes[stream], StreamSet{0});
    advance(rank, stream);
    for (std::size_t other = 0; other < stream_count; ++other) {
      if (wakes >> other & 1U) advance(rank, other);
    }
  }

  /// The same for a send and its receive.
  std::int64_t message(std::int32_t rank, std::int32_t index) const {
    const Operation& operation = code(rank).operation(index);
    const auto number = [&](std::int32_t sender, std::int32_t send) {
      return static_cast<std::int64_t>(sender) << 32 | send;
    };
    if (operation.kind == InstructionKind::send) return number(rank, index);
    if (operation.kind != InstructionKind::receive) return -1;
    return number(layout_.peer(rank, operation.peer_stage), operation.peer);
  }

  std::size_t slot(std::int32_t rank, std::int32_t operation) const {
    return offset_[static_cast<std::size_t>(rank)] + static_cast<std::size_t>(operation);
  }

  /// Of the traced ranks, where their traffic leaves and enters the node.
  void watch_links() {
    std::int32_t most = 64;  // each costs time at every change of the network
    for (std::int32_t rank = 0; rank < layout_.ranks() && most > 0; ++rank) {
      if (!is_traced(options_, rank, {options_.traced_from.ps, options_.traced_from.ps})) continue;
      const auto stages = static_cast<std::int32_t>(code_.size());
      const std::int32_t stage = layout_.stage(rank);
      network_->watch(rank, stages > 1 ? layout_.peer(rank, stage + 1 < stages ? stage + 1 : stage - 1)
                                       : layout_.group(rank, GroupKind::data).member(0));
      --most;
    }
  }

  Timeline account() {
    Timeline timeline;
    timeline.labels = programs_.labels;
    timeline.step = {now_};
    timeline.events = events_;
    timeline.spans = std::move(spans_);
    if (network_) timeline.links = network_->take_samples();
    for (double ticks : kept_waiting_) timeline.kept_waiting.emplace_back(ticks * 1e-12);
    if (!ran_.empty()) {
      timeline.critical_path = critical_path(
          code_, layout_, [&](std::int32_t rank, std::int32_t operation) { return ran_[slot(rank, operation)]; });
    }
    for (std::int32_t rank = 0; rank < layout_.ranks(); ++rank) {
      const Code& program = code(rank);
      for (std::size_t stream = 0; stream < stream_count; ++stream) {
        CHECK(next_operation(rank, stream) == program.begin[stream + 1],
              "every instruction ran: a schedule is free of deadlock");
      }
      BucketTimes& buckets = accounts_[static_cast<std::size_t>(rank)].buckets;
      buckets[static_cast<std::size_t>(Bucket::compute)] += at(rank).computed;
      timeline.buckets.push_back(close_account(buckets, at(rank).idle_since, timeline.step));
      timeline.stage_of_rank.push_back(layout_.stage(rank));
      timeline.instructions += static_cast<std::int64_t>(program.instructions.size());
    }
    return timeline;
  }

  const Programs& programs_;
  const std::vector<Code> code_;
  const RankLayout layout_;
  const ExecutionOptions options_;
  const Disturbances disturbances_;
  const std::uint64_t launch_seed_;
  std::vector<double> slowness_;  ///< per rank: share by which clocked work takes longer
  std::vector<Rank> ranks_;
  std::vector<Account> accounts_;
  const bool interferes_;
  std::vector<Work> work_;                    ///< of each rank, when transfers and kernels interfere
  std::vector<std::int32_t> arrived_;         ///< at the next collective of each group
  std::vector<std::int64_t> latest_arrival_;  ///< at the next collective of each group
  std::vector<double> kept_waiting_;          ///< by each rank, ticks
  std::vector<std::size_t> offset_;           ///< of each rank in the following
  std::vector<Interval> ran_;                 ///< when every operation ran, for the critical path
  EventQueue<End> queue_;
  std::optional<Network> network_;
  std::vector<End> transfers_;  ///< by flow
  std::vector<Span> spans_;
  std::int64_t now_ = 0, events_ = 0;
};

}  // namespace

Timeline events(const Programs& programs, const ExecutionOptions& options, const Disturbances& disturbances,
                const Interconnect* interconnect) {
  return Events(programs, options, disturbances, interconnect).run();
}

}  // namespace stepcast
