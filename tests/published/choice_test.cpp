/// Grids of plans that somebody measured on one cluster: what a sweep chooses among them against what was fastest.

#include <algorithm>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "simulator/input/input.hpp"
#include "simulator/search/search.hpp"

namespace stepcast {
namespace {

struct Grid {
  std::vector<ReferenceEntry> runs;

  double measured(const Result& result) const {
    return runs[result.variant].job.reference->measured.step_time_s.value();
  }
  double fastest() const {
    double least = 1e9;
    for (const ReferenceEntry& run : runs) least = std::min(least, run.job.reference->measured.step_time_s.value());
    return least;
  }
};

/// Runs of a file that differ only in what a sweep varies, where there are at least four.
std::vector<Grid> grids(const std::string& file) {
  std::map<std::string, Grid> found;
  for (ReferenceEntry& entry : load_reference_runs({STEPCAST_SOURCE_DIR "/scenarios/published/" + file})) {
    const Job& job = entry.job;
    if (!job.reference || !job.reference->measured.step_time_s || !job.reference->suspect.empty()) continue;
    std::ostringstream key;
    key << job.model.name << ' ' << job.model.layers << ' ' << job.model.hidden << ' ' << job.model.heads << ' '
        << job.model.vocab << ' ' << job.cluster.gpus << ' ' << job.framework.name << ' ' << job.plan.global_batch
        << ' ' << job.plan.sequence_length;
    found[key.str()].runs.push_back(std::move(entry));
  }
  std::vector<Grid> all;
  for (auto& [key, grid] : found) {
    if (grid.runs.size() >= 4) all.push_back(std::move(grid));
  }
  return all;
}

/// How much longer the chosen plan's measured step is than the fastest one's, as a fraction.
double regret(const Grid& grid) {
  Sweep sweep;
  sweep.objective = find_objective("step_time");
  for (const ReferenceEntry& run : grid.runs) {
    Variant variant;
    variant.name = run.id;
    variant.base = run.job;
    sweep.variants.push_back(std::move(variant));
  }
  const SearchResult found = search(sweep, {.jobs = 1, .top = 1});
  EXPECT_FALSE(found.best.empty());
  if (found.best.empty()) return 1;
  const double more = grid.measured(found.best[0]) / grid.fastest() - 1;
  std::printf("%zu plans, %s...: chosen %s, %.1f%% more than the fastest\n", grid.runs.size(),
              grid.runs.front().id.c_str(), sweep.variants[found.best[0].variant].name.c_str(), 100 * more);
  return more;
}

// BigScience's search for BLOOM's topology (384 A100s): of each model that was tried with four plans or more, the plan
// chosen is the fastest measured, or within 3% of it.
TEST(Choice, AmongBigSciencesPlansIsTheFastestOrNearly) {
  const std::vector<Grid> all = grids("bigscience-a100-sweep.yaml");
  ASSERT_GE(all.size(), 4U);
  for (const Grid& grid : all) EXPECT_LE(regret(grid), 0.03) << grid.runs.front().id;
}

// vTrain's four grids on 64 to 512 A100s (arXiv 2312.12391, ground_truth_multi.csv). The fastest is found in two. In one of
// the others a microbatch of 16 is chosen for one of 8, on the same degrees, which measured 9% slower; in the other tensor
// 4 x pipeline 4 for 8 x 2, 7% slower, where predictions are 4% low and 4% high. These stay within what they are.
TEST(Choice, AmongVTrainsPlansIsTheFastestInHalfOfTheGrids) {
  const std::vector<Grid> all = grids("vtrain-multi.yaml");
  ASSERT_EQ(all.size(), 4U);
  std::vector<double> more;
  for (const Grid& grid : all) more.push_back(regret(grid));
  std::sort(more.begin(), more.end());
  EXPECT_LE(more[1], 0.03);
  EXPECT_LE(more[3], 0.10);
}

}  // namespace
}  // namespace stepcast
