#include "simulator/search/lower_bound.hpp"

#include <algorithm>

#include "simulator/collectives/collective_time.hpp"
#include "simulator/execution/step_work.hpp"

namespace stepcast {
namespace {

double seconds(SimTime time) { return time.seconds().si(); }

class StepBound {
 public:
  explicit StepBound(const Evaluator& evaluator)
      : evaluator_(evaluator),
        plan_(evaluator.plan()),
        framework_(evaluator.job().framework),
        model_(evaluator.model()),
        schedule_(*find_schedule(plan_.schedule)),
        shape_(pipeline_shape(plan_)),
        microbatches_(static_cast<double>(shape_.microbatches)) {}

  double seconds_at_least() const {
    double before = 0, after = 0, apart = 0;
    for (const Evaluator::StageTotals& totals : evaluator_.cut().totals) {
      const StepWork work = step_work(model_, totals.stage, plan_, framework_);
      const double one = until_norm(totals, work), other = from_norm(work);
      before = std::max(before, one);
      after = std::max(after, other);
      apart = std::max(apart, one + other);
    }
    const double norm = evaluator_.collective(CollectiveKind::all_reduce, GroupKind::world, Bytes(4)).si();
    const double all = plan_.loosely_synchronised() ? apart : before + norm + after;
    // Durations are rounded to ticks, up or down; so many may have been rounded up here that are rounded down there.
    return all * (1 - 1e-9) - 1e-9;
  }

 private:
  using Blocks = Evaluator::StageTotals::Blocks;

  template <class F>
  double sum(const Blocks& blocks, F&& time) const {
    double all = 0;
    if (blocks.embedding > 0) all += blocks.embedding * time(model_.embedding);
    if (blocks.head > 0) all += blocks.head * time(model_.head);
    for (std::size_t kind = 0; kind < blocks.kinds.size(); ++kind) {
      if (blocks.kinds[kind] > 0) all += blocks.kinds[kind] * time(model_.kinds[kind]);
    }
    return all;
  }

  double pass(const LocalBlock& block, PassKind kind) const {
    const FoldedPass& folded = evaluator_.passes().of(block, kind).folded;
    return seconds(pairs() ? folded.parts[static_cast<std::size_t>(Bucket::compute)] : folded.duration);
  }
  bool pairs() const { return shape_.paired || evaluator_.cut().passes.pairs; }

  double forward(const LocalBlock& block) const { return pass(block, PassKind::forward); }
  double backward(const LocalBlock& block) const {
    const double whole = pass(block, PassKind::backward);
    if (!evaluator_.cut().passes.splits) return whole;
    return std::min(whole, pass(block, PassKind::backward_input) + pass(block, PassKind::backward_weight));
  }

  /// Kernels that fully sharded parameters need beside a block's passes, in one microbatch of the step's middle.
  struct Sharded {
    double copies = 0;   ///< on the compute stream
    double carried = 0;  ///< on the stream of data parallelism
  };
  bool fully_sharded() const { return plan_.zero >= 2 && (plan_.dense_copies() > 1 || plan_.expert_copies() > 1); }
  Sharded sharded(const LocalBlock& block, double gathers, double scatters) const {
    const auto carry = [&](CollectiveKind kind, ParameterCount bytes) { return reduction(kind, bytes); };
    const LoweringInput in = evaluator_.lowering();
    Sharded all;
    const double gather = carry(CollectiveKind::all_gather, block.count() * in.parameter_bytes);
    if (gather <= 0) return all;
    all.carried =
        gathers * gather + scatters * carry(CollectiveKind::reduce_scatter, block.trained * in.gradient_bytes);
    all.copies = gathers * pass_over(Bytes(2 * in.parameter_bytes * block.parameters)) +
                 scatters * pass_over(Bytes((in.parameter_bytes + in.gradient_bytes) * block.trained.total()));
    return all;
  }

  /// What the step's gathers and scatters take on their stream, one after the other, and their copies.
  Sharded parameters(const Evaluator::StageTotals& totals) const {
    Sharded all;
    if (!fully_sharded()) return all;
    const bool pipelined = plan_.pipeline_parallel > 1;
    const bool reshards = plan_.zero >= 3 && plan_.reshard_after_forward.value_or(!pipelined);
    const double scatters = pipelined ? 1 : microbatches_;
    // A block runs backward right after its own forward pass at the end of the model; every other is gathered for both.
    sum(totals.own, [&](const LocalBlock& block) {
      const bool end = &block == &model_.embedding || &block == &model_.head;
      double gathers = reshards ? microbatches_ * (end ? 1 : 2) : 1;
      if (reshards && (pipelined || totals.own.head == 0 || totals.own.embedding == 0)) gathers = 1;
      const Sharded each = sharded(block, gathers, scatters);
      const double count = end ? 1 : totals.own.kinds[static_cast<std::size_t>(&block - model_.kinds.data())];
      all.copies += count * each.copies;
      all.carried += count * each.carried;
      return 0.0;
    });
    return all;
  }

