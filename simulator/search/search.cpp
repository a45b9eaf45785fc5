#include "simulator/search/search.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>

#include <tbb/blocked_range.h>
#include <tbb/enumerable_thread_specific.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include "simulator/base/error.hpp"
#include "simulator/evaluator.hpp"
#include "simulator/search/leaders.hpp"
#include "simulator/search/lower_bound.hpp"
#include "simulator/search/message.hpp"
#include "simulator/search/walk.hpp"

namespace stepcast {

Facts facts_of(const Sweep& sweep, const Result& result) {
  const Variant& variant = sweep.variants[result.variant];
  Facts facts = facts_of(variant, sweep);
  const ParallelPlan plan = variant.plan(result.id);
  facts.tokens_per_step = static_cast<double>(plan.global_batch) * static_cast<double>(plan.sequence_length);
  facts.step_s = result.step_s;
  facts.memory_bytes = result.memory_bytes;
  return facts;
}

double score(const Sweep& sweep, const Result& result, const Objective& objective) {
  return objective.score(facts_of(sweep, result));
}

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// A configuration that waits to be simulated.
struct Waiting {
  double score = 0;   ///< at its bound
  double second = 0;  ///< the same of the other objective
  double bound_s = 0, memory_bytes = 0;
  std::uint32_t variant = 0;
  std::uint64_t id = 0;

  friend bool operator<(const Waiting& a, const Waiting& b) {
    return std::tie(a.score, a.variant, a.id) < std::tie(b.score, b.variant, b.id);
  }
};

/// Plans that are simulated together, those with the same programs in a row.
constexpr std::size_t most_in_batch = 4096;

/// Plans with the same value have the same programs, durations apart, more often than not.
std::uint64_t alike(const ParallelPlan& plan) {
  std::uint64_t hash = std::hash<std::string>()(plan.schedule) ^ std::hash<std::string>()(plan.cpu_offload);
  for (const std::int64_t value :
       {std::int64_t{plan.pipeline_parallel}, std::int64_t{plan.virtual_stages},
        plan.microbatches() % std::max(1, plan.pipeline_parallel), std::int64_t{plan.overlap_p2p.value_or(false)},
        std::int64_t{plan.zero >= 2 || plan.overlap_param_gather.value_or(false) ? plan.zero : 0},
        std::int64_t{plan.zero >= 2 && plan.overlap_param_gather.value_or(false)},
        std::int64_t{plan.overlap_grad_reduce.value_or(false)}, std::int64_t{plan.dense_copies() > 1}}) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 1099511628211U;  // FNV-1a
  }
  return hash;
}

/// One thread's part.
struct Worker {
  std::vector<std::unique_ptr<Evaluator>> evaluators;
  std::vector<std::unique_ptr<Walk>> walks;
  std::vector<Waiting> waiting;
  std::vector<Waiting> batch;  ///< to be simulated next
  /// Refused plans by reason, variant and group.
  std::unordered_map<std::string, std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t>> refused;
  double dropped =
      std::numeric_limits<double>::infinity();  ///< the least score at its bound that there was no room for
  Tally tally;
  Reasons reasons;
};

class Part;

class Search {
 public:
  ~Search();
  /// @param performs  a coordinator's tasks
  Search(const Sweep& sweep, const SearchOptions& options, bool performs)
      : sweep_(sweep), options_(options), performs_(performs), begun_(Clock::now()), leaders_(options.top) {
    for (const Variant& variant : sweep.variants) {
      facts_.push_back(facts_of(variant, sweep));
      group_size_.push_back(groups_of(variant).second);
    }
  }

  SearchResult of(const std::vector<Result>& results) {
    for (const Result& result : results)
      take(workers_.local(), result, sweep_.variants[result.variant].plan(result.id), true);
    return answer();
  }

