#include "simulator/execution/pass_ops.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace stepcast {
namespace {

template <class Keep>
OpList filtered(const OpList& ops, Keep keep) {
  OpList kept;
  std::vector<int> place(ops.size(), -1);  // what was left out leaves what it followed
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const int after = ops[i].after < 0 ? -1 : place[static_cast<std::size_t>(ops[i].after)];
    if (!keep(ops[i])) {
      place[i] = after;
      continue;
    }
    place[i] = static_cast<int>(kept.size());
    kept.push_back(ops[i]);
    kept.back().after = after >= 0 && kept[static_cast<std::size_t>(after)].lane != ops[i].lane ? after : -1;
  }
  return kept;
}

bool is_weight_gradient(const LocalOp& op) { return op.pass == Pass::backward_weight; }

}  // namespace

OpList input_gradients(const OpList& backward) {
  return filtered(backward, [](const LocalOp& op) { return !is_weight_gradient(op); });
}
OpList weight_gradients(const OpList& backward) { return filtered(backward, is_weight_gradient); }

OpList in_turn(const std::vector<std::pair<const OpList*, int>>& blocks) {
  OpList all;
  for (const auto& [block, count] : blocks) {
    for (int i = 0; i < count; ++i) {
      const int begin = static_cast<int>(all.size());
      for (LocalOp op : *block) {
        op.after = op.after >= 0 ? op.after + begin : begin - 1;
        all.push_back(op);
      }
    }
  }
  return all;
}

namespace {

/// A pass on its way into the merged list.
struct Cursor {
  const OpList& ops;
  std::size_t next = 0;
  std::vector<int> place = {};  ///< of its operators in the merged list

  bool done() const { return next == ops.size(); }
  int after() const {
    const int dependency = ops[next].after;
    return dependency < 0 ? -1 : place[static_cast<std::size_t>(dependency)];
  }
};

}  // namespace

namespace {

/// A kernel that would take `alone`, of which `beside` lies beside something that leaves it that share of the GPU.
double stretched(SimTime alone, SimTime busy, double sms_left) {
  // What it would do in the time that both run takes 1 / sms_left as long.
  const SimTime beside = std::min(busy, SimTime{std::llround(static_cast<double>(alone.ps) / sms_left)});
  return 1 + static_cast<double>(beside.ps) * (1 - sms_left) / static_cast<double>(alone.ps);
}

void share_multiprocessors(OpList& ops, const CostModel& costs, double sms_left) {
  std::vector<SimTime> ends(ops.size());
  std::array<SimTime, lane_count> free{};
  SimTime taken_from, taken_to;  // by the last collective
  for (std::size_t i = 0; i < ops.size(); ++i) {
    LocalOp& op = ops[i];
    SimTime& lane = free[static_cast<std::size_t>(op.lane)];
    const SimTime ready = op.after < 0 ? SimTime{} : ends[static_cast<std::size_t>(op.after)];
    const SimTime start = std::max(lane, ready), alone = costs.op(op).duration;
    if (std::holds_alternative<Gemm>(op.work) && taken_to > start && start + alone > taken_from && alone > SimTime{}) {
      op.stretch = stretched(alone, taken_to - std::max(start, taken_from), sms_left);
    }
    lane = ends[i] = start + costs.op(op).duration;
    const auto* collective = std::get_if<Collective>(&op.work);
    if (collective != nullptr && op.lane == Lane::comm && collective->kind != CollectiveKind::send_recv) {
      taken_from = start;
      taken_to = ends[i];
    }
  }
}

}  // namespace

void share_multiprocessors(ShardedModel& model, const CostModel& costs, double sms_left) {
  for (LocalBlock& block : model.kinds) {
    share_multiprocessors(block.forward, costs, sms_left);
    share_multiprocessors(block.backward, costs, sms_left);
  }
}

OpList side_by_side(const OpList& one, const OpList& other, const CostModel& costs, double sms_left) {
  std::array<Cursor, 2> passes{Cursor{one}, Cursor{other}};
  OpList merged;
  std::vector<SimTime> ends;
  std::array<SimTime, lane_count> free{};
  SimTime exchanging;  // until then
  const auto start_of = [&](const Cursor& pass) {
    const SimTime ready = pass.after() < 0 ? SimTime{} : ends[static_cast<std::size_t>(pass.after())];
    return std::max(ready, free[static_cast<std::size_t>(pass.ops[pass.next].lane)]);
  };
  while (!passes[0].done() || !passes[1].done()) {
    const bool second = passes[0].done() || (!passes[1].done() && start_of(passes[1]) < start_of(passes[0]));
    Cursor& pass = passes[second ? 1 : 0];
    LocalOp op = pass.ops[pass.next];
    op.after = pass.after();
    const SimTime start = start_of(pass);
    const SimTime alone = costs.op(op).duration;
    if (op.lane == Lane::compute && exchanging > start && alone > SimTime{}) {
      op.stretch = stretched(alone, exchanging - start, sms_left);
    }
    const SimTime end = start + costs.op(op).duration;
    if (op.lane == Lane::expert) exchanging = end;
    pass.place.push_back(static_cast<int>(merged.size()));
    ++pass.next;
    merged.push_back(op);
    ends.push_back(end);
    free[static_cast<std::size_t>(op.lane)] = end;
  }
  return merged;
}

}  // namespace stepcast