  /// Exchanges with neighbours that the compute stream stands still for.
  double exchanges(int stage) const {
    if (shape_.stages == 1 || chunk_placement(plan_) != ChunkPlacement::loop || pairs()) return 0;
    const double transfer = point_to_point_time(evaluator_.boundary().sent, evaluator_.costs().stages_cross_network(),
                                                evaluator_.job().cluster)
                                .si();
    const double gather =
        evaluator_.collective(CollectiveKind::all_gather, GroupKind::tensor, evaluator_.boundary().gathered).si();
    const double sync = framework_.p2p_sync->si();
    const bool inner = stage > 0 && stage < shape_.stages - 1;
    const double passes = microbatches_ * shape_.chunks;
    const bool blocks = !schedule_.asynchronous && (shape_.chunks == 1 || !plan_.overlap_p2p.value());
    if (blocks && shape_.chunks == 1)
      return (inner ? 2 : 1) * microbatches_ * (transfer + sync + gather) - transfer;  // the first is on the way in
    // Of a blocking interleaved schedule's exchanges, one is for a forward and a backward pass; the ends take part in fewer.
    if (blocks) return std::max(0.0, inner ? passes : passes - microbatches_) * (sync + gather);
    return (inner ? 2 * passes : 2 * passes - microbatches_) *
           (transfer * *framework_.p2p_overlap_exposed + sync + gather);
  }

  /// Messages on the way to a stage, or back, and what the stages between do before they go on.
  double way(int hops) const {
    if (hops == 0) return 0;
    const double message = point_to_point_time(evaluator_.boundary().sent, evaluator_.costs().stages_cross_network(),
                                               evaluator_.job().cluster)
                               .si();
    return hops * message + (hops - 1) * framework_.p2p_sync->si();
  }

  double pass_over(Bytes bytes) const { return evaluator_.costs().memory_pass(bytes).si(); }

  /// Whether gradients and parameters go over all copies at once, whole, once a step: of other ways nothing is counted.
  bool plainly_reduced() const {
    return !plan_.loosely_synchronised() && plan_.gradient_compression == "none" && !plan_.zero_quantized_weights &&
           !plan_.zero_quantized_gradients && !plan_.zero_hpz_partition_size && !plan_.no_sync &&
           plan_.shard_ranks() == plan_.dense_copies();
  }

  double reduction(CollectiveKind kind, ParameterCount bytes) const {
    double time = 0;
    if (!plainly_reduced()) return 0;
    if (bytes.dense > 0 && plan_.dense_copies() > 1)
      time += evaluator_.collective(kind, GroupKind::data, Bytes(bytes.dense)).si();
    if (bytes.expert > 0 && plan_.expert_copies() > 1)
      time += evaluator_.collective(kind, GroupKind::expert_data, Bytes(bytes.expert)).si();
    return time;
  }

  /// From the step's start to the norm of all gradients.
  double until_norm(const Evaluator::StageTotals& totals, const StepWork& work) const {
    const double share = model_.microbatch_share;
    const double once = sum(totals.own, [&](const LocalBlock& b) { return forward(b) + backward(b); });
    const Sharded gathered = parameters(totals);
    const double computed = once * microbatches_ * share + exchanges(totals.stage) + gathered.copies;
    const double way_in = sum(totals.before, [&](const LocalBlock& b) { return forward(b); }) + way(totals.hops);
    // Without a barrier the first stages' end is not that of this one.
    const double way_out = evaluator_.cut().passes.drains && !pairs() && !plan_.loosely_synchronised()
                               ? sum(totals.before, [&](const LocalBlock& b) { return backward(b); }) + way(totals.hops)
                               : 0;
    const double clear = pass_over(work.clear);
    const double norm = plan_.loosely_synchronised() ? 0 : pass_over(work.norm);
    double reduce = 0;
    if (plan_.zero <= 1 && plainly_reduced() && !plan_.overlap_grad_reduce.value()) {
      const ParameterCount bytes = model_.trained(totals.stage) * evaluator_.lowering().gradient_bytes;
      const bool any = plan_.dense_copies() > 1 || (bytes.expert > 0 && plan_.expert_copies() > 1);
      if (any) {
        reduce = pass_over(work.scale) +
                 reduction(plan_.zero >= 1 ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce, bytes);
      }
    }
    const double begun = std::max(way_in, clear);  // stages clear their gradients at the same time
    const double compute = std::max(begun + computed + reduce + norm, begun + computed + way_out);
    return std::max(compute, gathered.carried + norm);
  }

  /// From there to the end of the step.
  double from_norm(const StepWork& work) const { return pass_over(work.update) + framework_.host_time_per_step->si(); }

  const Evaluator& evaluator_;
  const ParallelPlan& plan_;
  const Framework& framework_;
  const ShardedModel& model_;
  const Schedule& schedule_;
  const PipelineShape shape_;
  const double microbatches_;
};

}  // namespace

Seconds lower_bound(const Evaluator& evaluator) { return Seconds(StepBound(evaluator).seconds_at_least()); }

}  // namespace stepcast
