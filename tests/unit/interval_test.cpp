/// Intervals from residuals whose distribution is known.

#include "simulator/report/interval.hpp"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/report/ranking.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

RunTraits on(const std::string& framework, const std::string& gpu, std::int64_t gpus) {
  RunTraits traits;
  traits.framework = framework;
  traits.framework_family = "megatron";
  traits.gpu = gpu;
  traits.generation = gpu.substr(0, 1);
  traits.gpus = gpus;
  return traits;
}

/// `n` runs of a source, their ratios spread evenly from -`spread` to `spread`.
void add(std::vector<RunResidual>& into, const std::string& source, const RunTraits& traits, int n, double spread) {
  for (int i = 0; i < n; ++i) into.push_back({source, traits, spread * (2.0 * (i + 0.5) / n - 1)});
}

std::vector<RunResidual> four_sources(double spread) {
  std::vector<RunResidual> residuals;
  for (const char* source : {"a", "b", "c", "d"}) add(residuals, source, on("core", "h100", 64), 100, spread);
  return residuals;
}

// Residuals spread evenly over +-10%: nine of ten lie within +-9%, whichever source is left out.
TEST(Interval, OfEvenlySpreadErrorsIsTheirMiddleNineTenths) {
  const LearnedErrors learned(four_sources(0.1));
  EXPECT_NEAR(learned.stretch(), 1, 0.05);
  const auto interval = learned.interval(on("core", "h100", 64));
  ASSERT_TRUE(interval);
  EXPECT_NEAR(std::log(interval->low), -0.09, 0.004);
  EXPECT_NEAR(std::log(interval->high), 0.09, 0.004);
  EXPECT_EQ(interval->runs, 400);
  EXPECT_EQ(interval->sources, 4);
  EXPECT_EQ(interval->alike, "core on h100, more than 8 of them");
  EXPECT_EQ(interval->beyond, "");
}

// A published run that was copied into a scenario of one's own is still the run that it was.
TEST(Interval, FindsTheSourceOfARunThatHasAnotherName) {
  std::vector<RunResidual> residuals = four_sources(0.1);
  residuals.push_back({"kort", on("core", "a100", 64), 0.02, 13.75});
  const LearnedErrors learned(residuals);
  EXPECT_EQ(learned.source_of_run(on("core", "a100", 64), 13.75), "kort");
  EXPECT_EQ(learned.source_of_run(on("core", "a100", 64), 13.8), "");
  EXPECT_EQ(learned.source_of_run(on("core", "a100", 128), 13.75), "");
  EXPECT_EQ(learned.source_of_run(on("core", "h100", 64), 13.75), "");
}

TEST(Interval, KnowsNothingOfTheSourceLeftOut) {
  std::vector<RunResidual> residuals = four_sources(0.1);
  add(residuals, "wild", on("core", "h100", 64), 300, 2);
  std::vector<RunResidual> wilder = four_sources(0.1);
  add(wilder, "wild", on("core", "h100", 64), 300, 4);
  const LearnedErrors one(residuals), other(wilder);
  const auto a = one.interval(on("core", "h100", 64), "wild"), b = other.interval(on("core", "h100", 64), "wild");
  // The stretch is common to all sources, the runs are not.
  EXPECT_EQ(a->runs, 400);
  EXPECT_NEAR(std::log(a->high) / one.stretch(), std::log(b->high) / other.stretch(), 1e-3);
}

// Sources that disagree by more than their runs do: what holds for the runs does not hold for a new source.
TEST(Interval, IsStretchedWhenSourcesDiffer) {
  std::vector<RunResidual> residuals;
  for (int s = 0; s < 10; ++s) {
    for (int i = 0; i < 20; ++i)
      residuals.push_back(
          {std::string(1, static_cast<char>('a' + s)), on("core", "h100", 64), 0.02 * (s - 4.5) + 0.001 * (i - 9.5)});
  }
  const LearnedErrors learned(residuals);
  EXPECT_GT(learned.stretch(), 1.05);
  int covered = 0;
  for (const RunResidual& r : residuals) {
    const auto interval = learned.interval(r.traits, r.source);
    covered += interval->low <= std::exp(r.log_ratio) && std::exp(r.log_ratio) <= interval->high;
  }
  EXPECT_NEAR(covered, 180, 4);
}

TEST(Interval, IsWiderBeyondWhatWasSeen) {
  std::vector<RunResidual> residuals = four_sources(0.05);
  for (const char* source : {"e", "f", "g"}) add(residuals, source, on("old", "a100", 8), 50, 0.3);
  const LearnedErrors learned(residuals);
  const auto seen = learned.interval(on("core", "h100", 64));
  const auto larger = learned.interval(on("core", "h100", 1024));
  const auto newer = learned.interval(on("core", "h200", 64));
  EXPECT_LT(seen->high, larger->high);
  EXPECT_LT(seen->high, newer->high);
  EXPECT_THAT(larger->beyond, HasSubstr("1024 GPUs, where the largest of these has 64"));
  EXPECT_THAT(newer->beyond, HasSubstr("h200"));
}

TEST(Interval, HoldsThePredictionItself) {
  std::vector<RunResidual> residuals = four_sources(0.05);
  for (RunResidual& r : residuals) r.log_ratio += 0.5;  // always too fast
  const auto interval = LearnedErrors(residuals).interval(on("core", "h100", 64));
  EXPECT_EQ(interval->low, 1);
  EXPECT_GT(interval->high, std::exp(0.5));
}

TEST(Interval, IsAbsentWhenTooLittleIsKnown) {
  EXPECT_FALSE(LearnedErrors().interval(on("core", "h100", 64)));
  std::vector<RunResidual> two;
  for (const char* source : {"a", "b"}) add(two, source, on("core", "h100", 64), 100, 0.1);
  EXPECT_FALSE(LearnedErrors(two).interval(on("core", "h100", 64)));
}

ValidationRow run_of(double published, double predicted) {
  ValidationRow row;
  row.file = "grid.yaml";
  row.traits.model = "GPT";
  row.traits.gpu = "a100";
  row.traits.gpus = 8;
  row.traits.tokens_per_step = 1000;
  row.published = published;
  row.predicted = predicted;
  return row;
}

// By hand: of the 15 pairs of (1, 2, 3, 4, 5, 6) and (1, 3, 2, 4, 6, 5) two are reversed: tau = 11 / 15.
TEST(Ranking, IsKendallsTau) {
  std::vector<ValidationRow> rows;
  const int order[] = {1, 3, 2, 4, 6, 5};
  for (int i = 0; i < 6; ++i) rows.push_back(run_of(i + 1, order[i]));
  const auto sweeps = ranked_sweeps(rows);
  ASSERT_EQ(sweeps.size(), 1u);
  EXPECT_NEAR(sweeps[0].tau, 11.0 / 15, 1e-12);
  EXPECT_EQ(sweeps[0].lost, 0);  // the fastest is predicted to be the fastest
  EXPECT_EQ(sweeps[0].name, "GPT, 8 x a100");
}

TEST(Ranking, SaysWhatTheWrongBestCosts) {
  std::vector<ValidationRow> rows;
  for (int i = 0; i < 6; ++i) rows.push_back(run_of(10 + i, 20 - i));
  const auto sweeps = ranked_sweeps(rows);
  EXPECT_NEAR(sweeps[0].tau, -1, 1e-12);
  EXPECT_NEAR(sweeps[0].lost, 1 - 10.0 / 15, 1e-12);
}

}  // namespace
}  // namespace stepcast
