#include "simulator/execution/lower.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "simulator/base/error.hpp"
#include "simulator/collectives/collective_time.hpp"
#include "simulator/execution/data_parallel.hpp"
#include "simulator/execution/program_builder.hpp"
#include "simulator/execution/step_work.hpp"
#include "simulator/memory/memory_use.hpp"
#include "simulator/parallelism/methods.hpp"
#include "simulator/parallelism/offload.hpp"
#include "simulator/schedules/schedule.hpp"

namespace stepcast {
namespace {

/// A message keeps one channel of a pair of GPUs busy (NCCL splits messages of some MB over two).
constexpr double message_sms = 2;

/// Both ends of every tensor that a pass waits for, by direction, microbatch and the virtual stage that receives it.
class Messages {
 public:
  struct Ends {
    int send_stage = -1, receive_stage = -1;
    std::int32_t send = -1, receive = -1;
  };

  Messages(std::int64_t microbatches, int virtual_stages)
      : microbatches_(static_cast<std::size_t>(microbatches)),
        virtual_stages_(static_cast<std::size_t>(virtual_stages)),
        ends_(2 * microbatches_ * virtual_stages_) {}

  Ends& of(bool forward, std::int32_t microbatch, int to) {
    const std::size_t row = (forward ? 0 : microbatches_) + static_cast<std::size_t>(microbatch);
    return ends_[row * virtual_stages_ + static_cast<std::size_t>(to)];
  }
  const std::vector<Ends>& all() const { return ends_; }

 private:
  std::size_t microbatches_, virtual_stages_;
  std::vector<Ends> ends_;
};

/// Writes the program of one pipeline stage.
class StageLowering {
 public:
  /// @param messages  null: of no interest
  StageLowering(const LoweringInput& input, int stage, Labels& labels, Messages* messages)
      : in_(input),
        stage_(stage),
        chunks_(input.model.stages[static_cast<std::size_t>(stage)]),
        builder_(input.costs, input.granularity, labels, 5 * input.order[static_cast<std::size_t>(stage)].size() + 64),
        messages_(messages),
        schedule_(*find_schedule(input.plan.schedule)),
        shape_(input.shape()),
        transfer_time_(point_to_point_time(input.boundary, input.costs.stages_cross_network(), input.cluster)),
        gather_time_(input.costs.collective(CollectiveKind::all_gather, GroupKind::tensor, input.boundary_gather)),
        work_(step_work(input.model, stage, input.plan, input.framework)),
        placement_(chunk_placement(input.plan)),
        steps_(input.order[static_cast<std::size_t>(stage)]),
        data_parallel_(scheme({input, stage, chunks_, steps_, builder_, work_})) {}

  /// @param groups  filled in when not null
  Program lower(std::vector<PassGroup>* groups) {
    std::map<std::uint64_t, std::int32_t> kinds;  // of groups, and the first of each
    begin_step();
    for (std::size_t begin = 0; begin < steps_.size();) {
      std::size_t end = begin;
      while (end + 1 < steps_.size() && (steps_[end].paired || (exchange_blocks() && !steps_[end].exchange_after)))
        ++end;
      builder_.begin_group(end + 1 - begin);
      if (groups) {
        PassGroup group{static_cast<std::int32_t>(begin), builder_.size()};
        if (const auto kind = kind_of_group(begin, end + 1); kind && all_quiet(begin, end + 1)) {
          const auto [known, is_first] = kinds.try_emplace(*kind, static_cast<std::int32_t>(groups->size()));
          if (!is_first) group.like = known->second;
        }
        groups->push_back(group);
      }
      run_group(begin, end + 1);
      begin = end + 1;
    }
    if (groups) groups->push_back({static_cast<std::int32_t>(steps_.size()), builder_.size()});
    end_step();
    return builder_.take();
  }

