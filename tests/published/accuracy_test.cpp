/// Agreement with published runs is data: every run of scenarios/published is replayed, and the mean error of each
/// source stays within the bound recorded for it in bounds.csv.

#include <fstream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

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

struct Bound {
  double mape_percent;
  int runs;
};

/// source,mape_percent,runs
std::map<std::string, Bound> recorded_bounds() {
  std::ifstream file(STEPCAST_SOURCE_DIR "/tests/published/bounds.csv");
  std::map<std::string, Bound> bounds;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string source, mape, runs;
    std::getline(fields, source, ',');
    std::getline(fields, mape, ',');
    std::getline(fields, runs, ',');
    bounds[source] = {std::stod(mape), std::stoi(runs)};
  }
  return bounds;
}

TEST(PublishedRuns, EverySourceIsWithinItsBound) {
  const ValidationSummary summary = summarise(rows());
  const auto bounds = recorded_bounds();
  for (const auto& [source, errors] : summary.by_source) {
    ASSERT_TRUE(bounds.contains(source)) << "no bound recorded for " << source;
    const Bound& bound = bounds.at(source);
    EXPECT_LE(*errors.mape, bound.mape_percent + 0.5) << source;  // half a point: rounding of profiles
    EXPECT_GE(errors.runs, bound.runs) << source << ": fewer runs are compared than before";
  }
  for (const auto& [source, bound] : bounds) {
    EXPECT_TRUE(summary.by_source.contains(source)) << source << " is no longer compared";
  }
}

double mape_of(const std::string& file, const std::string& framework, const std::string& prefix) {
  std::vector<double> errors;
  for (const ValidationRow& row : rows()) {
    if (row.file.find(file) == std::string::npos || row.framework != framework || row.id.rfind(prefix, 0) != 0)
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
