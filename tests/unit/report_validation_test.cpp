#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/report/validation.hpp"

namespace stepcast {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct ErrorCase {
  const char* name;
  std::vector<double> errors;
  double mape, median, p90, max, bias;
};

class Errors : public testing::TestWithParam<ErrorCase> {};

TEST_P(Errors, AreSummarised) {
  const ErrorCase& c = GetParam();
  const ErrorSummary summary = summarise_errors(c.errors);
  EXPECT_EQ(summary.runs, static_cast<int>(c.errors.size()));
  EXPECT_DOUBLE_EQ(*summary.mape, c.mape);
  EXPECT_DOUBLE_EQ(*summary.median, c.median);
  EXPECT_DOUBLE_EQ(*summary.p90, c.p90);
  EXPECT_DOUBLE_EQ(*summary.max, c.max);
  EXPECT_DOUBLE_EQ(*summary.bias, c.bias);
}

INSTANTIATE_TEST_SUITE_P(ByHand, Errors,
                         testing::Values(
                             //        name            errors                               mape  median p90  max  bias
                             ErrorCase{"one", {-4}, 4, 4, 4, 4, -4},
                             ErrorCase{"odd", {10, -2, 3}, 5, 3, 10, 10, 11.0 / 3},    // 15/3; rank ceil(2.7)
                             ErrorCase{"even", {1, -2, 3, -4}, 2.5, 2.5, 4, 4, -0.5},  // (2+3)/2; rank ceil(3.6)
                             ErrorCase{
                                 "ten", {1, 2, 3, 4, 5, 6, 7, 8, 9, 100}, 14.5, 5.5, 9, 100, 14.5},  // 145/10; rank 9
                             ErrorCase{"signs_cancel", {5, -5}, 5, 5, 5, 5, 0}),
                         [](const auto& c) { return std::string(c.param.name); });

TEST(Summary, NothingIsNotZero) {
  const ErrorSummary summary = summarise_errors({});
  EXPECT_EQ(summary.runs, 0);
  EXPECT_FALSE(summary.mape || summary.median || summary.p90 || summary.max || summary.bias);
}

ValidationRow row(const std::string& id, ValidationStatus status, std::optional<double> published,
                  std::optional<double> predicted, Metric metric = Metric::step_time) {
  ValidationRow r;
  r.id = id;
  r.file = "scenarios/published/paper-2022.yaml";
  r.traits.gpu = "a100";
  r.traits.framework = "megatron";
  r.metric = metric;
  r.published = published;
  r.predicted = predicted;
  r.status = status;
  return r;
}

/// Two good runs (+10%, -20%), the first with memory (+50%); one each of the other fates.
std::vector<ValidationRow> all_fates() {
  std::vector<ValidationRow> rows{
      row("a", ValidationStatus::ok, 10, 11),
      row("a", ValidationStatus::ok, 20, 30, Metric::memory),
      row("b", ValidationStatus::ok, 10, 8),
      row("c", ValidationStatus::suspect, 10, 40),
      row("d", ValidationStatus::unsupported, 10, std::nullopt),
      row("e", ValidationStatus::infeasible_predicted, 10, std::nullopt),
      row("f", ValidationStatus::oom_agreed, std::nullopt, 90, Metric::memory),
      row("g", ValidationStatus::oom_missed, std::nullopt, 70, Metric::memory),
  };
  rows[2].traits.gpu = "h100";
  rows[4].reason = "no model of mamba";
  return rows;
}

TEST(Summary, OnlyGoodStepTimesCount) {
  const ValidationSummary summary = summarise(all_fates());
  EXPECT_EQ(summary.step_time.runs, 2);
  EXPECT_NEAR(*summary.step_time.mape, 15, 1e-9);  // (10 + 20) / 2
  EXPECT_NEAR(*summary.step_time.bias, -5, 1e-9);  // (10 - 20) / 2
  EXPECT_EQ(summary.memory.runs, 1);
  EXPECT_DOUBLE_EQ(*summary.memory.bias, 50);
  EXPECT_EQ(summary.suspect.runs, 1);
  EXPECT_DOUBLE_EQ(*summary.suspect.mape, 300);
}

TEST(Summary, GroupsByGpuFrameworkAndFile) {
  const ValidationSummary summary = summarise(all_fates());
  EXPECT_EQ(summary.by_gpu.size(), 2u);
  EXPECT_NEAR(*summary.by_gpu.at("h100").bias, -20, 1e-9);
  EXPECT_EQ(summary.by_source.at("paper-2022").runs, 2);
  EXPECT_EQ(summary.by_framework.at("megatron").runs, 2);
}

TEST(Summary, EveryRunCountsOnce) {
  const ValidationSummary summary = summarise(all_fates());
  EXPECT_EQ(summary.count.at(ValidationStatus::ok), 2);  // a has two rows
  EXPECT_EQ(summary.count.at(ValidationStatus::unsupported), 1);
  EXPECT_EQ(summary.unsupported_by_reason.at("no model of mamba"), 1);
  EXPECT_EQ(summary.count.at(ValidationStatus::oom_missed), 1);
}

TEST(Summary, CoverageIsTheShareOfIntervalsThatHold) {
  std::vector<ValidationRow> rows = all_fates();
  EXPECT_FALSE(summarise(rows).interval_coverage);  // none is known yet
  rows[0].interval = {9, 12};
  rows[2].interval = {7, 9};
  EXPECT_DOUBLE_EQ(*summarise(rows).interval_coverage, 0.5);
}

TEST(ValidationJson, HasTheKeysOfTheContract) {
  const json tree = json::parse(validation_json({all_fates()}));
  ASSERT_EQ(tree["runs"].size(), 8u);
  for (const char* key : {"id", "file", "metric", "published", "predicted", "error_percent", "interval_s",
                          "covered_by_interval", "status", "reason"})
    EXPECT_TRUE(tree["runs"][0].contains(key)) << key;
  EXPECT_EQ(tree["runs"][0].size(), 10u);
  for (const char* key : {"runs", "mape_percent", "median_ape_percent", "p90_ape_percent", "max_ape_percent",
                          "bias_percent", "interval_coverage", "unsupported", "by_gpu", "by_source", "by_framework",
                          "by_model", "by_parallelism", "by_size", "memory"})
    EXPECT_TRUE(tree["summary"].contains(key)) << key;
  EXPECT_EQ(tree["summary"].size(), 15u);
  EXPECT_EQ(tree["runs"][5]["status"], "infeasible-predicted");
  EXPECT_EQ(tree["runs"][1]["metric"], "memory_gib");
  EXPECT_TRUE(tree["summary"]["interval_coverage"].is_null());
}

TEST(ValidationJson, NoRunsAtAllGiveNulls) {
  const json tree = json::parse(validation_json({}));
  EXPECT_EQ(tree["summary"]["runs"], 0);
  EXPECT_TRUE(tree["summary"]["mape_percent"].is_null());
}

TEST(ValidationText, SaysWhatBecameOfEveryRun) {
  const std::string page = validation_text({all_fates()});
  EXPECT_THAT(page,
              HasSubstr("7 runs: 2 ok, 1 unsupported, 1 suspect, 1 infeasible-predicted, 1 oom-agreed, 1 oom-missed"));
  EXPECT_THAT(page, HasSubstr("no model of mamba"));
  EXPECT_THAT(page, HasSubstr("Largest errors"));
  EXPECT_THAT(validation_text({all_fates()}, {.quiet = true}), testing::Not(HasSubstr("Largest errors")));
}

TEST(ValidationCsv, HasARowForEachRunAndMetric) {
  const std::string csv = validation_csv({all_fates()});
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 9);
  EXPECT_THAT(csv, HasSubstr("\nd,scenarios/published/"
                             "paper-2022.yaml,a100,,megatron,,,,0,,step_time_s,10,,,unsupported,no model of mamba,"));
}

}  // namespace
}  // namespace stepcast