  /// Goes through a known program. @return whether lowering would write it
  bool lower_again(const Program& known, const std::vector<PassGroup>& groups, std::span<SimTime> durations) {
    builder_.go_through(known, durations);
    begin_step();
    for (std::size_t g = 0; g + 1 < groups.size() && builder_.agrees(); ++g) {
      if (builder_.size() != groups[g].first_instruction) return false;
      const auto begin = static_cast<std::size_t>(groups[g].first_step);
      const auto end = static_cast<std::size_t>(groups[g + 1].first_step);
      if (groups[g].like < 0) {
        run_group(begin, end);
        continue;
      }
      if (!all_quiet(begin, end)) return false;
      const auto first = static_cast<std::size_t>(groups[g].first_instruction);
      const auto past = static_cast<std::size_t>(groups[static_cast<std::size_t>(groups[g].like)].first_instruction);
      const auto next = static_cast<std::size_t>(groups[g + 1].first_instruction);
      std::copy_n(durations.begin() + static_cast<std::ptrdiff_t>(past), next - first,
                  durations.begin() + static_cast<std::ptrdiff_t>(first));
      std::array<std::int32_t, stream_count> last;
      last.fill(-1);
      sent_.clear();
      for (std::size_t i = first; i < next; ++i) {
        last[static_cast<std::size_t>(known.instructions[i].stream)] = static_cast<std::int32_t>(i);
        if (known.instructions[i].kind == InstructionKind::send) sent_.push_back(static_cast<std::int32_t>(i));
      }
      builder_.leave_out(static_cast<std::int32_t>(next), last);
    }
    if (!builder_.agrees()) return false;
    end_step();
    return builder_.agrees_to_the_end();
  }

 private:
  /// Groups of one kind are the same instructions, taking the same time; nothing: none is like it.
  std::optional<std::uint64_t> kind_of_group(std::size_t begin, std::size_t end) const {
    if (end - begin > 3 || in_.plan.offload_activations > 0) return std::nullopt;
    std::uint64_t kind = sent_.empty() ? 1 : 2;
    for (std::size_t i = begin; i < end; ++i) {
      const PassStep& step = steps_[i];
      CHECK(step.chunk < (1 << 17), "chunks are few");
      kind = kind << 20U | static_cast<std::uint64_t>(step.chunk) << 3U |
             static_cast<std::uint64_t>(step.paired) << 2U | static_cast<std::uint64_t>(step.kind);
    }
    return kind;
  }
  bool all_quiet(std::size_t begin, std::size_t end) const {
    return std::all_of(steps_.begin() + static_cast<std::ptrdiff_t>(begin),
                       steps_.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](const PassStep& step) { return data_parallel_->quiet(step); });
  }

  int length() const { return path_length(placement_, shape_.stages, shape_.chunks); }
  PathPoint point(int chunk) const { return path_point(placement_, shape_.stages, stage_, chunk); }
  bool has(PathPoint at) const {
    for (int chunk = 0; chunk < shape_.chunks; ++chunk) {
      if (point(chunk) == at) return true;
    }
    return false;
  }
  const ChunkContents& chunk(const PassStep& step) const { return chunks_[static_cast<std::size_t>(step.chunk)]; }

  static std::unique_ptr<DataParallelism> scheme(const StageContext& stage) {
    if (stage.in.plan.loosely_synchronised()) return loosely_synchronised(stage);
    return stage.in.plan.zero >= 2 ? fully_sharded(stage) : replicated(stage);
  }

  /// Without virtual stages every exchange blocks; with them Megatron of 2021-22 blocks once a forward-backward pair.
  bool exchange_blocks() const {
    if (shape_.stages == 1) return false;
    return !schedule_.asynchronous && (shape_.chunks == 1 || !in_.plan.overlap_p2p.value());
  }

  // --- exchanges ------------------------------------------------------------------------------------------------

  /// The next place of what a pass exchanges, `steps` on (or back) from its own; -1 where the way ends or stays here.
  int neighbour(const PassStep& step, int steps) const {
    if (step.kind == PassKind::backward_weight) return -1;
    PathPoint at = point(step.chunk);
    at.position += step.kind == PassKind::forward ? steps : -steps;
    return at.position < 0 || at.position >= length() || has(at) ? -1 : at.position;
  }
  /// Where the input of a pass comes from, and where its result goes.
  int source_of(const PassStep& step) const { return neighbour(step, -1); }
  int destination_of(const PassStep& step) const { return neighbour(step, 1); }
  /// Streams are those of a neighbour: a forward pass goes on to the next rank, unless its chunk's way climbs back.
  bool to_next(const PassStep& step) const {
    const bool climbs = placement_ != ChunkPlacement::loop && step.chunk == 1;
    return (step.kind == PassKind::forward) != climbs;
  }

