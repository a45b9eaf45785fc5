/// Laws of the search: a bound is never above the simulated step.

#include "simulator/search/search.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "simulator/evaluator.hpp"
#include "simulator/search/lower_bound.hpp"
#include "tests/support/any_job.hpp"

namespace stepcast {
namespace {

RC_GTEST_PROP(LowerBound, IsNeverAboveTheSimulatedStep, ()) {
  Job job = fixtures::any_job();
  job.plan.global_batch *= *rc::gen::element(1, 1, 1, 2, 5);
  Evaluator evaluator(job);
  RC_PRE(evaluator.set_plan(job.plan).empty());
  const double bound = lower_bound(evaluator).si(), step = evaluator.step().step.seconds().si();
  RC_CLASSIFY(bound > 0.95 * step, "within 5%");
  RC_CLASSIFY(bound > 0.80 * step, "within 20%");
  const ParallelPlan& p = evaluator.plan();
  RC_LOG() << "bound / step " << bound / step;
  for (const PlanKey& key : plan_keys()) RC_LOG() << " " << key.name << "=" << text_of(p, key);
  RC_LOG() << " lora=" << p.lora.has_value() << " frozen=" << p.frozen_layers
           << " buckets=" << p.gradient_buckets.value_or("")
           << " no_sync=" << (p.no_sync ? (*p.no_sync ? "yes" : "no") : "") << " loose=" << p.loosely_synchronised()
           << " compress=" << p.gradient_compression << " act=" << p.offload_activations
           << " cp=" << p.cp_comm_type.value_or("") << " grid=" << p.tensor_grid << " tpo=" << p.tp_overlap.value_or("")
           << " layers=" << job.model.layers << " batch=" << p.global_batch;
  RC_ASSERT(bound <= step);
  RC_ASSERT(bound > 0);
}

/// Some values of a key, none twice.
Axis some(const std::string& name, const std::vector<std::string>& values, const Job& base) {
  Axis axis;
  axis.key = find_plan_key(name);
  for (const std::string& text : values) {
    if (!axis.texts.empty() && *rc::gen::inRange(0, 3) == 0) continue;
    ParallelPlan sample = base.plan;
    RC_ASSERT(assign(sample, *axis.key, text));
    axis.texts.push_back(text);
    axis.samples.push_back(sample);
  }
  return axis;
}

/// A small space around a random job.
Sweep any_sweep() {
  Sweep sweep;
  const int variants = *rc::gen::inRange(1, 3);
  for (int v = 0; v < variants; ++v) {
    Variant variant;
    variant.base = fixtures::any_job();
    variant.price_per_gpu_hour = 2.0 + v;
    Job& base = variant.base;
    base.plan.layer_split = LayerSplit::automatic;
    base.plan.global_batch = 48;
    base.cluster.gpu.memory.value = Bytes(*rc::gen::element(0.6e9, 1.5e9, 80e9));
    variant.axes = {some("tensor_parallel", {"1", "2", "4"}, base),
                    some("sequence_parallel", {"true", "false"}, base),
                    some("microbatch", {"1", "2", "3", "4"}, base),
                    some("recompute", {"none", "selective", "full"}, base),
                    some("pipeline_parallel", {"1", "2", "3", "4"}, base),
                    some("virtual_stages", {"1", "2", "3"}, base),
                    some("schedule", {"1f1b", "zb-h1", "zb-v", "gpipe", "dualpipe"}, base),
                    some("overlap_p2p", {"true", "false"}, base),
                    some("zero", {"0", "1", "2", "3"}, base),
                    some("shard_group", {"default", "2"}, base),
                    some("cpu_offload", {"none", "optimizer"}, base),
                    some("overlap_grad_reduce", {"true", "false"}, base),
                    some("overlap_param_gather", {"true", "false"}, base)};
    sweep.variants.push_back(std::move(variant));
  }
  sweep.objective =
      find_objective(*rc::gen::element<std::string>("step_time", "tokens_per_dollar", "mfu", "memory_headroom"));
  if (*rc::gen::arbitrary<bool>())
    sweep.constraints.emplace_back("pipeline_parallel * virtual_stages <= 6 or zero == 0");
  sweep.memory_headroom_bytes = *rc::gen::element(0.0, 0.1e9);
  return sweep;
}

bool same(const Result& a, const Result& b) {
  return a.variant == b.variant && a.id == b.id && a.step_s == b.step_s && a.memory_bytes == b.memory_bytes;
}

/// What is pruned cannot be better: the K best of a search are those of simulating everything, one by one, and so is the
/// front of two objectives; however little room there is for what waits.
RC_GTEST_PROP(Search, FindsWhatSimulatingEverythingFinds, ()) {
  Sweep sweep = any_sweep();
  SearchOptions options{.jobs = *rc::gen::inRange(1, 3), .top = *rc::gen::inRange(1, 8)};
  options.most_waiting = 2048;
  SearchOptions all = options;
  all.exhaustive = true;
  const SearchResult found = search(sweep, options), every = search(sweep, all);
  RC_ASSERT(found.best.size() == every.best.size());
  for (std::size_t i = 0; i < found.best.size(); ++i) RC_ASSERT(same(found.best[i], every.best[i]));
  RC_ASSERT(found.tally.considered == sweep.size());
  RC_ASSERT(found.tally.considered ==
            found.tally.same + found.tally.infeasible_sum() + found.tally.pruned + found.tally.simulated);
  RC_ASSERT(every.tally.pruned == 0U);
  RC_CLASSIFY(found.tally.simulated < every.tally.simulated, "some pruned");

  sweep.pareto = {find_objective("step_time"), find_objective("memory")};
  const SearchResult front = search(sweep, options), whole = search(sweep, all);
  RC_ASSERT(front.front.size() == whole.front.size());
  for (std::size_t i = 0; i < front.front.size(); ++i) {
    RC_ASSERT(front.front[i].step_s == whole.front[i].step_s);
    RC_ASSERT(front.front[i].memory_bytes == whole.front[i].memory_bytes);
  }
}

/// Parts of a space have among them what the whole has.
RC_GTEST_PROP(Search, ShardsTogetherFindTheSame, ()) {
  const Sweep sweep = any_sweep();
  const SearchResult whole = search(sweep, {.jobs = 1, .top = 1});
  double best = std::numeric_limits<double>::infinity();
  std::uint64_t considered = 0;
  for (int shard = 0; shard < 3; ++shard) {
    const SearchResult part = search(sweep, {.jobs = 1, .top = 1, .shard = shard, .shards = 3});
    considered += part.tally.considered;
    if (!part.best.empty()) best = std::min(best, score(sweep, part.best[0], *sweep.objective));
  }
  RC_ASSERT(considered == sweep.size());
  if (!whole.best.empty()) RC_ASSERT(best == score(sweep, whole.best[0], *sweep.objective));
}

/// Processes in one: each task is performed by the next of them, and half of the answers come late.
class Together : public Distributor {
 public:
  Together(const Sweep& sweep, SearchOptions options, int processes) : processes_(processes) {
    options.distributor = nullptr;
    for (int other = 1; other < processes; ++other) parts_.push_back(make_search_part(sweep, options));
  }
  int processes() const override { return processes_; }
  bool coordinates() const override { return true; }
  std::string run(const std::function<std::optional<std::string>()>& next,
                  const std::function<void(const std::string&)>& done, const Perform& here) override {
    std::vector<std::string> late;
    for (std::size_t i = 0;; ++i) {
      const auto task = next();
      if (!task) break;
      ++tasks_;
      const std::size_t place = i % static_cast<std::size_t>(processes_);
      const std::string answer = place == 0 ? here(*task) : parts_[place - 1](*task);
      i % 2 == 0 ? done(answer) : late.push_back(answer);
    }
    for (const std::string& answer : late) done(answer);
    return "";
  }
  void serve(const Perform&) override {}
  int tasks() const { return tasks_; }