  SearchResult run() {
    const int jobs = options_.jobs > 0 ? options_.jobs : tbb::this_task_arena::max_concurrency();
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(jobs));
    room_ = std::max<std::size_t>(1024, options_.most_waiting / static_cast<std::size_t>(jobs));
    tbb::task_arena arena(jobs);
    arena.execute([&] {
      if (options_.exhaustive && options_.distributor == nullptr) {
        walk(-std::numeric_limits<double>::infinity(), true);
      } else {
        best_first();
      }
    });
    return answer();
  }

 private:
  void best_first() {
    double from = -std::numeric_limits<double>::infinity();
    for (bool first = true;; first = false) {
      const double complete_to = walk(from, first);
      std::vector<Waiting> all;
      for (Worker& worker : workers_) {
        all.insert(all.end(), worker.waiting.begin(), worker.waiting.end());
        worker.waiting = {};
      }
      std::sort(all.begin(), all.end());
      const auto end = std::lower_bound(all.begin(), all.end(), complete_to,
                                        [](const Waiting& w, double score) { return w.score < score; });
      all.erase(end, all.end());
      if (!prunes()) put_alike_together(all);
      simulate_all(all);
      // Of two objectives a worse first may go with a better second: everything is looked at.
      const bool beaten = prunes() && second_objective() == nullptr && complete_to > threshold_.load();
      if (beaten || complete_to == std::numeric_limits<double>::infinity()) return;
      CHECK(!all.empty(), "more configurations share one bound than can wait");
      from = complete_to;
    }
  }

  struct Piece {
    std::uint32_t variant;
    std::uint64_t begin, end;
  };
  std::vector<Piece> pieces() const {
    // Small enough to go round all threads and shards, large enough that neighbours share their blocks.
    const std::uint64_t wanted = std::clamp<std::uint64_t>(sweep_.size() / 256, 64, 1U << 15U);
    std::vector<Piece> pieces;
    std::uint64_t index = 0;
    for (std::uint32_t v = 0; v < sweep_.variants.size(); ++v) {
      const std::uint64_t size = sweep_.variants[v].size();
      const std::uint64_t grain = (wanted + group_size_[v] - 1) / group_size_[v] * group_size_[v];  // whole groups
      for (std::uint64_t begin = 0; begin < size; begin += grain, ++index) {
        if (index % static_cast<std::uint64_t>(options_.shards) != static_cast<std::uint64_t>(options_.shard)) continue;
        pieces.push_back({v, begin, std::min(size, begin + grain)});
      }
    }
    return pieces;
  }

  /// Bounds of all configurations whose score at its bound is at least `from`. @return up to which score they all wait
  double walk(double from, bool first) {
    const std::vector<Piece> all = pieces();
    walked_ = total_ = 0;
    for (const Piece& piece : all) total_ += piece.end - piece.begin;
    const auto walk_began = Clock::now();
    double complete_to = std::numeric_limits<double>::infinity();
    if (options_.distributor != nullptr) {
      complete_to = walk_together(all, from, first);
    } else {
      walk_pieces(all, from, first);
      for (Worker& worker : workers_) {
        complete_to = std::min(complete_to, worker.dropped);
        worker.dropped = std::numeric_limits<double>::infinity();
      }
    }
    if (first) walk_seconds_ = since(walk_began);
    if (first) record_refused();
    return complete_to;
  }

  void walk_pieces(std::span<const Piece> pieces, double from, bool first) {
    tbb::parallel_for(
        tbb::blocked_range<std::size_t>(0, pieces.size(), 1),
        [&](const tbb::blocked_range<std::size_t>& range) {
          Worker& worker = workers_.local();
          for (std::size_t i = range.begin(); i < range.end(); ++i) {
            const Piece& piece = pieces[i];
            Tally again;
            Reasons none;
            walk_of(worker, piece.variant)
                .run(
                    piece.begin, piece.end, first ? worker.tally : again, first ? worker.reasons : none,
                    [&](std::uint64_t id, const ParallelPlan& plan) {
                      consider(worker, piece.variant, id, plan, from, first);
                    },
                    [&](std::uint64_t begin, std::uint64_t end, const std::string& reason) {
                      if (first) note_refused(worker, piece.variant, begin, end, reason);
                    });
            walked_ += piece.end - piece.begin;
            report();
          }
        },
        tbb::simple_partitioner());
    simulate_rest();
  }

  /// What no batch was full of, shared out anew: one thread may have much of it and another nothing.
  void simulate_rest() {
    std::vector<Waiting> rest;
    for (Worker& worker : workers_) {
      const std::vector<Waiting> batch = std::exchange(worker.batch, {});
      rest.insert(rest.end(), batch.begin(), batch.end());
    }
    put_alike_together(rest);
    simulate_shared_out(rest, most_in_batch / 16);
  }

  void simulate_shared_out(const std::vector<Waiting>& all, std::size_t share) {
    tbb::parallel_for(
        tbb::blocked_range<std::size_t>(0, all.size(), std::max<std::size_t>(1, share)),
        [&](const tbb::blocked_range<std::size_t>& range) {
          Worker& worker = workers_.local();
          worker.batch.assign(all.begin() + static_cast<std::ptrdiff_t>(range.begin()),
                              all.begin() + static_cast<std::ptrdiff_t>(range.end()));
          simulate_batch(worker);
        },
        tbb::simple_partitioner());
  }

  Walk& walk_of(Worker& worker, std::uint32_t variant) {
    worker.walks.resize(sweep_.variants.size());
    if (worker.walks[variant] == nullptr) {
      worker.walks[variant] = std::make_unique<Walk>(sweep_.variants[variant]);
    }
    return *worker.walks[variant];
  }

  Evaluator& evaluator_of(Worker& worker, std::uint32_t variant) {
    worker.evaluators.resize(sweep_.variants.size());
    if (worker.evaluators[variant] == nullptr) {
      worker.evaluators[variant] = std::make_unique<Evaluator>(sweep_.variants[variant].base);
    }
    return *worker.evaluators[variant];
  }

  void consider(Worker& worker, std::uint32_t variant, std::uint64_t id, const ParallelPlan& plan, double from,
                bool first) {
    Evaluator& evaluator = evaluator_of(worker, variant);
    const auto refuse = [&](const std::string& reason) {
      if (!first) return;
      worker.reasons.add(reason, 1);
      note_refused(worker, variant, id, id + 1, reason);
    };
    if (const std::string& reason = evaluator.set_plan(plan); !reason.empty()) return refuse(reason);
    for (const Constraint& constraint : sweep_.constraints) {
      if (!constraint.holds(evaluator.job())) return refuse("constraint: " + constraint.text());
    }
    // The first stage is the fullest but for odd cuts; those are found out before anything is simulated.
    MemoryUse memory = evaluator.memory(0);
    if (!fits(memory)) return refuse(does_not_fit_);
    Waiting waiting;
    waiting.variant = variant;
    waiting.id = id;
    waiting.memory_bytes = memory.peak().si();
    if (!options_.exhaustive || options_.recorder != nullptr) waiting.bound_s = lower_bound(evaluator).si();
    waiting.score = score_of(variant, plan, waiting.bound_s, waiting.memory_bytes, *first_objective());
    if (second_objective() != nullptr) {
      waiting.second = score_of(variant, plan, waiting.bound_s, waiting.memory_bytes, *second_objective());
    }
    if (options_.exhaustive && !performs_) {
      worker.batch.push_back(waiting);
      if (worker.batch.size() >= most_in_batch) simulate_batch(worker);
      return;
    }
    if (waiting.score < from) return;
    if (is_beaten(waiting.score)) {
      if (first) ++worker.tally.pruned;
      return;
    }
    if (waiting.score >= worker.dropped) return;
    worker.waiting.push_back(waiting);
    if (worker.waiting.size() >= 2 * room_) {
      std::nth_element(worker.waiting.begin(), worker.waiting.begin() + static_cast<std::ptrdiff_t>(room_),
                       worker.waiting.end());
      worker.dropped = worker.waiting[room_].score;
      worker.waiting.resize(room_);
    }
  }

  bool prunes() const { return !options_.exhaustive; }
  bool is_beaten(double score) const {
    return prunes() && second_objective() == nullptr && score > threshold_.load(std::memory_order_relaxed);
  }
  bool is_dominated(const Waiting& candidate) {
    if (!prunes() || second_objective() == nullptr) return false;
    const std::lock_guard lock(mutex_);
    return leaders_.dominate(candidate.score, candidate.second);
  }

  /// Refused plans are counted by the values of the first axes: as many of these as make so many combinations at most.
  static constexpr std::uint64_t most_groups = 200'000;
  std::pair<std::size_t, std::uint64_t> groups_of(const Variant& variant) const {
    std::size_t axes = 0;
    std::uint64_t combinations = 1;
    while (axes < variant.axes.size() && combinations * variant.axes[axes].samples.size() <= most_groups)
      combinations *= variant.axes[axes++].samples.size();
    return {axes, variant.size() / combinations};
  }

  void note_refused(Worker& worker, std::uint32_t variant, std::uint64_t begin, std::uint64_t end,
                    const std::string& reason) {
    if (options_.recorder == nullptr || performs_) return;
    const std::uint64_t block = group_size_[variant];
    auto& counts = worker.refused[reason];
    for (std::uint64_t group = begin / block; group * block < end; ++group) {
      counts[{variant, group}] += std::min(end, (group + 1) * block) - std::max(begin, group * block);
    }
  }

  void record_refused() {
    if (options_.recorder == nullptr) return;
    for (Worker& worker : workers_) {
      for (const auto& [reason, groups] : worker.refused) {
        for (const auto& [group, count] : groups) {
          const auto& [variant, number] = group;
          options_.recorder->refuse(
              {variant, number * group_size_[variant], groups_of(sweep_.variants[variant]).first, count, reason});
        }
      }
      worker.refused.clear();
    }
  }

  const Objective* first_objective() const { return sweep_.pareto.empty() ? sweep_.objective : sweep_.pareto[0]; }
  const Objective* second_objective() const { return sweep_.pareto.empty() ? nullptr : sweep_.pareto[1]; }

  bool fits(const MemoryUse& memory) const {
    return memory.fits() && memory.capacity.si() - memory.peak().si() >= sweep_.memory_headroom_bytes;
  }

  double score_of(std::uint32_t variant, const ParallelPlan& plan, double step_s, double memory,
                  const Objective& objective) const {
    Facts facts = facts_[variant];
    facts.tokens_per_step = static_cast<double>(plan.global_batch) * static_cast<double>(plan.sequence_length);
    facts.step_s = step_s;
    facts.memory_bytes = memory;
    return objective.score(facts);
  }

  void simulate_all(const std::vector<Waiting>& all) {
    waiting_ = all.size();
    const auto began = Clock::now();
    if (options_.distributor != nullptr) {
      simulate_together(all);
    } else {
      simulate_here(all);
    }
    simulate_seconds_ += since(began);
  }

  void simulate_here(const std::vector<Waiting>& all) {
    std::atomic<std::size_t> next{0};
    tbb::parallel_for(0, tbb::this_task_arena::max_concurrency(), [&](int) {
      Worker& worker = workers_.local();
      for (;;) {
        const std::size_t i = next++;
        if (i >= all.size()) break;
        waiting_ = all.size() - i;
        const Waiting& candidate = all[i];
        if (is_beaten(candidate.score) || is_dominated(candidate)) {
          ++worker.tally.pruned;
          continue;  // of one objective all that follow as well: counted one by one
        }
        worker.batch.push_back(candidate);
        if (worker.batch.size() >= batch_after(i)) simulate_batch(worker);
        report();
      }
      simulate_batch(worker);
    });
  }

  /// First one by one, until the best are found that the others have to beat.
  std::size_t batch_after(std::size_t simulated) const {
    if (!prunes()) return most_in_batch / 16;
    return std::clamp<std::size_t>(simulated / 8, 1, most_in_batch / 64);
  }

  void put_alike_together(std::vector<Waiting>& candidates) const {
    std::vector<std::pair<std::uint64_t, Waiting>> keyed;
    keyed.reserve(candidates.size());
    for (const Waiting& candidate : candidates) keyed.emplace_back(alike(plan_of(candidate)), candidate);
    std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) {
      return std::tie(a.first, a.second.variant, a.second.id) < std::tie(b.first, b.second.variant, b.second.id);
    });
    for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i] = keyed[i].second;
  }

  void simulate_batch(Worker& worker) {
    const std::vector<Waiting> batch = [&] {
      std::vector<Waiting> all = std::exchange(worker.batch, {});
      if (all.size() > 1) put_alike_together(all);
      return all;
    }();
    for (const Waiting& candidate : batch) {
      if (is_beaten(candidate.score)) continue;  // since it was chosen
      Evaluator& evaluator = evaluator_of(worker, candidate.variant);
      CHECK(evaluator.set_plan(plan_of(candidate)).empty(), "it was feasible in the walk");
      simulate(worker, candidate, evaluator);
    }
  }

  ParallelPlan plan_of(const Waiting& candidate) const {
    const Variant& variant = sweep_.variants[candidate.variant];
    ParallelPlan plan = variant.plan(candidate.id);
    CHECK(complete(plan, variant.base), "it was complete in the walk");
    return plan;
  }

  void simulate(Worker& worker, const Waiting& candidate, Evaluator& evaluator) {
    Result result{candidate.variant, candidate.id, 0, candidate.bound_s, candidate.memory_bytes};
    bool known = false;
    if (options_.recorder != nullptr) {
      const std::lock_guard lock(mutex_);
      known = options_.recorder->known(candidate.variant, candidate.id, result);
    }
    if (!known) {
      const MemoryUse memory = evaluator.memory();
      if (!fits(memory)) {
        worker.reasons.add(does_not_fit_, 1);
        return;
      }
      result.memory_bytes = memory.peak().si();
      result.step_s = evaluator.step().step.seconds().si();
    }
    take(worker, result, evaluator.plan(), known);
  }

  /// Of a result that is new, or known from before.
  void take(Worker& worker, const Result& result, const ParallelPlan& plan, bool known) {
    ++worker.tally.simulated;
    worker.tally.known += known;
    ++simulated_;
    const double first = score_of(result.variant, plan, result.step_s, result.memory_bytes, *first_objective());
    const std::lock_guard lock(mutex_);
    if (!known && options_.recorder != nullptr) options_.recorder->record(result);
    leaders_.keep(result, first);
    threshold_ = std::min(threshold_.load(), leaders_.to_beat());
    if (second_objective() != nullptr) {
      leaders_.add_to_front(result, first,
                            score_of(result.variant, plan, result.step_s, result.memory_bytes, *second_objective()));
    }
  }

  // --- several processes ------------------------------------------------------------------------------------------

  enum class Task : std::uint8_t { walk, simulate };

  /// Pieces of the walk go to whoever is free.
  double walk_together(const std::vector<Piece>& all, double from, bool first) {
    const auto processes = static_cast<std::size_t>(options_.distributor->processes());
    const std::size_t share = std::max<std::size_t>(1, all.size() / (16 * processes));
    Worker& worker = workers_.local();
    double dropped = std::numeric_limits<double>::infinity();
    std::size_t begin = 0;
    const auto next = [&]() -> std::optional<std::string> {
      if (begin == all.size()) return std::nullopt;
      MessageWriter task;
      task.put(Task::walk);
      task.put(threshold_.load());
      task.put(from);
      task.put(first);
      task.put(begin);
      begin = std::min(all.size(), begin + share);
      task.put(begin);
      return task.take();
    };
    const auto done = [&](const std::string& answer) {
      MessageReader reader(answer);
      dropped = std::min(dropped, reader.get<double>());
      walked_ += reader.get<std::uint64_t>();
      worker.tally += tally_from(reader);
      std::vector<Waiting> waiting;
      reader.get(waiting);
      worker.waiting.insert(worker.waiting.end(), waiting.begin(), waiting.end());
      if (worker.waiting.size() >= 2 * options_.most_waiting) {
        std::nth_element(worker.waiting.begin(),
                         worker.waiting.begin() + static_cast<std::ptrdiff_t>(options_.most_waiting),
                         worker.waiting.end());
        dropped = std::min(dropped, worker.waiting[options_.most_waiting].score);
        worker.waiting.resize(options_.most_waiting);
      }
      report();
    };
    run_together(next, done);
    return dropped;
  }

  /// Batches, the best bounds first.
  void simulate_together(const std::vector<Waiting>& all) {
    Worker& worker = workers_.local();
    std::size_t i = 0;
    const auto next = [&]() -> std::optional<std::string> {
      const std::size_t size = batch_after(i) * static_cast<std::size_t>(tbb::this_task_arena::max_concurrency());
      std::vector<Waiting> batch;
      for (; i < all.size() && batch.size() < size; ++i) {
        if (is_beaten(all[i].score) || is_dominated(all[i])) continue;
        Result result{all[i].variant, all[i].id, 0, all[i].bound_s, all[i].memory_bytes};
        if (options_.recorder != nullptr && options_.recorder->known(all[i].variant, all[i].id, result)) {
          take(worker, result, plan_of(all[i]), true);
        } else {
          batch.push_back(all[i]);
        }
      }
      waiting_ = all.size() - i;
      if (batch.empty()) return std::nullopt;
      MessageWriter task;
      task.put(Task::simulate);
      task.put(threshold_.load());
      task.put(batch);
      return task.take();
    };
    const auto done = [&](const std::string& answer) {
      MessageReader reader(answer);
      Tally tally = tally_from(reader);
      tally.simulated = tally.known = 0;  // counted as they are taken
      worker.tally += tally;
      std::vector<Result> results;
      reader.get(results);
      for (const Result& result : results) {
        take(worker, result, sweep_.variants[result.variant].plan(result.id), false);
      }
      report();
    };
    run_together(next, done);
  }

  template <class Next, class Done>
  void run_together(const Next& next, const Done& done) {
    const std::string failure =
        options_.distributor->run(next, done, [&](const std::string& task) { return perform_here(task); });
    if (!failure.empty()) throw UserError(failure);
  }

  static void put(MessageWriter& writer, const Tally& tally) {
    for (const std::uint64_t count : {tally.considered, tally.same, tally.pruned, tally.simulated, tally.known})
      writer.put(count);
    writer.put(tally.infeasible);
  }
  static Tally tally_from(MessageReader& reader) {
    Tally tally;
    for (std::uint64_t* count : {&tally.considered, &tally.same, &tally.pruned, &tally.simulated, &tally.known})
      reader.get(*count);
    reader.get(tally.infeasible);
    return tally;
  }

  /// The coordinator's own part, in another thread.
  std::string perform_here(const std::string& task);

 public:
  /// Performs a task of the coordinator. What it simulates goes to the recorder, which `results` empties.
  std::string perform(const std::string& task, const std::function<std::vector<Result>()>& results) {
    MessageReader reader(task);
    const auto kind = reader.get<Task>();
    threshold_ = std::min(threshold_.load(), reader.get<double>());
    MessageWriter answer;
    if (kind == Task::walk) {
      const auto from = reader.get<double>();
      const auto first = reader.get<bool>();
      const auto begin = reader.get<std::size_t>(), end = reader.get<std::size_t>();
      const std::vector<Piece> all = pieces();
      room_ = std::max<std::size_t>(1024, options_.most_waiting / arena_size());
      walked_ = 0;
      arena().execute([&] { walk_pieces(std::span(all).subspan(begin, end - begin), from, first); });
      double dropped = std::numeric_limits<double>::infinity();
      std::vector<Waiting> waiting;
      for (Worker& worker : workers_) {
        dropped = std::min(dropped, std::exchange(worker.dropped, std::numeric_limits<double>::infinity()));
        waiting.insert(waiting.end(), worker.waiting.begin(), worker.waiting.end());
        worker.waiting.clear();
      }
      answer.put(dropped);
      answer.put(walked_.load());
      put(answer, taken_tally());
      answer.put(waiting);
      return answer.take();
    }
    std::vector<Waiting> batch;
    reader.get(batch);
    arena().execute([&] { simulate_shared_out(batch, batch.size() / arena_size()); });
    put(answer, taken_tally());
    answer.put(results());
    return answer.take();
  }

 private:
  std::size_t arena_size() { return static_cast<std::size_t>(arena().max_concurrency()); }
  tbb::task_arena& arena() {
    if (!arena_) arena_.emplace(options_.jobs > 0 ? options_.jobs : tbb::this_task_arena::max_concurrency());
    return *arena_;
  }
  /// Of all threads since it was asked for last.
  Tally taken_tally() {
    Tally sum;
    for (Worker& worker : workers_) {
      worker.reasons.add_to(worker.tally);
      sum += std::exchange(worker.tally, {});
    }
    return sum;
  }

  void report() {
    if (!options_.progress) return;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || since(reported_) < 0.2) return;
    reported_ = Clock::now();
    options_.progress({walked_, total_, simulated_, waiting_, leaders_.first()});
  }

  SearchResult answer() {
    SearchResult result;
    for (Worker& worker : workers_) {
      worker.reasons.add_to(worker.tally);
      result.tally += worker.tally;
    }
    // What was dropped for want of room, or waited behind the end, was pruned by its bound as well.
    result.tally.pruned =
        result.tally.considered - result.tally.same - result.tally.infeasible_sum() - result.tally.simulated;
    result.front = leaders_.front();
    // Of two objectives only the front is complete: what it beats in both was not simulated.
    if (second_objective() == nullptr) result.best = leaders_.best();
    if (!result.front.empty()) result.best = {result.front.front()};
    result.seconds = since(begun_);
    if (walk_seconds_ > 0) result.bounds_per_s = static_cast<double>(result.tally.considered) / walk_seconds_;
    const double simulating =
        options_.exhaustive && options_.distributor == nullptr ? walk_seconds_ : simulate_seconds_;
    if (simulating > 0)
      result.simulated_per_s = static_cast<double>(result.tally.simulated - result.tally.known) / simulating;
    return result;
  }

  const Sweep& sweep_;
  const SearchOptions& options_;
  const bool performs_;
  const Clock::time_point begun_;
  std::vector<Facts> facts_;
  tbb::enumerable_thread_specific<Worker> workers_;
  std::size_t room_ = 0;
  std::optional<tbb::task_arena> arena_;  ///< of a part performed for a coordinator
  std::unique_ptr<Part> here_;
  std::mutex mutex_;  ///< of what follows, and of the recorder
  Leaders leaders_;
  std::atomic<double> threshold_{std::numeric_limits<double>::infinity()};
  std::atomic<std::uint64_t> walked_{0}, simulated_{0}, waiting_{0};
  std::vector<std::uint64_t> group_size_;  ///< by variant
  std::uint64_t total_ = 0;
  Clock::time_point reported_ = Clock::now();
  double walk_seconds_ = 0, simulate_seconds_ = 0;
  const std::string does_not_fit_ = "does not fit in memory";
};

