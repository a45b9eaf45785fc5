/// Whole parameters on every rank: Megatron-LM's data parallelism (distributed_data_parallel.py, distrib_optimizer.py),
/// PyTorch's DistributedDataParallel and DeepSpeed's ZeRO-1, which differ in their buckets.

#include <algorithm>
#include <tuple>
#include <utility>

#include "simulator/execution/compression.hpp"
#include "simulator/execution/data_parallel.hpp"
#include "simulator/execution/gradient_buckets.hpp"

namespace stepcast {
namespace {

class Replicated : public DataParallelism {
 public:
  explicit Replicated(const StageContext& stage)
      : stage_(stage),
        in_(stage.in),
        sizes_(*find_gradient_buckets(stage.in.plan.gradient_buckets.value_or(*stage.in.framework.gradient_buckets))) {
    if (in_.plan.gradient_compression != "none") compression_ = parse_compression(in_.plan.gradient_compression);
    plan_reductions();
  }

  void begin_step() override {
    if (!overlaps_gather()) return;
    if (!buckets()) {
      for (const ChunkContents& chunk : stage_.chunks) gathered_.push_back(gather(chunk_parameters(chunk)));
      return;
    }
    const ParameterCount all = parameters();
    for (double begin = 0; begin < all.total(); begin = bucket_ends_.back()) {
      bucket_ends_.push_back(begin + bucket_parameters(bucket_ends_.size(), in_.parameter_bytes));
      const double held = std::min(bucket_ends_.back(), all.total()) - begin;
      gathered_.push_back(gather(all * (held / all.total())));
    }
  }

  bool quiet(const PassStep& step) const override {
    if (!reduces() || (overlaps_gather() && stage_.ends.first(step))) return !reduces();
    if (!makes_weight_gradients(step.kind) || !overlaps_reduction()) return no_sync();
    if (!no_sync()) return false;
    if (buckets()) return !stage_.ends.last(step);
    return std::find(reduce_at_.begin(), reduce_at_.end(), stage_.index(step)) == reduce_at_.end();
  }

  bool by_block(const PassStep& step) const override {
    if (!buckets()) return false;
    return (overlaps_gather() && stage_.ends.first(step)) || (overlaps_reduction() && reduces_after(step));
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
    if (!makes_weight_gradients(at.step.kind)) return;
    pending_ += at.block.trained;
    while (pending_.total() >= bucket_parameters(reduced_, in_.gradient_bytes)) {
      // Small buckets close inside a block; Megatron's are larger than its parameters and take what there is.
      const double size = sizes_.every_stage ? bucket_parameters(reduced_, in_.gradient_bytes) : pending_.total();
      const double share = size / pending_.total();
      ++reduced_;
      reduce(pending_ * share, true);
      pending_ = pending_ * (1 - share);
    }
  }

  void after_pass(const PassStep& step) override {
    if (!makes_weight_gradients(step.kind)) return;
    if (overlaps_reduction() && buckets() && reduces_after(step)) {
      if (pending_.total() > 0) reduce(std::exchange(pending_, {}), true);
      reduced_ = 0;
      return;
    }
    if (!reduces() || (no_sync() && !overlaps_reduction())) return;
    if (!no_sync()) {
      reduce(chunk_parameters(stage_.chunks[static_cast<std::size_t>(step.chunk)]), overlaps_reduction());
      if (!overlaps_reduction()) stage_.builder.wait_next(stage_.builder.last(Stream::data));
      return;
    }
    if (buckets()) return;
    for (std::size_t chunk = 0; chunk < stage_.chunks.size(); ++chunk) {
      if (reduce_at_[chunk] == stage_.index(step)) reduce(chunk_parameters(stage_.chunks[chunk]), true);
    }
  }

  std::int32_t finish_gradients() override {
    if (!reduces() || overlaps_reduction() || !no_sync()) return stage_.builder.last(Stream::data);
    stage_.builder.local(Stream::compute, Bucket::optimizer, "gradient_scale", in_.costs.memory_pass(stage_.work.scale),
                         {});
    return reduce(parameters(), false);
  }

