#include "simulator/search/refine.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/evaluator.hpp"
#include "simulator/parallelism/recompute.hpp"
#include "simulator/search/lower_bound.hpp"

namespace stepcast {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// "full-4-3-0-layers": full recomputation of so many layers of each part.
std::string layer_by_layer_policy(const std::vector<int>& recomputed) {
  std::string name = "full";
  for (const int layers : recomputed) name += fmt::format("-{}", layers);
  return name + "-layers";
}

/// Where the layers lie.
struct Placed {
  std::vector<int> layers;
  std::vector<int> recomputed;  ///< empty: by the plan's own policy

  auto operator<=>(const Placed&) const = default;
};

class Refinement {
 public:
  Refinement(const Job& job, const RefineOptions& options)
      : options_(options),
        evaluator_(job),
        given_(job.plan),
        layers_(static_cast<int>(job.model.layers)),
        stages_(job.plan.pipeline_parallel) {
    CHECK(evaluator_.set_plan(given_).empty(), "the plan was found to be feasible");
    placement_ = chunk_placement(given_);
    parts_ = path_length(placement_, stages_, given_.virtual_stages);
    result_.plan = given_;
    result_.step_s = result_.given_s = evaluator_.step().step.seconds().si();
    best_ = as_given();
    alike_ = true;
    for (const auto& stage : evaluator_.model().stages) {
      for (const ChunkContents& chunk : stage) {
        for (const auto& [kind, count] : chunk.layers) alike_ = alike_ && kind % kinds() == 0;
      }
    }
  }

  Refined run() {
    if (parts_ == 1 || given_.own_order || stages_ == 1) {
      result_.proven = parts_ == 1;
    } else {
      result_.proven = given_.virtual_stages == 1 && alike_;
      const auto policy = recompute_policy(given_.recompute);
      const bool whole_layers = policy && (policy->what == Recompute::none || policy->what == Recompute::full);
      if (!whole_layers) place(false);  // a policy of parts of layers stays; or gives way to some layers whole
      place(true);
    }
    result_.layers = best_.layers;
    result_.recomputed = best_.recomputed;
    return result_;
  }

 private:
  int kinds() const {
    const bool doubled = !recompute_policy(evaluator_.plan().recompute).value_or(RecomputePolicy{}).layers.all();
    return std::max(1, static_cast<int>(evaluator_.model().kinds.size()) / (doubled ? 2 : 1));
  }

  Placed as_given() const {
    Placed placed;
    placed.layers.assign(at(parts_), 0);
    const auto& stages = evaluator_.model().stages;
    for (int stage = 0; stage < stages_; ++stage) {
      for (int chunk = 0; chunk < given_.virtual_stages; ++chunk) {
        placed.layers[at(path_point(placement_, stages_, stage, chunk).position)] =
            stages[at(stage)][at(chunk)].layer_count();
      }
    }
    return placed;
  }

  ParallelPlan plan_of(const Placed& placed) const {
    ParallelPlan plan = given_;
    plan.layer_split = LayerSplit::given;
    plan.stage_layers = placed.layers;
    if (!placed.recomputed.empty()) {
      const bool none = std::all_of(placed.recomputed.begin(), placed.recomputed.end(), [](int n) { return n == 0; });
      plan.recompute = none                                 ? "none"
                       : placed.recomputed == placed.layers ? "full"
                                                            : layer_by_layer_policy(placed.recomputed);
    }
    return plan;
  }

  bool fits(int stage) const {
    const MemoryUse use = evaluator_.memory(stage);
    return use.fits() && use.capacity.si() - use.peak().si() >= options_.memory_headroom_bytes;
  }

  /// Takes up a placement that can win. @return whether it was simulated
  bool simulate(const Placed& placed) {
    if (!tried_.insert(placed).second || !evaluator_.set_plan(plan_of(placed)).empty()) return false;
    for (int stage = 0; stage < stages_; ++stage) {
      if (!fits(stage)) return false;
    }
    if (lower_bound(evaluator_).si() >= result_.step_s) return false;
    ++result_.tried;
    const double step = evaluator_.step().step.seconds().si();
    if (step < result_.step_s) {
      result_.step_s = step;
      result_.plan = plan_of(placed);
      best_ = placed;
    }
    return true;
  }

  void place(bool layer_by_layer) {
    if (given_.virtual_stages == 1 && alike_) {
      place_on_stages(layer_by_layer);
    } else {
      descend(layer_by_layer);
    }
  }

  // --- one part a rank -------------------------------------------------------------------------------------------

  /// Of one stage with so many layers: the fewest recomputed that fit, and what a microbatch's passes take.
  struct Option {
    int recomputed = 0;
    double time = never;  ///< never: nothing fits
  };

