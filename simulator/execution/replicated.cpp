/// Megatron-LM's data parallelism (distributed_data_parallel.py, distrib_optimizer.py), and plain DDP.

#include <algorithm>
#include <tuple>
#include <utility>

#include "simulator/execution/data_parallel.hpp"

namespace stepcast {
namespace {

/// Parameters of one gradient bucket: Megatron-LM distributed_data_parallel.py, max(40e6, 1e6 D).
double bucket_parameters(double data_ranks) { return std::max(40e6, 1e6 * data_ranks); }

class Replicated : public DataParallelism {
 public:
  explicit Replicated(const StageContext& stage) : stage_(stage), in_(stage.in) { plan_reductions(); }

  void begin_step() override {
    if (!overlaps_gather()) return;
    if (buckets()) {
      const ParameterCount all = parameters();
      const double bucket = bucket_parameters(stage_.data_ranks()) / all.total();
      for (double left = 1; left > 0; left -= bucket) gathered_.push_back(gather(all * std::min(left, bucket)));
    } else {
      for (const ChunkContents& chunk : stage_.chunks) gathered_.push_back(gather(chunk_parameters(chunk)));
    }
  }

  bool by_block(const PassStep& step) const override {
    if (!buckets()) return false;
    return (overlaps_gather() && stage_.ends.first(step)) || (overlaps_reduction() && stage_.ends.last(step));
  }

  void before_pass(const PassStep& step) override {
    if (overlaps_gather() && !buckets() && stage_.ends.first(step)) {
      stage_.builder.wait_next(gathered_[static_cast<std::size_t>(step.chunk)]);
    }
  }

  void before_block(const PassBlock& at) override {
    if (at.step.kind == PassKind::forward) stage_.builder.wait_next(next_gathered_bucket(at.block.parameters));
  }

  void after_block(const PassBlock& at) override {
    if (at.step.kind == PassKind::forward) return;
    pending_ += at.block.trained;
    if (pending_.total() >= bucket_parameters(stage_.data_ranks())) reduce(std::exchange(pending_, {}), true);
  }

  void after_pass(const PassStep& step) override {
    if (!makes_weight_gradients(step.kind)) return;
    if (pending_.total() > 0) reduce(std::exchange(pending_, {}), true);
    const std::int64_t k = backward_++;
    if (!overlaps_reduction() || buckets()) return;
    for (std::size_t chunk = 0; chunk < stage_.chunks.size(); ++chunk) {
      if (std::min(reduce_after_[chunk], backwards_ - 1) == k) reduce(chunk_parameters(stage_.chunks[chunk]), true);
    }
  }

  std::int32_t finish_gradients() override {
    if (!reduces() || overlaps_reduction()) return stage_.builder.last(Stream::data);
    stage_.builder.local(Stream::compute, Bucket::optimizer, "gradient_scale", in_.costs.memory_pass(stage_.work.scale),
                         {});
    return reduce(parameters(), false);
  }

  std::int32_t after_optimizer() override {
    if (!reduces() || !sharded_optimizer() || overlaps_gather()) return -1;
    return gather(parameters(), {stage_.builder.last(Stream::compute)});
  }

 private:
  bool sharded_optimizer() const { return in_.plan.zero >= 1; }
  bool reduces() const {
    return in_.plan.dense_copies() > 1 || (parameters().expert > 0 && in_.plan.expert_copies() > 1);
  }
  bool overlaps_reduction() const { return reduces() && in_.plan.overlap_grad_reduce.value(); }
  bool overlaps_gather() const { return reduces() && sharded_optimizer() && in_.plan.overlap_param_gather.value(); }

  /// Bucketing is for the first stage's only chunk; other stages and chunks reduce in one piece.
  bool buckets() const { return stage_.chunks.size() == 1 && stage_.stage == 0; }

  /// What is not trained has no gradient to reduce, and never changes.
  ParameterCount parameters() const { return in_.model.trained(stage_.stage); }
  ParameterCount chunk_parameters(const ChunkContents& chunk) const {
    ParameterCount sum;
    for_each_block(in_.model, chunk, [&](const LocalBlock& block, int count) { sum += block.trained * count; });
    return sum;
  }

  std::int32_t reduce(ParameterCount count, bool overlapped) {
    const auto kind = sharded_optimizer() ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce;
    return launch(kind, count * in_.gradient_bytes, overlapped ? "gradient_reduce_overlapped" : "gradient_reduce",
                  {stage_.builder.last(Stream::compute)});
  }

  std::int32_t gather(ParameterCount count, const std::vector<std::int32_t>& waits = {}) {
    return launch(CollectiveKind::all_gather, count * in_.parameter_bytes, "parameter_gather", waits);
  }

  /// Dense parameters and experts lie in buffers of their own, with groups of their own; both take the same stream.
  std::int32_t launch(CollectiveKind kind, ParameterCount bytes, std::string_view name,
                      const std::vector<std::int32_t>& waits) {
    std::int32_t last = -1;
    for (const auto& [group, size, copies] : {std::tuple(GroupKind::data, bytes.dense, in_.plan.dense_copies()),
                                              {GroupKind::expert_data, bytes.expert, in_.plan.expert_copies()}}) {
      if (size <= 0 || copies <= 1) continue;
      last = stage_.builder.collective(Stream::data, Bucket::dp_comm, {kind, group, Bytes(size)}, name, waits);
    }
    return last;
  }

  /// Overlapped reductions of a chunk start when every stage has had its last backward of that chunk: after virtual
  /// backward pass k rank r starts that of virtual pass k - r (Megatron-LM schedules.py, align_grad_reduce).
  void plan_reductions() {
    reduce_after_.assign(stage_.chunks.size(), -1);
    const int lag = stage_.chunks.size() > 1 ? stage_.stage : 0;
    for (const PassStep& step : stage_.steps) {
      if (!makes_weight_gradients(step.kind)) continue;
      if (stage_.ends.last(step)) reduce_after_[static_cast<std::size_t>(step.chunk)] = backwards_ + lag;
      ++backwards_;
    }
  }

  /// Blocks of one bucket wait for the same gather; the bucket behind it is on its way meanwhile.
  std::int32_t next_gathered_bucket(double count) {
    const auto index =
        static_cast<std::size_t>(std::exchange(position_, position_ + count) / bucket_parameters(stage_.data_ranks()));
    return gathered_[std::min(index, gathered_.size() - 1)];
  }

  const StageContext stage_;
  const LoweringInput& in_;
  std::vector<std::int32_t> gathered_;      ///< overlapped parameter gathers, by bucket or chunk
  double position_ = 0;                     ///< parameters of the blocks that have started their first forward
  ParameterCount pending_;                  ///< of the bucket that is filling
  std::vector<std::int64_t> reduce_after_;  ///< per chunk: backward pass after which its reduction starts
  std::int64_t backward_ = 0, backwards_ = 0;
};

}  // namespace

std::unique_ptr<DataParallelism> replicated(const StageContext& stage) { return std::make_unique<Replicated>(stage); }

}  // namespace stepcast