  std::int32_t emit_send(const PassStep& step, std::int32_t after) {
    const int to = destination_of(step);
    if (to < 0) return -1;
    const bool forward = step.kind == PassKind::forward;
    const std::int32_t id = builder_.add({.kind = InstructionKind::send,
                                          .stream = to_next(step) ? Stream::send_forward : Stream::send_backward,
                                          .bucket = Bucket::pp_comm,
                                          .duration = to_ticks(transfer_time_),
                                          .sms = message_sms,
                                          .memory_traffic = in_.boundary,
                                          .wire = in_.boundary,
                                          .label = builder_.label(forward ? "send_forward" : "send_backward"),
                                          .microbatch = step.microbatch},
                                         {after});
    // Gradients of inputs are one message, whichever part of a backward pass they come from.
    if (messages_ == nullptr) return id;
    Messages::Ends& ends = messages_->of(forward, step.microbatch, to);
    ends.send_stage = stage_;
    ends.send = id;
    return id;
  }

  std::int32_t emit_receive(const PassStep& step, std::int32_t after) {
    if (source_of(step) < 0) return -1;
    const bool forward = step.kind == PassKind::forward;
    const std::int32_t id = builder_.add({.kind = InstructionKind::receive,
                                          .stream = to_next(step) ? Stream::receive_forward : Stream::receive_backward,
                                          .bucket = Bucket::pp_comm,
                                          .duration = to_ticks(transfer_time_),
                                          .sms = message_sms,
                                          .memory_traffic = in_.boundary,
                                          .wire = in_.boundary,
                                          .label = builder_.label(forward ? "receive_forward" : "receive_backward"),
                                          .microbatch = step.microbatch},
                                         {after});
    if (messages_ == nullptr) return id;
    Messages::Ends& ends = messages_->of(forward, step.microbatch, point(step.chunk).position);
    ends.receive_stage = stage_;
    ends.receive = id;
    return id;
  }

  /// Passes between two exchanges: one each, or the forward-backward pairs of a blocking interleaved schedule.
  void run_group(std::size_t begin, std::size_t end) {
    // A blocking rendezvous is posted when the previous exchange is over; an asynchronous or ring-wrapped one early.
    const std::int32_t posted = exchange_blocks() && shape_.chunks == 1 ? builder_.last(Stream::compute) : -1;
    std::vector<std::int32_t> received;
    for (std::size_t i = begin; i < end; ++i) {
      const std::int32_t receive = emit_receive(steps_[i], posted);
      if (receive >= 0) received.push_back(receive);
    }
    const bool exchanged = !received.empty() || !sent_.empty();
    if (exchange_blocks() && exchanged) {
      std::vector<std::int32_t> all = received;
      all.insert(all.end(), sent_.begin(), sent_.end());
      // Host synchronisation and launch ramp after a batched exchange, and the all_gather of scattered parts.
      builder_.local(Stream::compute, Bucket::pp_comm, "exchange",
                     *in_.framework.p2p_sync + (received.empty() ? Seconds(0) : gather_time_), all);
      received.clear();
    }
    sent_.clear();
    std::vector<std::int32_t> done;
    for (std::size_t i = begin; i < end; ++i) {
      if (!exchange_blocks() && !received.empty() && shape_.stages > 1) {
        // What overlap leaves exposed of one transfer, and the gather of scattered parts.
        builder_.local(Stream::compute, Bucket::pp_comm, "exchange",
                       transfer_time_ * *in_.framework.p2p_overlap_exposed + *in_.framework.p2p_sync + gather_time_,
                       received);
        received.clear();
      }
      if (steps_[i].paired && shares_gpu(steps_[i], steps_[i + 1])) {
        done.insert(done.end(), 2, run_pair(steps_[i], steps_[i + 1]));
        ++i;
      } else {
        done.push_back(run_pass(steps_[i]));
      }
    }
    for (std::size_t i = begin; i < end; ++i) {
      const std::int32_t send = emit_send(steps_[i], done[i - begin]);
      if (send >= 0) sent_.push_back(send);
    }
  }