  Option option(int stage, int count, bool layer_by_layer) {
    Placed placed;
    placed.layers.assign(at(stages_), 0);
    placed.layers[at(stage)] = count;
    placed.layers[at(stage == 0 ? stages_ - 1 : 0)] += layers_ - count;
    if (layer_by_layer) placed.recomputed.assign(at(stages_), 0);
    const auto fits_with = [&](int recomputed) {
      if (layer_by_layer) placed.recomputed[at(stage)] = recomputed;
      // Not to be the plan of another policy, with blocks of another kind.
      ParallelPlan plan = plan_of(placed);
      if (layer_by_layer) plan.recompute = layer_by_layer_policy(placed.recomputed);
      return evaluator_.set_plan(plan).empty() && fits(stage);
    };
    int least = 0, most = layer_by_layer ? count : 0;
    if (!fits_with(most)) return {};
    while (least < most) {
      const int middle = (least + most) / 2;
      fits_with(middle) ? most = middle : least = middle + 1;
    }
    fits_with(least);
    return {least, passes_of(stage)};
  }
  /// Of one microbatch on a rank, on the compute stream; no less than what is simulated.
  double passes_of(int stage) const {
    double sum = 0;
    const bool splits = evaluator_.cut().passes.splits;
    const auto time = [&](const LocalBlock& block, PassKind kind) {
      return evaluator_.passes().of(block, kind).folded.duration.seconds().si();
    };
    for (const ChunkContents& chunk : evaluator_.model().stages[at(stage)]) {
      for_each_block(evaluator_.model(), chunk, [&](const LocalBlock& block, int count) {
        double back = time(block, PassKind::backward);
        if (splits) {
          back = std::min(back, time(block, PassKind::backward_input) + time(block, PassKind::backward_weight));
        }
        sum += count * (time(block, PassKind::forward) + back);
      });
    }
    return sum;
  }

  void place_on_stages(bool layer_by_layer) {
    const auto microbatches = static_cast<double>(given_.microbatches());
    options_of_.assign(at(stages_), {});
    for (int stage = 0; stage < stages_; ++stage) {
      const bool end = stage == 0 || stage + 1 == stages_;
      for (int count = 0; count <= layers_; ++count) {
        Option one = count == 0 && !end ? Option{} : option(stage, count, layer_by_layer);
        // Its passes alone take longer than the best step, and with more layers longer still.
        if (count > 0 && (one.time == never || one.time * microbatches > result_.step_s)) break;
        options_of_[at(stage)].push_back(one);
      }
    }
    if (const auto found = by_dynamic_programming(microbatches)) simulate(placed_of(*found, layer_by_layer));
    std::vector<std::pair<double, std::vector<int>>> all;
    std::vector<int> counts;
    const bool complete = enumerate(0, layers_, microbatches, counts, all);
    std::sort(all.begin(), all.end());
    for (const auto& [estimate, split] : all) {
      if (result_.tried >= options_.most_simulated) {
        result_.proven = false;
        break;
      }
      simulate(placed_of(split, layer_by_layer));
    }
    if (complete) return;
    result_.proven = false;
    descend(layer_by_layer);
  }

  Placed placed_of(const std::vector<int>& counts, bool layer_by_layer) const {
    Placed placed{counts, {}};
    if (!layer_by_layer) return placed;
    for (int stage = 0; stage < stages_; ++stage)
      placed.recomputed.push_back(options_of_[at(stage)][at(counts[at(stage)])].recomputed);
    return placed;
  }

  /// The least of sum(times) + (m - 1) max(times), if any placement fits.
  std::optional<std::vector<int>> by_dynamic_programming(double microbatches) const {
    std::vector<double> slowest;
    for (const auto& options : options_of_) {
      for (const Option& one : options) {
        if (one.time < never) slowest.push_back(one.time);
      }
    }
    std::sort(slowest.begin(), slowest.end());
    slowest.erase(std::unique(slowest.begin(), slowest.end()), slowest.end());
    std::optional<std::vector<int>> best;
    double least = never;
    const std::size_t width = at(layers_) + 1;
    for (const double limit : slowest) {
      if ((microbatches - 1) * limit >= least) break;
      // sums[stage][layers]: of the stages before, which hold so many
      std::vector<std::vector<double>> sums(at(stages_) + 1, std::vector<double>(width, never));
      std::vector<std::vector<int>> counts(at(stages_) + 1, std::vector<int>(width, 0));
      sums[0][0] = 0;
      for (std::size_t stage = 0; stage < at(stages_); ++stage) {
        for (std::size_t held = 0; held < width; ++held) {
          if (sums[stage][held] == never) continue;
          for (std::size_t count = 0; count < options_of_[stage].size() && held + count < width; ++count) {
            const double time = options_of_[stage][count].time;
            if (time > limit || sums[stage][held] + time >= sums[stage + 1][held + count]) continue;
            sums[stage + 1][held + count] = sums[stage][held] + time;
            counts[stage + 1][held + count] = static_cast<int>(count);
          }
        }
      }
      const double sum = sums[at(stages_)][at(layers_)];
      if (sum == never || sum + (microbatches - 1) * limit >= least) continue;
      least = sum + (microbatches - 1) * limit;
      best.emplace(at(stages_), 0);
      std::size_t held = at(layers_);
      for (std::size_t stage = at(stages_); stage-- > 0;) {
        (*best)[stage] = counts[stage + 1][held];
        held -= at((*best)[stage]);
      }
    }
    return best;
  }