  std::int32_t after_optimizer() override {
    if (reduces() && !sharded_optimizer() && in_.uniform) {  // as many as gather() launches
      std::int32_t last = -1;
      for (const auto& [group, size, copies] :
           {std::tuple(GroupKind::data, parameters().dense, in_.plan.dense_copies()),
            {GroupKind::expert_data, parameters().expert, in_.plan.expert_copies()}}) {
        if (size > 0 && copies > 1)
          last = stage_.builder.nothing(Stream::data, group, {stage_.builder.last(Stream::compute)});
      }
      return last;
    }
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
  /// Gradients are reduced once a step: Megatron always, DDP under no_sync().
  bool no_sync() const { return in_.plan.no_sync.value_or(true); }
  bool reduces_after(const PassStep& step) const {
    return makes_weight_gradients(step.kind) && (!no_sync() || stage_.ends.last(step));
  }

  /// Megatron cuts the first stage's only chunk alone into buckets; other stages and chunks reduce in one piece.
  bool buckets() const { return sizes_.every_stage || (stage_.chunks.size() == 1 && stage_.stage == 0); }
  double bucket_parameters(std::size_t index, double element) const {
    return sizes_.parameters(index, stage_.data_ranks(), element);
  }

  /// What is not trained has no gradient to reduce, and never changes.
  ParameterCount parameters() const { return in_.model.trained(stage_.stage); }
  ParameterCount chunk_parameters(const ChunkContents& chunk) const {
    ParameterCount sum;
    for_each_block(in_.model, chunk, [&](const LocalBlock& block, int count) { sum += block.trained * count; });
    return sum;
  }

  std::int32_t reduce(ParameterCount count, bool overlapped) {
    const std::string_view name = overlapped ? "gradient_reduce_overlapped" : "gradient_reduce";
    if (compression_) return reduce_compressed(count, name);
    const auto kind = sharded_optimizer() ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce;
    const std::int32_t scattered =
        launch(kind, count * in_.gradient_bytes, name, {stage_.builder.last(Stream::compute)});
    if (!hybrid()) return scattered;
    // Each optimizer instance has summed its own copies: now the instances sum theirs (Megatron-LM
    // num_distributed_optimizer_instances).
    return stage_.builder.collective(
        Stream::replica, Bucket::dp_comm,
        {CollectiveKind::all_reduce, GroupKind::data_outer,
         Bytes(count.dense * in_.gradient_bytes / static_cast<double>(in_.plan.shard_ranks()))},
        "replica_reduce", {scattered});
  }

  bool hybrid() const { return sharded_optimizer() && in_.plan.shard_ranks() < in_.plan.dense_copies(); }

  /// Encoding and decoding are kernels of the compute stream, which the reduction waits for.
  std::int32_t reduce_compressed(ParameterCount count, std::string_view name) {
    const CompressedReduction made = compression_->reduction(
        {count.total(), in_.gradient_bytes, in_.hidden, static_cast<double>(in_.plan.dense_copies())});
    Seconds encoding = in_.costs.memory_pass(made.traffic);
    if (made.product) {
      encoding = encoding + made.products * in_.costs.op({.name = "", .work = *made.product}).duration.seconds();
    }
    stage_.builder.local(Stream::compute, Bucket::dp_comm, "gradient_compression", encoding, {});
    return stage_.builder.collective(Stream::data, Bucket::dp_comm, {made.kind, GroupKind::data, made.size}, name,
                                     {stage_.builder.last(Stream::compute)});
  }

  std::int32_t gather(ParameterCount count, Waits waits = {}) {
    return launch(CollectiveKind::all_gather, count * in_.parameter_bytes, "parameter_gather", waits);
  }

  /// Dense parameters and experts lie in buffers of their own, with groups of their own; both take the same stream.
  std::int32_t launch(CollectiveKind kind, ParameterCount bytes, std::string_view name, Waits waits) {
    std::int32_t last = -1;
    const GroupKind dense = hybrid() ? GroupKind::data_inner : GroupKind::data;
    const std::int64_t copies_of_dense = hybrid() ? in_.plan.shard_ranks() : in_.plan.dense_copies();
    for (const auto& [group, size, copies] : {std::tuple(dense, bytes.dense, copies_of_dense),
                                              {GroupKind::expert_data, bytes.expert, in_.plan.expert_copies()}}) {
      if (size <= 0 || copies <= 1) continue;
      last = stage_.builder.collective(Stream::data, Bucket::dp_comm, {kind, group, Bytes(size)}, name, waits);
    }
    return last;
  }

  /// Overlapped reductions of a chunk start when every stage has had its last backward of that chunk: after virtual
  /// backward pass k rank r starts that of virtual pass k - r (Megatron-LM schedules.py, align_grad_reduce).
  void plan_reductions() {
    if (!overlaps_reduction()) return;
    reduce_at_.assign(stage_.chunks.size(), stage_.steps.size());
    const std::size_t lag = stage_.chunks.size() > 1 ? static_cast<std::size_t>(stage_.stage) : 0;
    std::vector<std::size_t> backward;  // steps
    for (std::size_t i = stage_.steps.size(); i-- > 0;) {
      const PassStep& step = stage_.steps[i];
      if (!makes_weight_gradients(step.kind)) continue;
      if (stage_.ends.last(step)) {
        const std::size_t later = std::min(lag, backward.size());
        reduce_at_[static_cast<std::size_t>(step.chunk)] = later == 0 ? i : backward[backward.size() - later];
      }
      backward.push_back(i);
    }
  }

  /// Blocks of one bucket wait for the same gather; the bucket behind it is on its way meanwhile.
  std::int32_t next_gathered_bucket(double count) {
    const double begin = std::exchange(position_, position_ + count);
    if (gathered_.empty()) return -1;  // nothing is trained
    const auto bucket = std::upper_bound(bucket_ends_.begin(), bucket_ends_.end(), begin) - bucket_ends_.begin();
    return gathered_[std::min(static_cast<std::size_t>(bucket), gathered_.size() - 1)];
  }

  const StageContext stage_;
  const LoweringInput& in_;
  const GradientBuckets& sizes_;
  std::optional<ChosenCompression> compression_;
  std::vector<std::int32_t> gathered_;  ///< overlapped parameter gathers, by bucket or chunk
  std::vector<double> bucket_ends_;     ///< of the gathered, in parameters
  double position_ = 0;                 ///< parameters of the blocks that have started their first forward
  ParameterCount pending_;              ///< of the bucket that is filling
  std::size_t reduced_ = 0;             ///< buckets sent off in this pass
  std::vector<std::size_t> reduce_at_;  ///< per chunk: the pass after which its overlapped reduction starts
};

}  // namespace

std::unique_ptr<DataParallelism> replicated(const StageContext& stage) { return std::make_unique<Replicated>(stage); }

}  // namespace stepcast