  // --- passes ---------------------------------------------------------------------------------------------------

  static std::string_view name_of_pass(PassKind kind) {
    switch (kind) {
      case PassKind::forward: return "forward";
      case PassKind::backward: return "backward";
      case PassKind::backward_input: return "backward_input";
      case PassKind::backward_weight: return "backward_weight";
    }
    return "";
  }

  std::int32_t run_pass(const PassStep& step) {
    data_parallel_->before_pass(step);
    const bool by_block = data_parallel_->by_block(step);
    const bool offloads = in_.plan.offload_activations > 0;
    if (offloads) next_layer_ = step.kind == PassKind::forward ? 0 : layers_of_stage();
    builder_.begin_pass(name_of_pass(step.kind), step.microbatch, by_block || offloads);
    for (const auto& [block, count] : in_.passes.blocks(chunk(step), step.kind)) {
      const BlockPass& pass = in_.passes.of(*block, step.kind);
      if (!by_block && !offloads) {
        builder_.block(pass, count);
        continue;
      }
      for (int i = 0; i < count; ++i) {
        if (by_block) data_parallel_->before_block({step, *block});
        if (offloads) before_offloaded(step, *block);
        builder_.block(pass, 1);
        if (offloads) after_offloaded(step, *block);
        if (by_block) data_parallel_->after_block({step, *block});
      }
    }
    const std::int32_t end = builder_.end_pass();
    data_parallel_->after_pass(step);
    return end;
  }

  // --- activations on the CPU (Megatron-Core cpu_offloading: no pipeline stages) ----------------------------------

  int layers_of_stage() const {
    int sum = 0;
    for (const ChunkContents& chunk : chunks_) sum += chunk.layer_count();
    return sum;
  }
  bool is_layer(const LocalBlock& block) const { return &block != &in_.model.embedding && &block != &in_.model.head; }

  /// A layer's activations come back while the layer before it runs backward; the last one's at once.
  void before_offloaded(const PassStep& step, const LocalBlock& block) {
    if (step.kind == PassKind::forward || !is_layer(block)) return;
    const int layer = --next_layer_;
    for (const int wanted : {layer, layer - 1}) {
      if (wanted < 0 || wanted >= in_.plan.offload_activations || uploaded_.contains(wanted)) continue;
      uploaded_[wanted] = builder_.local(Stream::host_upload, Bucket::host, "activation_upload",
                                         host_copy_time(offloaded_.at(wanted), in_.cluster.node),
                                         {builder_.last(Stream::compute), builder_.last(Stream::host_download)});
    }
    if (layer < in_.plan.offload_activations) builder_.wait_next(uploaded_.at(layer));
  }

  void after_offloaded(const PassStep& step, const LocalBlock& block) {
    if (step.kind != PassKind::forward || !is_layer(block)) return;
    const int layer = next_layer_++;
    if (layer >= in_.plan.offload_activations) return;
    offloaded_[layer] = block.saved;
    uploaded_.erase(layer);
    builder_.local(Stream::host_download, Bucket::host, "activation_download",
                   host_copy_time(block.saved, in_.cluster.node), {builder_.last(Stream::compute)});
  }

  /// Passes that data parallelism walks block by block run on their own.
  bool shares_gpu(const PassStep& one, const PassStep& other) const {
    return !data_parallel_->by_block(one) && !data_parallel_->by_block(other);
  }

  /// A forward and a backward pass side by side.
  std::int32_t run_pair(const PassStep& forward, const PassStep& backward) {
    data_parallel_->before_pass(forward);
    data_parallel_->before_pass(backward);
    builder_.begin_pass("forward_backward", forward.microbatch, false);
    builder_.block(in_.passes.pair(chunk(forward), chunk(backward)), 1);
    const std::int32_t end = builder_.end_pass();
    data_parallel_->after_pass(forward);
    data_parallel_->after_pass(backward);
    return end;
  }

  // --- the step -------------------------------------------------------------------------------------------------

  void begin_step() {
    builder_.local(Stream::compute, Bucket::optimizer, "gradient_clear", in_.costs.memory_pass(work_.clear), {});
    data_parallel_->begin_step();
  }

