#include "simulator/evaluator.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "simulator/base/error.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/resolve.hpp"
#include "simulator/workload/gradients.hpp"

namespace stepcast {
namespace {

/// Blocks of so many shardings are kept; neighbours in a sweep share theirs.
constexpr std::size_t most_blocks = 256;
constexpr std::size_t most_cuts = 4096;
constexpr std::size_t most_timed = 100'000;

void mix(std::size_t& hash, std::size_t value) { hash ^= value + 0x9e3779b97f4a7c15U + (hash << 6U) + (hash >> 2U); }

}  // namespace

/// What blocks and their costs depend on: the plan but for what is only about stages, replicas and the step's end.
struct Evaluator::Key {
  ParallelPlan plan;
  double microbatches = 1;        ///< as far as blocks know them: what is done once a step is spread over them
  std::int64_t gpus_in_step = 1;  ///< whose slowest is waited for
  std::array<GroupShape, 9> groups;

  bool operator==(const Key&) const = default;

  Key(const ParallelPlan& given, const CostModel& costs) : plan(given) {
    const auto m = static_cast<double>(given.microbatches());
    const bool spread = given.precision == Precision::fp8 || given.tensor_grid != "1d";
    microbatches = spread || m <= 1 ? m : 2;
    gpus_in_step = given.gpus_in_step();
    groups = {costs.shape(GroupKind::tensor), costs.shape(GroupKind::context), costs.shape(GroupKind::expert),
              costs.shape(GroupKind::expert_tensor)};
    if (given.context_parallel > 1) {
      groups[4] = costs.shape(GroupKind::context_inner);
      groups[5] = costs.shape(GroupKind::context_outer);
    }
    if (given.tensor_grid != "1d") {
      groups[6] = costs.shape(GroupKind::tensor_row);
      groups[7] = costs.shape(GroupKind::tensor_column);
      groups[8] = costs.shape(GroupKind::tensor_depth);
    }
    plan.pipeline_parallel = plan.virtual_stages = plan.data_parallel = 1;
    // Layers of both kinds are there, whichever they are.
    if (const auto policy = recompute_policy(plan.recompute); policy && policy->layers.first_of.size() > 1)
      plan.recompute = "full-1-layers";
    plan.schedule.clear();
    plan.own_order.reset();
    plan.placement.clear();
    plan.global_batch = 1;
    plan.shard_group.reset();
    plan.reshard_after_forward.reset();
    plan.layer_split = LayerSplit::automatic;
    plan.stage_layers.clear();
    plan.overlap_grad_reduce.reset();
    plan.overlap_param_gather.reset();
    plan.overlap_p2p.reset();
    plan.cpu_offload = "none";
    plan.zero = 0;
  }
};

struct Evaluator::KeyHash {
  std::size_t operator()(const Key& key) const {
    const ParallelPlan& p = key.plan;
    std::size_t hash = std::hash<std::string>()(p.recompute);
    for (const std::int64_t value :
         {std::int64_t{p.tensor_parallel}, std::int64_t{p.context_parallel}, std::int64_t{p.expert_parallel},
          std::int64_t{p.expert_tensor_parallel.value_or(0)}, p.microbatch, std::int64_t{p.sequence_parallel},
          std::int64_t{p.overlap_tp.value_or(false)}, std::int64_t{p.flash_attention.value_or(false)},
          std::int64_t{p.cuda_graphs.value_or(false)}, static_cast<std::int64_t>(p.precision), p.sequence_length}) {
      mix(hash, static_cast<std::size_t>(value));
    }
    return hash;
  }
};

namespace {

ShardedModel blocks_of(const ModelGraph& graph, const Sharding& sharding, ChunkPlacement placement,
                       const CostModel& costs, const Gpu& gpu) {
  ShardedModel model = shard_blocks(graph, sharding, placement);
  share_with_userbuffers(model, sharding, costs, gpu);
  return model;
}

}  // namespace

/// A sharding's blocks with the plan and costs that they were reckoned for.
struct Evaluator::Blocks {
  Blocks(const ModelGraph& graph, const Job& job, const Sharding& sharding, ChunkPlacement placement,
         const CostModel& machine)
      : plan(job.plan),
        costs(machine, plan),
        model(blocks_of(graph, sharding, placement, costs, job.cluster.gpu)),
        passes(model, plan, job.framework, job.cluster.gpu, costs) {}