  /// All placements that fit, with what they take by the sum above. @return false when they are too many
  bool enumerate(int stage, int left, double microbatches, std::vector<int>& counts,
                 std::vector<std::pair<double, std::vector<int>>>& all) const {
    if (stage == stages_) {
      double sum = 0, slowest = 0;
      for (int s = 0; s < stages_; ++s) {
        const double time = options_of_[at(s)][at(counts[at(s)])].time;
        sum += time;
        slowest = std::max(slowest, time);
      }
      all.emplace_back(sum + (microbatches - 1) * slowest, counts);
      return all.size() < most_placements;
    }
    int room = 0;  // on the stages behind
    for (int behind = stage + 1; behind < stages_; ++behind)
      room += static_cast<int>(options_of_[at(behind)].size()) - 1;
    const int most = std::min(left, static_cast<int>(options_of_[at(stage)].size()) - 1);
    for (int count = std::max(0, left - room); count <= most; ++count) {
      if (options_of_[at(stage)][at(count)].time == never) continue;
      counts.push_back(count);
      const bool goes_on = enumerate(stage + 1, left - count, microbatches, counts, all);
      counts.pop_back();
      if (!goes_on) return false;
    }
    return true;
  }
  static constexpr std::size_t most_placements = 20'000;

  // --- several parts a rank --------------------------------------------------------------------------------------

  /// Moves layers one by one, as long as the step falls.
  void descend(bool layer_by_layer) {
    for (bool better = true; better && result_.tried < options_.most_simulated;) {
      const double before = result_.step_s;
      const Placed from = best_;
      for (int giver = 0; giver < parts_; ++giver) {
        for (int taker = 0; taker < parts_; ++taker) {
          if (giver == taker || from.layers[at(giver)] <= 1) continue;
          Placed placed{from.layers, {}};
          --placed.layers[at(giver)];
          ++placed.layers[at(taker)];
          if (layer_by_layer && !recompute_what_must(placed)) continue;
          simulate(placed);
        }
      }
      if (layer_by_layer) {
        Placed placed{from.layers, {}};
        if (recompute_what_must(placed)) simulate(placed);
      }
      better = result_.step_s < before;
    }
  }

  /// Of each rank as few layers as make it fit, spread over its parts. @return whether that does
  bool recompute_what_must(Placed& placed) {
    placed.recomputed.assign(at(parts_), 0);
    for (int stage = 0; stage < stages_; ++stage) {
      std::vector<std::size_t> own;
      int most = 0;
      for (int chunk = 0; chunk < given_.virtual_stages; ++chunk) {
        own.push_back(at(path_point(placement_, stages_, stage, chunk).position));
        most += placed.layers[own.back()];
      }
      const auto fits_with = [&](int recomputed) {
        for (const std::size_t part : own) placed.recomputed[part] = 0;
        for (std::size_t i = 0; recomputed > 0; i = (i + 1) % own.size()) {
          if (placed.recomputed[own[i]] == placed.layers[own[i]]) continue;
          ++placed.recomputed[own[i]];
          --recomputed;
        }
        ParallelPlan plan = plan_of(placed);
        plan.recompute = layer_by_layer_policy(placed.recomputed);
        return evaluator_.set_plan(plan).empty() && fits(stage);
      };
      int least = 0;
      if (!fits_with(most)) return false;
      while (least < most) {
        const int middle = (least + most) / 2;
        fits_with(middle) ? most = middle : least = middle + 1;
      }
      fits_with(least);
    }
    return true;
  }

  const RefineOptions options_;
  Evaluator evaluator_;
  const ParallelPlan given_;
  const int layers_, stages_;
  ChunkPlacement placement_ = ChunkPlacement::loop;
  int parts_ = 1;
  bool alike_ = true;  ///< all layers are of one kind: which of them a part has does not matter
  std::vector<std::vector<Option>> options_of_;  ///< [stage][layers]
  std::set<Placed> tried_;
  Placed best_;
  Refined result_;
};

}  // namespace

Refined refine_layers(const Job& job, const RefineOptions& options) { return Refinement(job, options).run(); }

}  // namespace stepcast
