/// ZeRO-3 (arXiv 1910.02054) as PyTorch FSDP runs it: `torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py`.
///
/// A unit is a block. Its all_gather is launched while the unit before it computes (one ahead), its reduce_scatter after
/// its backward pass; both share one communicator, so they run in launch order: gather of unit i-1 before the scatter of
/// unit i. Copies out of the gather buffer and into the scatter buffer are kernels of the compute stream. A unit that
/// runs backward right after its own forward (the head) stays gathered.
///
/// DeepSpeed gathers weight by weight and not block by block (`live_parameters`, deepspeed/runtime/zero/stage3.py of 2021:
/// an all_gather a parameter): the same bytes, with the latency of a ring over all ranks for each weight.
///
/// Without overlap_param_gather a unit is gathered when it is its turn; without overlap_grad_reduce the kernels after a
/// unit's backward pass wait for its reduce_scatter (DeepSpeed before 2021-06: overlap_comm false by default).
///
/// Hybrid sharding (HSDP, MiCS): shards inside a group, and an all_reduce of each shard's gradients over the groups on a
/// communicator and stream of its own. ZeRO++ (arXiv 2306.10209): parameters gathered in int8 (qwZ), in the backward pass
/// from a second copy inside the node (hpZ), gradients exchanged in int4 inside the node and then between nodes (qgZ).

#include <algorithm>
#include <optional>
#include <tuple>

#include "simulator/execution/data_parallel.hpp"
#include "simulator/parallelism/offload.hpp"

namespace stepcast {
namespace {

class FullySharded : public DataParallelism {
 public:
  explicit FullySharded(const StageContext& stage) : stage_(stage), in_(stage.in) {
    if (shards()) plan_units();
  }

  void begin_step() override {}
  bool quiet(const PassStep& step) const override {
    if (units_.empty()) return true;
    const std::size_t index = stage_.index(step);
    const bool waits = index > 0 && passes_[index - 1].walked;  // it may for what that one launched
    return !waits && !passes_[index].walked && (index + 1 == passes_.size() || !passes_[index + 1].walked);
  }
  bool by_block(const PassStep& step) const override { return !units_.empty() && of(step).walked; }

  void before_pass(const PassStep& step) override {
    if (units_.empty()) return;
    at_ = of(step).first_unit;
    if (!of(step).walked && prefetches()) gather_first_of_next(step);
  }

  void before_block(const PassBlock& at) override {
    gather(at_);
    // One ahead: beside this unit's kernels.
    if (prefetches()) {
      at_ + 1 < of(at.step).first_unit + of(at.step).units ? gather(at_ + 1) : gather_first_of_next(at.step);
    }
    if (units_[at_].gathered < 0) return;
    stage_.builder.wait_next(units_[at_].gathered);
    copy("copy_out", 2 * in_.parameter_bytes * at.block.parameters);  // read the buffer, write the parameters
  }

  void after_block(const PassBlock& at) override {
    ++at_;
    if (!scatters(at.step)) return;
    const ParameterCount trained = at.block.trained;
    copy("copy_in", (in_.parameter_bytes + in_.gradient_bytes) * trained.total());  // widened to the reduced type
    const ParameterCount gradient = trained * in_.gradient_bytes;
    if (in_.plan.zero_quantized_gradients) {
      exchange_quantised(trained.total());
    } else {
      launch(CollectiveKind::reduce_scatter, gradient, "gradient_scatter");
      reduce_over_replicas(gradient.dense);
    }
    if (!in_.plan.overlap_grad_reduce.value()) stage_.builder.wait_next(stage_.builder.last(Stream::data));
    if (downloads_gradients()) {
      const Bytes owned(gradient.dense / static_cast<double>(in_.plan.shard_ranks()) +
                        gradient.expert / static_cast<double>(in_.plan.expert_copies()));
      stage_.builder.local(Stream::host_download, Bucket::dp_comm, "gradient_download",
                           host_copy_time(owned * in_.plan.on_cpu(), in_.cluster.node),
                           {stage_.builder.last(Stream::data)});
    }
  }

  void after_pass(const PassStep&) override {}
  std::int32_t finish_gradients() override { return stage_.builder.last(Stream::data); }  // and its replicas' stream
  bool downloads_gradients() const override { return in_.plan.optimizer_on_cpu() && shards(); }
  std::int32_t after_optimizer() override { return -1; }