  void end_step() {
    const ParallelPlan& plan = in_.plan;
    const Framework& framework = in_.framework;
    const std::int32_t last_pass = builder_.last(Stream::compute);
    std::int32_t reduced = data_parallel_->finish_gradients();
    if (!plan.sequence_parallel && in_.uniform) {
      builder_.nothing(Stream::tensor, GroupKind::tensor, {last_pass});
    }
    if (plan.sequence_parallel) {  // norms see other tokens on each tensor-parallel rank
      builder_.collective(Stream::tensor, Bucket::tp_comm,
                          {CollectiveKind::all_reduce, GroupKind::tensor,
                           Bytes(in_.gradient_bytes * in_.model.replicated_parameters(stage_))},
                          "norm_gradient_reduce", {last_pass});
    }
    if (in_.model.tied_embeddings && in_.model.trains_embedding && shape_.stages > 1 &&
        (stage_ == 0 || stage_ == shape_.stages - 1)) {
      builder_.collective(Stream::data, Bucket::dp_comm,
                          {CollectiveKind::all_reduce, GroupKind::embedding,
                           Bytes(in_.gradient_bytes * in_.model.embedding_table_parameters)},
                          "embedding_gradient_reduce", {last_pass});
      reduced = builder_.last(Stream::data);
    }
    if (plan.optimizer_on_cpu() && !data_parallel_->downloads_gradients()) {
      builder_.local(Stream::host_download, Bucket::dp_comm, "gradient_download",
                     host_copy_time(Bytes(in_.gradient_bytes * work_.owned * plan.on_cpu()), in_.cluster.node),
                     {last_pass, reduced});
    }
    // The norm of all gradients is a barrier across the whole job.
    builder_.local(Stream::compute, Bucket::optimizer, "gradient_norm", in_.costs.memory_pass(work_.norm),
                   {reduced, builder_.last(Stream::replica), builder_.last(Stream::tensor),
                    builder_.last(Stream::expert), builder_.last(Stream::host_download)});
    if (!plan.loosely_synchronised()) {
      builder_.collective(Stream::compute, Bucket::dp_comm, {CollectiveKind::all_reduce, GroupKind::world, Bytes(4)},
                          "gradient_norm_reduce", {});
    }
    builder_.local(Stream::compute, Bucket::optimizer, "optimizer", in_.costs.memory_pass(work_.update), {});
    if (plan.optimizer_on_cpu()) {
      const auto of_node = static_cast<int>(std::min<std::int64_t>(in_.cluster.gpus, in_.cluster.gpus_per_node));
      const double owned = work_.owned * plan.on_cpu();
      builder_.local(
          Stream::compute, Bucket::optimizer, "cpu_adam",
          offloaded_adam_time(owned, 4 + 2 * moment_bytes(plan, framework), plan, in_.cluster.node, of_node, framework),
          {});
      if (!plan.parameters_on_cpu()) {  // those come when they are gathered
        builder_.local(Stream::compute, Bucket::optimizer, "parameter_upload",
                       host_copy_time(Bytes(in_.parameter_bytes * owned), in_.cluster.node), {});
      }
    }
    const std::int32_t gathered = data_parallel_->after_optimizer();
    builder_.local(Stream::compute, Bucket::host, "between_steps", *framework.host_time_per_step,
                   {gathered, builder_.last(Stream::data), builder_.last(Stream::tensor),
                    builder_.last(Stream::send_forward), builder_.last(Stream::send_backward)});
  }

