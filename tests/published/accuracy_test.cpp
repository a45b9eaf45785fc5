/// Agreement with published runs is data: every run of scenarios/published is replayed, and the mean error of each
/// group of runs stays as good as the table of the last comparison says.

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "simulator/base/csv.hpp"
#include "simulator/base/files.hpp"
#include "simulator/input/input.hpp"
#include "simulator/validate.hpp"

namespace stepcast {
namespace {

const std::vector<ValidationRow>& rows() {
  static const std::vector<ValidationRow> all = [] {
    std::vector<ValidationRow> result;
    for (const ReferenceEntry& entry : load_reference_runs({STEPCAST_SOURCE_DIR "/scenarios/published"})) {
      for (ValidationRow& row : compare_with_measurement(entry.job, entry.file, entry.id))
        result.push_back(std::move(row));
    }
    return result;
  }();
  return all;
}

/// scenarios/published/accuracy.csv: how the runs compared when it was last written. By id and metric.
struct Recorded {
  ErrorGroups of_step_time[16], of_memory;
  std::map<std::pair<std::string, std::string>, double> error_percent;
};

Recorded recorded() {
  const std::string path = STEPCAST_SOURCE_DIR "/scenarios/published/accuracy.csv";
  const CsvTable table(path, read_file(path));
  std::vector<ValidationRow> before;
  Recorded result;
  for (const CsvRow& line : table.rows()) {
    if (line.text("status") != "ok") continue;
    ValidationRow row;
    row.id = line.text("id");
    row.file = line.text("file");
    row.traits.gpu = line.text("gpu");
    row.traits.framework = line.text("framework");
    row.traits.model_family = line.text("model_family");
    row.traits.parallelism = line.text("parallelism");
    row.traits.gpus = line.count("gpus");
    row.metric = line.text("metric") == name_of(Metric::memory) ? Metric::memory : Metric::step_time;
    row.published = line.positive("published");
    row.predicted = line.positive("predicted");
    result.error_percent[{row.id, line.text("metric")}] = *row.error_percent();
    before.push_back(std::move(row));
  }
  const ValidationSummary summary = summarise(before);
  for (std::size_t g = 0; g < groupings().size(); ++g) result.of_step_time[g] = summary.*groupings()[g].groups;
  result.of_memory["all"] = summary.memory;
  return result;
}

/// The rows of a group that moved most, for whoever broke it.
std::string moved(const Recorded& before, const std::function<bool(const ValidationRow&)>& in_group) {
  std::vector<std::pair<double, std::string>> changes;
  for (const ValidationRow& row : rows()) {
    if (row.status != ValidationStatus::ok || !row.error_percent() || !in_group(row)) continue;
    const auto was = before.error_percent.find({row.id, std::string(name_of(row.metric))});
    if (was == before.error_percent.end()) continue;
    const double worse = std::abs(*row.error_percent()) - std::abs(was->second);
    if (worse > 0.1)
      changes.emplace_back(worse,
                           fmt::format("  {}: {:+.1f}% -> {:+.1f}%\n", row.id, was->second, *row.error_percent()));
  }
  std::sort(changes.rbegin(), changes.rend());
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(changes.size(), 12); ++i) text += changes[i].second;
  return text;
}

constexpr double allowed = 0.5;  // percentage points

// A change that makes predictions worse shows here, group by group, with the rows that moved. One that is right all the
// same writes the table anew and says why: stepcast validate scenarios/published --format csv --out
// scenarios/published/accuracy.csv
TEST(PublishedRuns, NoGroupIsWorseThanRecorded) {
  const ValidationSummary now = summarise(rows());
  const Recorded before = recorded();
  for (std::size_t g = 0; g < groupings().size(); ++g) {
    const Grouping& grouping = groupings()[g];
    for (const auto& [name, was] : before.of_step_time[g]) {
      const ErrorGroups& groups = now.*grouping.groups;
      ASSERT_TRUE(groups.contains(name)) << grouping.name << " " << name << " is no longer compared";
      const ErrorSummary& is = groups.at(name);
      EXPECT_GE(is.runs, was.runs) << grouping.name << " " << name << ": fewer runs are compared than before";
      EXPECT_LE(*is.mape, *was.mape + allowed)
          << grouping.name << " " << name << "\n"
          << moved(before, [&, of = name](const ValidationRow& row) {
               return row.metric == Metric::step_time && grouping.group_of(row) == of;
             });
    }
    for (const auto& [name, is] : now.*grouping.groups)
      EXPECT_TRUE(before.of_step_time[g].contains(name)) << name << " is not in accuracy.csv";
  }
  EXPECT_LE(*now.memory.mape, *before.of_memory.at("all").mape + allowed)
      << moved(before, [](const ValidationRow& row) { return row.metric == Metric::memory; });
}

// The promise of a 90% interval, for sources that it was not learned from.
TEST(PublishedRuns, IntervalsHoldForSourcesLeftOut) {
  const LearnedErrors learned = load_learned_errors();
  int covered = 0, all = 0;
  for (const ValidationRow& row : rows()) {
    if (row.metric != Metric::step_time || row.status != ValidationStatus::ok) continue;
    const auto interval = learned.interval(row.traits, source_of(row));
    ASSERT_TRUE(interval) << row.id;
    const double ratio = *row.published / *row.predicted;
    covered += interval->low <= ratio && ratio <= interval->high;
    ++all;
  }
  EXPECT_GE(covered, 0.85 * all);
  EXPECT_LE(covered, 0.95 * all);
}

double mape_of(const std::string& file, const std::string& framework, const std::string& prefix) {
  std::vector<double> errors;
  for (const ValidationRow& row : rows()) {
    if (row.file.find(file) == std::string::npos || row.traits.framework != framework || row.id.rfind(prefix, 0) != 0)
      continue;
    if (row.metric == Metric::step_time && row.status == ValidationStatus::ok) errors.push_back(*row.error_percent());
  }
  return summarise_errors(errors).mape.value();
}

// One set of constants for the A100 serves both generations of Megatron-LM.
TEST(PublishedRuns, MegatronOnA100IsWithinEightPercent) {
  EXPECT_LT(mape_of("korthikanti-2022", "megatron-lm-2022", "kort-t5-"), 8);
  EXPECT_LT(mape_of("megatron-sc21", "megatron-lm-2021", ""), 8);
}

// A region whose launches take longer than its kernels takes as long as its launches. The runs of vTrain's one-node grid
// that this makes a third slower or more: with it they are met, without it the predictions are far too fast, which is the
// known error of models that have no host (25-57%).
TEST(PublishedRuns, SmallModelsWaitForTheHost) {
  std::vector<double> with_host, without_host;
  for (const ReferenceEntry& entry :
       load_reference_runs({STEPCAST_SOURCE_DIR "/scenarios/published/vtrain-single.yaml",
                            STEPCAST_SOURCE_DIR "/scenarios/published/megatron-memory-logs.yaml"})) {
    Job free_host = entry.job;
    free_host.framework.host_time_per_layer_forward.value = Seconds(0);
    free_host.framework.host_time_per_layer_backward.value = Seconds(0);
    const std::vector<ValidationRow> given = compare_with_measurement(entry.job, entry.file, entry.id);
    const std::vector<ValidationRow> faster = compare_with_measurement(free_host, entry.file, entry.id);
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (given[i].metric != Metric::step_time || given[i].status != ValidationStatus::ok) continue;
      const double with = 1 + *given[i].error_percent() / 100, without = 1 + *faster[i].error_percent() / 100;
      if (with < 4.0 / 3 * without) continue;
      with_host.push_back(100 * (with - 1));
      without_host.push_back(100 * (without - 1));
    }
  }
  EXPECT_GE(with_host.size(), 30U);
  EXPECT_LT(summarise_errors(with_host).mape.value(), 10);
  EXPECT_GT(summarise_errors(without_host).mape.value(), 35);
}

TEST(PublishedRuns, NothingIsDroppedInSilence) {
  std::map<std::string, int> seen;
  for (const ValidationRow& row : rows()) {
    ++seen[row.id];
    if (row.status == ValidationStatus::unsupported) {
      EXPECT_FALSE(row.reason.empty()) << row.id;
    }
  }
  EXPECT_EQ(seen.size(), 1138U);
}

}  // namespace
}  // namespace stepcast