 private:
  /// One block of one pass.
  struct Unit {
    ParameterCount count;
    int gathers = 1;            ///< that it takes
    bool needs_gather = false;  ///< its parameters are not there yet
    bool backward = false;
    std::int32_t gathered = -1;  ///< the instruction
  };
  struct Pass {
    std::size_t first_unit = 0, units = 0;
    bool walked = false;  ///< some of its units gather or scatter
  };

  const Pass& of(const PassStep& step) const { return passes_[stage_.index(step)]; }

  bool shards() const {
    return in_.plan.dense_copies() > 1 || in_.plan.parameters_on_cpu() ||
           (in_.plan.expert_copies() > 1 && in_.model.count(stage_.stage).expert > 0);
  }
  bool prefetches() const { return in_.plan.overlap_param_gather.value(); }
  /// With several pipeline stages parameters stay gathered for the step and gradients are scattered once.
  bool pipelined() const { return in_.plan.pipeline_parallel > 1; }
  bool reshards() const { return in_.plan.zero >= 3 && in_.plan.reshard_after_forward.value_or(!pipelined()); }
  bool scatters(const PassStep& step) const {
    return makes_weight_gradients(step.kind) && (!no_sync() || stage_.ends.last(step));
  }

  bool no_sync() const { return in_.plan.no_sync.value_or(pipelined()); }
  bool hybrid() const { return in_.plan.shard_ranks() < in_.plan.dense_copies(); }

  /// The units of the whole step in the order in which they run.
  void plan_units() {
    std::vector<std::size_t> first_block;
    std::vector<std::vector<std::pair<ParameterCount, int>>> blocks;
    std::size_t next = 0;
    for (const ChunkContents& chunk : stage_.chunks) {
      first_block.push_back(next);
      blocks.emplace_back();
      for_each_block(in_.model, chunk, [&](const LocalBlock& block, int count) {
        const int weights = std::max(1, static_cast<int>(block.weights.size()));
        blocks.back().insert(blocks.back().end(), static_cast<std::size_t>(count),
                             {block.count(), *in_.framework.live_parameters > 0 ? weights : 1});
      });
      next += blocks.back().size();
    }
    std::vector<bool> present(next, false);
    std::vector<bool> all_present(blocks.size(), false);  // by chunk
    std::optional<std::size_t> previous;
    passes_.reserve(stage_.steps.size());
    for (const PassStep& step : stage_.steps) {
      const auto chunk = static_cast<std::size_t>(step.chunk);
      if (!reshards() && all_present[chunk] && !scatters(step)) {  // nothing to do in it
        passes_.push_back({units_.size(), 0, false});
        continue;
      }
      all_present[chunk] = all_present[chunk] || step.kind != PassKind::backward_weight;
      const std::size_t count = blocks[chunk].size();
      Pass pass{units_.size(), count, scatters(step)};
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t place = step.kind == PassKind::forward ? i : count - 1 - i;
        Unit& unit = units_.emplace_back(Unit{blocks[chunk][place].first, blocks[chunk][place].second});
        if (step.kind == PassKind::backward_weight) continue;  // multiplies activations and gradients alone
        const std::size_t block = first_block[chunk] + place;
        unit.backward = step.kind != PassKind::forward;
        unit.needs_gather = !(reshards() ? previous == block : present[block]);
        pass.walked = pass.walked || unit.needs_gather;
        present[block] = true;
        previous = block;
      }
      passes_.push_back(pass);
    }
  }

  void gather(std::size_t index) {
    Unit& unit = units_[index];
    if (!unit.needs_gather || unit.gathered >= 0) return;
    const bool from_node = unit.backward && in_.plan.zero_hpz_partition_size;
    const bool quantised = in_.plan.zero_quantized_weights && !from_node;
    const double element = quantised ? quantised_bytes(8) : in_.parameter_bytes;
    if (quantised) {  // the shard is quantised before, the gathered parameters are widened after
      const double shard = unit.count.total() / static_cast<double>(in_.plan.shard_ranks());
      copy("quantise", (in_.parameter_bytes + element) * (shard + unit.count.total()));
    }
    const std::int32_t there = upload(unit.count * in_.parameter_bytes);
    const std::int32_t whole =
        launch(CollectiveKind::all_gather, unit.count * element, "parameter_gather", there, from_node, unit.gathers);
    unit.gathered = whole >= 0 ? whole : there;  // one rank has nothing to gather
  }