  const ParallelPlan plan;
  const CostModel costs;
  ShardedModel model;  ///< stages are those of the current cut
  const PassCosts passes;
};

struct Evaluator::BlockMap : std::unordered_map<Key, std::unique_ptr<Blocks>, KeyHash> {};

std::size_t Evaluator::TimedHash::operator()(const Timed& timed) const {
  std::size_t hash = std::hash<std::uint64_t>()(timed.size);
  mix(hash, static_cast<std::size_t>(timed.shape.ranks * 64 + timed.shape.per_domain));
  mix(hash, static_cast<std::size_t>(timed.kind * 2 + timed.sharding));
  return hash;
}

namespace {

/// Programs are built and thrown away thousands of times a second; handing their pages back to the system each time would
/// take longer than building them.
void keep_freed_pages() {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that glibc takes
#endif
}

}  // namespace

Evaluator::Evaluator(const Job& base, bool jitter)
    : job_(resolve(base)), base_plan_(base.plan), blocks_(std::make_unique<BlockMap>()) {
  keep_freed_pages();
  machine_ = std::make_unique<CostModel>(job_.cluster, base_plan_, jitter);
  auto sharding = std::make_unique<CostModel>(*machine_, base_plan_);
  sharding->limit_sharding_nics(*job_.framework.sharding_nics);
  machine_sharding_ = std::move(sharding);
}

Evaluator::~Evaluator() = default;

const std::string& Evaluator::set_plan(const ParallelPlan& plan) {
  put_back();
  in_flight_.clear();
  job_.plan = plan;
  resolve_plan(job_);
  reason_ = infeasible_reason(job_);
  if (reason_.empty()) {
    if (std::string missing = unsupported_reason(job_); !missing.empty()) reason_ = "not modelled yet: " + missing;
  }
  if (!reason_.empty()) return reason_;

  const std::int64_t vocab = padded_vocab(job_);
  graph_ = &graph_of(vocab);
  costs_ = std::make_unique<CostModel>(job_.plan.zero >= 3 ? *machine_sharding_ : *machine_, job_.plan);
  const Sharding sharding = sharding_of(job_);
  choose_blocks(sharding);
  choose_cut(sharding.recomputed_layers);
  current_->model.stages.swap(cut_->stages);
  boundary_ = boundary_of(job_, sharding);
  return reason_;
}

const ModelGraph& Evaluator::graph_of(std::int64_t vocab) {
  const ParallelPlan& plan = job_.plan;
  for (const Graph& known : graphs_) {
    if (known.vocab == vocab && known.sequence_length == plan.sequence_length && known.lora == plan.lora &&
        known.frozen_layers == plan.frozen_layers) {
      return known.graph;
    }
  }
  return graphs_.emplace_back(Graph{vocab, plan.sequence_length, plan.lora, plan.frozen_layers, model_graph_of(job_)})
      .graph;
}

void Evaluator::put_back() {
  if (current_ != nullptr && cut_ != nullptr) current_->model.stages.swap(cut_->stages);
  current_ = nullptr;
  cut_ = nullptr;
}

void Evaluator::choose_blocks(const Sharding& sharding) {
  const ChunkPlacement placement = chunk_placement(job_.plan);
  const Key key(job_.plan, *costs_);
  auto found = blocks_->find(key);
  if (found == blocks_->end()) {
    if (blocks_->size() >= most_blocks) blocks_->clear();
    found = blocks_->emplace(key, std::make_unique<Blocks>(*graph_, job_, sharding, placement, *machine_)).first;
  }
  current_ = found->second.get();
  current_->model.microbatch_share = 1.0 / paths(placement);
}

namespace {

Evaluator::Passes passes_of(const Schedule& schedule, const PipelineShape& whole) {
  Evaluator::Passes passes;
  PipelineShape shape = whole;  // as many microbatches as show every kind of pass
  const std::int64_t every = schedule.repeats != nullptr ? schedule.repeats(whole) : 1;
  const std::int64_t few = (2 * whole.stages / every + 1) * every;
  if (few < whole.microbatches && shape.own == nullptr) shape.microbatches = few;
  if (!schedule.refuses(shape).empty()) shape = whole;
  for (const std::vector<PassStep>& order : schedule.order(shape)) {
    for (const PassStep& step : order) {
      passes.splits = passes.splits || step.kind == PassKind::backward_input;
      passes.pairs = passes.pairs || step.paired;
    }
    passes.drains =
        passes.drains && !schedule.arranges && order.back().kind == PassKind::backward && order.back().chunk == 0;
  }
  return passes;
}

void add(Evaluator::StageTotals::Blocks& blocks, const ChunkContents& chunk) {
  blocks.embedding += chunk.embedding;
  blocks.head += chunk.head;
  for (const auto& [kind, count] : chunk.layers) {
    if (blocks.kinds.size() <= static_cast<std::size_t>(kind)) blocks.kinds.resize(static_cast<std::size_t>(kind) + 1);
    blocks.kinds[static_cast<std::size_t>(kind)] += count;
  }
}

Evaluator::StageTotals totals_of(const Evaluator::Cut& cut, ChunkPlacement placement, int stage) {
  Evaluator::StageTotals totals;
  totals.stage = stage;
  for (const ChunkContents& chunk : cut.stages[static_cast<std::size_t>(stage)]) add(totals.own, chunk);
  // The chunk that a microbatch reaches first: chunk 0, and where two ways meet the nearer end's.
  const int stages = static_cast<int>(cut.stages.size());
  const bool far = placement == ChunkPlacement::both_ways && stage >= stages / 2;
  totals.hops = far ? stages - 1 - stage : stage;
  for (int hop = 0; hop < totals.hops; ++hop) {
    const auto at = static_cast<std::size_t>(far ? stages - 1 - hop : hop);
    add(totals.before, cut.stages[at][far ? 1 : 0]);
  }
  return totals;
}

}  // namespace

void Evaluator::choose_cut(const RecomputedLayers& recomputed) {
  const ParallelPlan& plan = job_.plan;
  const Schedule& schedule = *find_schedule(plan.schedule);
  const PipelineShape shape = pipeline_shape(plan);
  // Short runs have orders of their own; from some length on all end alike.
  const ChunkPlacement placement = chunk_placement(plan);
  const std::int64_t remainder = shape.microbatches % std::max(1, shape.stages);
  const std::int64_t length = std::min<std::int64_t>(shape.microbatches, 4 * shape.stages + remainder);
  std::string key =
      fmt::format("{} {} {} {} {} {} {} {}", plan.pipeline_parallel, plan.virtual_stages, plan.schedule,
                  static_cast<int>(plan.layer_split), recomputed.every, recomputed.first, length, shape.paired);
  for (const int layers : recomputed.first_of) key += fmt::format(" r{}", layers);
  for (const int layers : plan.stage_layers) key += fmt::format(" {}", layers);
  key += fmt::format(" {}", reinterpret_cast<std::uintptr_t>(graph_));
  auto found = cuts_.find(key);
  if (found == cuts_.end()) {
    if (cuts_.size() >= most_cuts) cuts_.clear();
    auto cut = std::make_unique<Cut>();
    cut->stages = stage_contents(*graph_, plan, recomputed, placement);
    int most = 0, stage_of_most = 0;
    for (int stage = 0; stage < shape.stages; ++stage) {
      int layers = 0;
      for (const ChunkContents& chunk : cut->stages[static_cast<std::size_t>(stage)]) layers += chunk.layer_count();
      if (layers >= most) most = layers, stage_of_most = stage;  // the last of them: the longest way there
    }
    std::vector<int> telling{0, shape.stages - 1, stage_of_most};
    std::sort(telling.begin(), telling.end());
    telling.erase(std::unique(telling.begin(), telling.end()), telling.end());
    for (const int stage : telling) cut->totals.push_back(totals_of(*cut, placement, stage));
    cut->passes = passes_of(schedule, shape);
    if (schedule.repeats != nullptr) {
      PipelineShape some = shape;
      some.microbatches = length;
      cut->in_flight = chunks_in_flight(schedule.order(some));
    }
    found = cuts_.emplace(std::move(key), std::move(cut)).first;
  }
  cut_ = found->second.get();
}

const ShardedModel& Evaluator::model() const { return current_->model; }
const PassCosts& Evaluator::passes() const { return current_->passes; }

MemoryUse Evaluator::memory(int stage) const {
  if (cut_->in_flight.empty() && in_flight_.empty()) in_flight_ = chunks_in_flight(schedule().order(shape()));
  const std::vector<std::int64_t>& in_flight = cut_->in_flight.empty() ? in_flight_ : cut_->in_flight;
  return stage_memory(model(), stage, plan(), job_.framework, job_.cluster.gpu,
                      in_flight[static_cast<std::size_t>(stage)], boundary_.sent);
}

const Schedule& Evaluator::schedule() const { return *find_schedule(plan().schedule); }

PipelineShape Evaluator::shape() const { return timed_shape(job_, model(), *costs_, boundary_.sent); }

MemoryUse Evaluator::memory() const {
  MemoryUse most = memory(0);
  for (int stage = 1; stage < plan().pipeline_parallel; ++stage) {
    if (const MemoryUse use = memory(stage); use.peak() > most.peak()) most = use;
  }
  return most;
}

LoweringInput Evaluator::lowering() const {
  static const PipelineOrder none;
  return {model(),
          plan(),
          job_.framework,
          job_.cluster,
          *costs_,
          passes(),
          none,
          boundary_.sent,
          boundary_.gathered,
          static_cast<double>(job_.model.hidden),
          reduced_bytes(plan()),
          element_bytes(plan().precision),
          Granularity::chunk};
}

StepTime Evaluator::step() const { return timer_.time(lowering(), shape()); }

Seconds Evaluator::collective(CollectiveKind kind, GroupKind group, Bytes size) const {
  const bool sharding = plan().zero >= 3 && (group == GroupKind::data || group == GroupKind::expert_data);
  const Timed key{std::bit_cast<std::uint64_t>(size.si()), costs_->shape(group), static_cast<int>(kind), sharding};
  const auto found = timed_.find(key);
  if (found != timed_.end()) return found->second;
  if (timed_.size() >= most_timed) timed_.clear();
  return timed_.emplace(key, costs_->collective(kind, group, size)).first->second;
}

}  // namespace stepcast