  const LoweringInput& in_;
  const int stage_;
  const std::vector<ChunkContents>& chunks_;
  ProgramBuilder builder_;
  Messages* messages_;
  const Schedule& schedule_;
  const PipelineShape shape_;
  const Seconds transfer_time_;  ///< of an activation to a neighbouring stage
  const Seconds gather_time_;    ///< of the parts that tensor-parallel ranks sent
  const StepWork work_;
  const ChunkPlacement placement_;
  const std::vector<PassStep>& steps_;
  const std::unique_ptr<DataParallelism> data_parallel_;
  std::vector<std::int32_t> sent_;  ///< of the last group
  int next_layer_ = 0;              ///< of the pass that is being written, where activations are offloaded
  std::map<int, Bytes> offloaded_;  ///< of the microbatch in work, by layer
  std::map<int, std::int32_t> uploaded_;
};

void connect(Programs& programs, const Messages& messages) {
  for (const Messages::Ends& ends : messages.all()) {
    if (ends.send < 0 && ends.receive < 0) continue;  // the way ends there, or stays on its rank
    CHECK(ends.send >= 0 && ends.receive >= 0, "every message has both ends");
    Instruction& send =
        programs.stages[static_cast<std::size_t>(ends.send_stage)].instructions[static_cast<std::size_t>(ends.send)];
    Instruction& receive = programs.stages[static_cast<std::size_t>(ends.receive_stage)]
                               .instructions[static_cast<std::size_t>(ends.receive)];
    send.peer_stage = ends.receive_stage;
    send.peer = ends.receive;
    receive.peer_stage = ends.send_stage;
    receive.peer = ends.send;
  }
}

/// Receives that nothing holds back are posted in the order in which their neighbour sends: two directions of a pipeline
/// share a way, and a message must not wait behind one that comes later.
void post_in_order_of_sends(Programs& programs) {
  std::vector<std::vector<std::size_t>> place;  // of an instruction in its stream
  for (const Program& stage : programs.stages) {
    place.emplace_back(stage.instructions.size());
    for (const auto& stream : stage.streams) {
      for (std::size_t i = 0; i < stream.size(); ++i) place.back()[static_cast<std::size_t>(stream[i])] = i;
    }
  }
  for (Program& stage : programs.stages) {
    for (const Stream stream : {Stream::receive_forward, Stream::receive_backward}) {
      auto& receives = stage.streams[static_cast<std::size_t>(stream)];
      std::stable_sort(receives.begin(), receives.end(), [&](std::int32_t one, std::int32_t other) {
        const auto sent = [&](std::int32_t i) {
          const Instruction& receive = stage.instructions[static_cast<std::size_t>(i)];
          return place[static_cast<std::size_t>(receive.peer_stage)][static_cast<std::size_t>(receive.peer)];
        };
        return sent(one) < sent(other);
      });
    }
  }
}

}  // namespace

Programs lower(const LoweringInput& input, Outline* outline) {
  Programs programs;
  const ParallelPlan& plan = input.plan;
  programs.grid = {plan.tensor_parallel,
                   plan.context_parallel,
                   plan.data_parallel,
                   plan.pipeline_parallel,
                   plan.expert_tensor_parallel.value_or(1),
                   plan.expert_parallel,
                   plan.data_inner(),
                   plan.context_inner(),
                   plan.tensor_side()};
  Labels labels;
  const PipelineShape shape = input.shape();
  Messages messages(shape.microbatches, path_length(chunk_placement(plan), shape.stages, shape.chunks));
  for (int stage = 0; stage < input.plan.pipeline_parallel; ++stage) {
    std::vector<PassGroup>* groups = outline ? &outline->groups.emplace_back() : nullptr;
    programs.stages.push_back(StageLowering(input, stage, labels, &messages).lower(groups));
  }
  programs.labels = std::move(labels).take();
  programs.sms = *input.cluster.gpu.sms;
  programs.hbm_bandwidth = *input.cluster.gpu.hbm_bandwidth;
  connect(programs, messages);
  if (find_schedule(plan.schedule)->asynchronous) post_in_order_of_sends(programs);
  return programs;
}

bool lower_again(const LoweringInput& input, const Programs& known, const Outline& outline,
                 std::vector<SimTime>& durations) {
  std::size_t size = 0;
  for (const Program& stage : known.stages) size += stage.instructions.size();
  durations.resize(size);
  Labels labels;
  std::size_t begin = 0;
  for (std::size_t stage = 0; stage < known.stages.size(); ++stage) {
    StageLowering lowering(input, static_cast<int>(stage), labels, nullptr);
    const std::size_t count = known.stages[stage].instructions.size();
    if (!lowering.lower_again(known.stages[stage], outline.groups[stage], {durations.data() + begin, count}))
      return false;
    begin += count;
  }
  return true;
}

}  // namespace stepcast