/// What one process does for a coordinator.
class Part : public Recorder {
 public:
  Part(const Sweep& sweep, SearchOptions options)
      : options_(with(std::move(options), this)), search_(sweep, options_, true) {}

  std::string perform(const std::string& task) {
    return search_.perform(task, [&] { return std::exchange(results_, {}); });
  }
  bool known(std::uint32_t, std::uint64_t, Result&) override { return false; }
  void record(const Result& result) override { results_.push_back(result); }

 private:
  static SearchOptions with(SearchOptions options, Recorder* recorder) {
    options.recorder = recorder;
    options.distributor = nullptr;
    options.progress = nullptr;
    return options;
  }
  const SearchOptions options_;
  Search search_;
  std::vector<Result> results_;
};

Search::~Search() = default;

std::string Search::perform_here(const std::string& task) {
  if (here_ == nullptr) here_ = std::make_unique<Part>(sweep_, options_);
  return here_->perform(task);
}

}  // namespace

SearchResult best_of(const Sweep& sweep, const std::vector<Result>& results, int top) {
  return Search(sweep, {.top = top}, false).of(results);
}

Distributor::Perform make_search_part(const Sweep& sweep, const SearchOptions& options) {
  const auto part = std::make_shared<Part>(sweep, options);
  return [part](const std::string& task) { return part->perform(task); };
}

SearchResult search(const Sweep& sweep, const SearchOptions& options) {
  if (sweep.size() == 0) throw UserError("the space of the sweep is empty: an axis has no values");
  return Search(sweep, options, false).run();
}

}  // namespace stepcast