  /// Bytes of an element of that many bits, with a 16-bit scale a block of 2048 (DeepSpeed's quantisers).
  static double quantised_bytes(double bits) { return bits / 8 + 2.0 / 2048; }

  void reduce_over_replicas(double bytes) {
    if (!hybrid()) return;
    stage_.builder.collective(
        Stream::replica, Bucket::dp_comm,
        {CollectiveKind::all_reduce, GroupKind::data_outer, Bytes(bytes / static_cast<double>(in_.plan.shard_ranks()))},
        "replica_reduce", {stage_.builder.last(Stream::data)});
  }

  /// qgZ: int4 to the owners inside the node, sums, and int4 of these to the owners among the nodes.
  void exchange_quantised(double parameters) {
    const double element = quantised_bytes(4), inner = static_cast<double>(in_.plan.data_inner());
    copy("quantise", (in_.parameter_bytes + 2 * element + in_.gradient_bytes / inner) * parameters);
    const std::int32_t computed = stage_.builder.last(Stream::compute);
    for (const auto& [group, share, ranks] :
         {std::tuple(GroupKind::data_inner, 1.0, in_.plan.data_inner()),
          {GroupKind::data_outer, inner, in_.plan.dense_copies() / in_.plan.data_inner()}}) {
      if (ranks <= 1) continue;
      stage_.builder.collective(Stream::data, Bucket::dp_comm,
                                {CollectiveKind::all_to_all, group, Bytes(element * parameters / share)},
                                "gradient_exchange", {computed});
    }
  }

  void gather_first_of_next(const PassStep& step) {
    const std::size_t next = stage_.index(step) + 1;
    if (next < passes_.size() && passes_[next].walked && passes_[next].units > 0) gather(passes_[next].first_unit);
  }

  /// Offloaded shards come up before they are gathered: every rank its own (ZeRO-Infinity, arXiv 2104.07857, section
  /// 6.1), on a stream beside. @return the copy, or -1
  std::int32_t upload(ParameterCount bytes) {
    if (!in_.plan.parameters_on_cpu()) return -1;
    const Bytes share(bytes.dense / static_cast<double>(in_.plan.shard_ranks()) +
                      bytes.expert / static_cast<double>(in_.plan.expert_copies()));
    const int of_node = static_cast<int>(std::min<std::int64_t>(in_.cluster.gpus, in_.cluster.gpus_per_node));
    return stage_.builder.local(Stream::host_upload, Bucket::dp_comm, "parameter_upload",
                                parameter_upload_time(share, in_.plan, in_.cluster.node, of_node),
                                {stage_.builder.last(Stream::compute)});
  }

  /// A block's dense parameters and its experts are units of their own groups, of `pieces` collectives each.
  /// @return the last, or -1
  std::int32_t launch(CollectiveKind kind, ParameterCount bytes, std::string_view name, std::int32_t after = -1,
                      bool from_node = false, int pieces = 1) {
    const std::int32_t computed = stage_.builder.last(Stream::compute);
    std::int32_t last = -1;
    const bool inner = hybrid() || from_node;
    const GroupKind dense = inner ? GroupKind::data_inner : GroupKind::data;
    const std::int64_t ranks = inner ? in_.plan.data_inner() : in_.plan.dense_copies();
    for (const auto& [group, size, copies] :
         {std::tuple(dense, bytes.dense, ranks), {GroupKind::expert_data, bytes.expert, in_.plan.expert_copies()}}) {
      if (size <= 0 || copies <= 1) continue;
      for (int i = 0; i < pieces; ++i) {
        last = stage_.builder.collective(Stream::data, Bucket::dp_comm, {kind, group, Bytes(size / pieces)}, name,
                                         {computed, after});
      }
    }
    return last;
  }

  void copy(std::string_view name, double bytes) {
    stage_.builder.local(Stream::compute, Bucket::compute, name, in_.costs.memory_pass(Bytes(bytes)), {});
  }

  const StageContext stage_;
  const LoweringInput& in_;
  std::vector<Unit> units_;   ///< of the whole step
  std::vector<Pass> passes_;  ///< as the stage's steps
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<DataParallelism> fully_sharded(const StageContext& stage) {
  return std::make_unique<FullySharded>(stage);
}

}  // namespace stepcast
