/// ZeRO-3 (arXiv 1910.02054) as PyTorch FSDP runs it: `torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py`.
///
/// A unit is a block. Its all_gather is launched while the unit before it computes (one ahead), its reduce_scatter after
/// its backward pass; both share one communicator, so they run in launch order: gather of unit i-1 before the scatter of
/// unit i. Copies out of the gather buffer and into the scatter buffer are kernels of the compute stream. A unit that
/// runs backward right after its own forward (the head) stays gathered.

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
    plan_units();
    gathered_.assign(units_.size(), -1);
  }

  void begin_step() override {}
  bool by_block(const PassStep&) const override {
    return in_.plan.dense_copies() > 1 || (in_.plan.expert_copies() > 1 && in_.model.count(stage_.stage).expert > 0);
  }
  void before_pass(const PassStep&) override {}

  void before_block(const PassBlock& at) override {
    if (at_ == 0) launch_gather(0);
    if (at_ + 1 < units_.size()) launch_gather(at_ + 1);  // one ahead: beside this unit's kernels
    if (gathered_[at_] < 0) return;
    stage_.builder.wait_next(gathered_[at_]);
    copy("copy_out", 2 * in_.parameter_bytes * at.block.parameters);  // read the buffer, write the parameters
  }

  void after_block(const PassBlock& at) override {
    ++at_;
    if (at.step.kind == PassKind::forward || !scatters(at.step)) return;
    const ParameterCount trained = at.block.trained;
    copy("copy_in", (in_.parameter_bytes + in_.gradient_bytes) * trained.total());  // widened to the reduced type
    const ParameterCount gradient = trained * in_.gradient_bytes;
    launch(CollectiveKind::reduce_scatter, gradient, "gradient_scatter");
    if (downloads_gradients()) {
      const Bytes owned(gradient.dense / static_cast<double>(in_.plan.dense_copies()) +
                        gradient.expert / static_cast<double>(in_.plan.expert_copies()));
      stage_.builder.local(Stream::data, Bucket::dp_comm, "gradient_download", host_copy_time(owned, in_.cluster.node),
                           {});
    }
  }

  void after_pass(const PassStep&) override {}
  std::int32_t finish_gradients() override { return stage_.builder.last(Stream::data); }
  bool downloads_gradients() const override { return in_.plan.optimizer_on_cpu() && in_.plan.dense_copies() > 1; }
  std::int32_t after_optimizer() override { return -1; }

 private:
  struct Unit {
    std::size_t block;  ///< which unit of the stage
    ParameterCount count;
    bool gather;  ///< its parameters are not there yet
  };

  /// With several pipeline stages parameters stay gathered for the step and gradients are scattered once.
  bool pipelined() const { return in_.plan.pipeline_parallel > 1; }
  bool reshards() const { return in_.plan.zero >= 3 && in_.plan.reshard_after_forward.value_or(!pipelined()); }
  bool scatters(const PassStep& step) const { return !pipelined() || stage_.last_microbatch(step); }

  /// The units of the whole step in the order in which they run.
  void plan_units() {
    std::vector<std::size_t> first_unit;
    std::vector<std::vector<ParameterCount>> blocks;
    std::size_t next = 0;
    for (const ChunkContents& chunk : stage_.chunks) {
      first_unit.push_back(next);
      blocks.emplace_back();
      for_each_block(in_.model, chunk, [&](const LocalBlock& block, int count) {
        blocks.back().insert(blocks.back().end(), static_cast<std::size_t>(count), block.count());
      });
      next += blocks.back().size();
    }
    std::vector<bool> present(next, false);
    std::optional<std::size_t> previous;
    for (const PassStep& step : stage_.steps) {
      const auto chunk = static_cast<std::size_t>(step.chunk);
      const std::size_t count = blocks[chunk].size();
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t place = step.kind == PassKind::forward ? i : count - 1 - i;
        const std::size_t block = first_unit[chunk] + place;
        const bool there = reshards() ? previous == block : present[block];
        units_.push_back({block, blocks[chunk][place], !there});
        present[block] = true;
        previous = block;
      }
    }
  }

  void launch_gather(std::size_t unit) {
    if (!units_[unit].gather) return;
    gathered_[unit] = launch(CollectiveKind::all_gather, units_[unit].count * in_.parameter_bytes, "parameter_gather");
  }

  /// A block's dense parameters and its experts are units of their own groups. @return the last, or -1
  std::int32_t launch(CollectiveKind kind, ParameterCount bytes, std::string_view name) {
    const std::int32_t computed = stage_.builder.last(Stream::compute);
    std::int32_t last = -1;
    for (const auto& [group, size, copies] : {std::tuple(GroupKind::data, bytes.dense, in_.plan.dense_copies()),
                                              {GroupKind::expert_data, bytes.expert, in_.plan.expert_copies()}}) {
      if (size <= 0 || copies <= 1) continue;
      last = stage_.builder.collective(Stream::data, Bucket::dp_comm, {kind, group, Bytes(size)}, name, {computed});
    }
    return last;
  }

  void copy(std::string_view name, double bytes) {
    stage_.builder.local(Stream::compute, Bucket::compute, name, in_.costs.memory_pass(Bytes(bytes)), {});
  }

  const StageContext stage_;
  const LoweringInput& in_;
  std::vector<Unit> units_;
  std::vector<std::int32_t> gathered_;  ///< per unit of the step: its all_gather, -1 where none is needed
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<DataParallelism> fully_sharded(const StageContext& stage) {
  return std::make_unique<FullySharded>(stage);
}

}  // namespace stepcast