 private:
  int processes_, tasks_ = 0;
  std::vector<Perform> parts_;
};

/// Several processes find what one finds, whoever simulates what, and in the same number of configurations.
RC_GTEST_PROP(Search, ProcessesTogetherFindTheSame, ()) {
  Sweep sweep = any_sweep();
  if (*rc::gen::arbitrary<bool>()) sweep.pareto = {find_objective("step_time"), find_objective("memory")};
  SearchOptions options{.jobs = 1, .top = *rc::gen::inRange(1, 8), .exhaustive = *rc::gen::arbitrary<bool>()};
  options.most_waiting = 2048;
  const SearchResult alone = search(sweep, options);
  Together together(sweep, options, *rc::gen::inRange(1, 4));
  options.distributor = &together;
  const SearchResult found = search(sweep, options);
  RC_ASSERT(together.tasks() > 0);
  RC_ASSERT(found.best.size() == alone.best.size());
  for (std::size_t i = 0; i < found.best.size(); ++i) RC_ASSERT(same(found.best[i], alone.best[i]));
  RC_ASSERT(found.front.size() == alone.front.size());
  for (std::size_t i = 0; i < found.front.size(); ++i) RC_ASSERT(same(found.front[i], alone.front[i]));
  RC_ASSERT(found.tally.considered == alone.tally.considered);
  RC_ASSERT(found.tally.same == alone.tally.same);
  if (options.exhaustive) RC_ASSERT(found.tally.simulated == alone.tally.simulated);
  if (options.exhaustive) RC_ASSERT(found.tally.infeasible == alone.tally.infeasible);
}

/// Keys that are said to change nothing in a plan change nothing.
RC_GTEST_PROP(Search, IdleKeysChangeNothing, ()) {
  const Job job = fixtures::any_job();
  Evaluator evaluator(job);
  RC_PRE(evaluator.set_plan(job.plan).empty());
  const SimTime step = evaluator.step().step;
  const double memory = evaluator.memory().peak().si();
  int idle = 0;
  for (const PlanKey& key : plan_keys()) {
    if (!is_idle(key, job.plan, job.model.moe.has_value())) continue;
    for (const char* text : {"true", "false", "0", "1", "2", "3"}) {
      ParallelPlan plan = job.plan;
      if (key.name == "dispatcher" || key.name == "schedule" || !assign(plan, key, text)) continue;
      if (key.name == "shard_group" && plan.zero == 0) continue;  // is refused there, and stays as the base has it
      if (!is_idle(key, plan, job.model.moe.has_value())) continue;
      ++idle;
      RC_ASSERT(evaluator.set_plan(plan).empty());
      RC_LOG() << key.name << " " << text;
      RC_ASSERT(evaluator.step().step == step);
      RC_ASSERT(evaluator.memory().peak().si() == memory);
    }
  }
  RC_CLASSIFY(idle > 0, "some idle");
}

}  // namespace
}  // namespace stepcast
