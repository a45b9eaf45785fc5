/// Data parallelism that does not wait for everybody in every step: local SGD and DiLoCo, gossip averaging, asynchronous
/// gradients. Throughput and traffic alone: how many more steps the same loss takes is the user's to supply.

#include <algorithm>

#include "simulator/collectives/collective_time.hpp"
#include "simulator/execution/data_parallel.hpp"

namespace stepcast {
namespace {

/// One of three, by the plan:
/// - local steps: every H-th step the parameters are averaged over all copies (Stich 2018; DiLoCo, Douillard et al. 2023,
///   arXiv 2311.08105), by an outer optimizer with momentum. A step is the mean one: 1/H of the outer exchange.
/// - gossip: parameters are exchanged with k neighbours while gradients are computed (D-PSGD, Lian et al. 2017, arXiv
///   1705.09056, algorithm 1). One NIC sends to one neighbour after the other.
/// - asynchronous: gradients go to the owners of the parameters, parameters come back, beside the next step's kernels (Dean et
///   al. 2012, "Downpour SGD"); owners are spread over the copies.
class LooselySynchronised : public DataParallelism {
 public:
  explicit LooselySynchronised(const StageContext& stage) : stage_(stage), in_(stage.in) {}

  void begin_step() override {
    if (!in_.plan.asynchronous_data) return;
    local(Stream::data, "push_gradients_pull_parameters", message(in_.gradient_bytes) + message(in_.parameter_bytes),
          {});
  }
  bool quiet(const PassStep& step) const override {
    return in_.plan.gossip_neighbours == 0 || !stage_.ends.first(step);
  }
  bool by_block(const PassStep&) const override { return false; }
  void before_pass(const PassStep& step) override {
    if (in_.plan.gossip_neighbours == 0 || step.kind != PassKind::forward || !stage_.ends.first(step)) return;
    if (in_.plan.overlap_grad_reduce.value() && !exchanged_) gossip(-1);
  }
  void before_block(const PassBlock&) override {}
  void after_block(const PassBlock&) override {}
  void after_pass(const PassStep&) override {}

  std::int32_t finish_gradients() override {
    if (in_.plan.gossip_neighbours > 0 && !exchanged_) gossip(stage_.builder.last(Stream::compute));
    return stage_.builder.last(Stream::data);
  }

  std::int32_t after_optimizer() override {
    if (in_.plan.local_steps <= 1) return -1;
    const auto steps = static_cast<double>(in_.plan.local_steps);
    const Seconds average =
        in_.costs.collective(CollectiveKind::all_reduce, GroupKind::data, bytes(in_.gradient_bytes));
    local(Stream::compute, "outer_average", average / steps, {});
    // Outer optimizer: old parameters, momentum and mean in, old parameters, momentum and parameters out, all fp32.
    stage_.builder.local(Stream::compute, Bucket::optimizer, "outer_optimizer",
                         in_.costs.memory_pass(bytes(6 * 4)) / steps, {});
    return -1;
  }

 private:
  Bytes bytes(double element) const { return Bytes(element * in_.model.trained(stage_.stage).total()); }
  Seconds message(double element) const {
    return point_to_point_time(bytes(element), in_.costs.shape(GroupKind::data).crosses_network(), in_.cluster);
  }
  void local(Stream stream, std::string_view name, Seconds time, const std::vector<std::int32_t>& waits) {
    stage_.builder.local(stream, Bucket::dp_comm, name, time, waits);
  }
  void gossip(std::int32_t after) {
    exchanged_ = true;
    local(Stream::data, "gossip_exchange",
          static_cast<double>(in_.plan.gossip_neighbours) * message(in_.parameter_bytes), {after});
  }

  const StageContext stage_;
  const LoweringInput& in_;
  bool exchanged_ = false;
};

}  // namespace

std::unique_ptr<DataParallelism> loosely_synchronised(const StageContext& stage) {
  return std::make_unique<LooselySynchronised>(stage);
}

}  // namespace stepcast
