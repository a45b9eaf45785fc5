#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/base/utf8.hpp"
#include "simulator/report/formats.hpp"
#include "tests/golden/example_report.hpp"

namespace stepcast {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (char c : text) {
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  }
  lines.pop_back();
  return lines;
}

std::vector<std::string> keys_of(const json& object) {
  std::vector<std::string> keys;
  for (const auto& item : object.items()) keys.push_back(item.key());
  return keys;
}

TEST(ReportFormats, JsonHasTheKeysOfTheContract) {
  const json tree = json::parse(json_report(example_report()));
  EXPECT_THAT(keys_of(tree),
              testing::UnorderedElementsAre("schema_version", "scenario", "feasible", "infeasible_reason", "leans_on",
                                            "step_time_s", "step_time_interval_s", "step_time_interval_from",
                                            "tokens_per_s", "tokens_per_s_per_gpu", "model_tflops_per_gpu", "mfu",
                                            "hfu", "flops_convention", "mfu_by_convention", "hfu_by_convention",
                                            "mfu_peak_tflops", "bubble_fraction", "memory", "breakdown", "per_stage",
                                            "assumed", "defaults_taken", "simulation", "published"));
  EXPECT_THAT(keys_of(tree["memory"]),
              testing::UnorderedElementsAre("peak_bytes", "capacity_bytes", "parameters", "gradients", "optimizer",
                                            "activations", "buffers", "other", "allocated_bytes", "reserved_bytes"));
  EXPECT_THAT(keys_of(tree["breakdown"]),
              testing::UnorderedElementsAre("compute", "tp_comm_exposed", "cp_comm_exposed", "ep_comm_exposed",
                                            "dp_comm_exposed", "pp_comm_exposed", "bubble", "optimizer", "host_other"));
}

TEST(ReportFormats, JsonBreakdownSumsToTheStep) {
  const json tree = json::parse(json_report(example_report()));
  double sum = 0;
  for (const auto& part : tree["breakdown"]) sum += part.get<double>();
  EXPECT_DOUBLE_EQ(sum, tree["step_time_s"].get<double>());
}

TEST(ReportFormats, OnlyAReferenceRunHasPublishedFigures) {
  Report report = example_report();
  EXPECT_NEAR(json::parse(json_report(report))["published"]["error_percent"].get<double>(), 2.0408, 1e-4);
  report.reference.reset();
  EXPECT_FALSE(json::parse(json_report(report)).contains("published"));
  EXPECT_THAT(text_report(report), Not(HasSubstr("published")));
}

TEST(ReportFormats, OperatorsAppearOnlyWhenExplained) {
  EXPECT_FALSE(json::parse(json_report(example_report())).contains("operators"));
  const json tree = json::parse(json_report(example_report(), {.explain = true}));
  ASSERT_EQ(tree["operators"].size(), 2u);
  EXPECT_DOUBLE_EQ(tree["operators"][0]["share_of_step"].get<double>(), 0.192);
}

TEST(ReportFormats, AnUntimedPlanHasNullsNotZeros) {
  const json tree = json::parse(json_report(infeasible_report()));
  for (const char* key : {"step_time_s", "tokens_per_s", "mfu", "hfu", "breakdown", "bubble_fraction"})
    EXPECT_TRUE(tree[key].is_null()) << key;
  EXPECT_EQ(tree["infeasible_reason"], "stage 0 needs 62.5 GiB of 48 GiB");
}

TEST(ReportFormats, AnyBytesInANameStillGiveValidJson) {
  Report report = example_report();
  report.scenario = "quote \" backslash \\ newline \n not UTF-8 \xff";
  EXPECT_TRUE(json::accept(json_report(report)));
  EXPECT_FALSE(proto_report(report).empty());
}

TEST(ReportFormats, CsvQuotesWhatNeedsIt) {
  Report report = example_report();
  report.scenario = "comma, and \"quotes\"";
  EXPECT_THAT(csv_report(report), HasSubstr("1,\"comma, and \"\"quotes\"\"\",true,"));
}

TEST(ReportFormats, CsvHasTheSameColumnsWhateverTheReport) {
  const auto header = [](const std::string& csv) { return csv.substr(0, csv.find('\n')); };
  EXPECT_EQ(header(csv_report(example_report())), header(csv_report(infeasible_report())));
  const auto commas = [](const std::string& line) { return std::count(line.begin(), line.end(), ','); };
  for (const Report& report : {example_report(), infeasible_report()}) {
    report.scenario.find(',');
    const auto lines = lines_of(csv_report(report));
    ASSERT_EQ(lines.size(), 2u);
    // No field of these two holds a comma but the scenario's name, which is quoted.
    EXPECT_EQ(commas(lines[0]) + 1, commas(lines[1]));
  }
}

TEST(ReportFormats, PagesKeepToOneHundredColumns) {
  Report report = example_report();
  report.scenario = std::string(30, 'x') + " a scenario whose name goes on " + std::string(60, 'y') + " and on";
  report.assumed.assign(20,
                        "an assumption that takes more words than a line has room for, so that it has to go on with "
                        "the next one, below its own first word");
  for (bool explain : {false, true}) {
    for (const std::string& line : lines_of(text_report(report, {.explain = explain})))
      EXPECT_LE(display_width(line), 100u) << line;
  }
}

TEST(ReportFormats, LongListsAreCutUnlessExplained) {
  Report report = example_report();
  report.assumed.assign(20, "an assumption");
  EXPECT_THAT(text_report(report), HasSubstr("... and 14 more: --explain"));  // 20 + 2 defaults - 8 shown
  EXPECT_THAT(text_report(report, {.explain = true}), Not(HasSubstr("more: --explain")));
}

TEST(ReportFormats, ColourOnlyWhenAsked) {
  EXPECT_THAT(text_report(example_report()), Not(HasSubstr("\033")));
  EXPECT_THAT(text_report(example_report(), {.explain = false, .colour = true}), HasSubstr("\033[1m"));
}

TEST(ReportFormats, ANameCannotDriveTheTerminal) {
  Report report = example_report();
  report.scenario = "red \033[31m and\a a bell";
  const std::string page = text_report(report);
  EXPECT_THAT(page, Not(HasSubstr("\033")));
  EXPECT_THAT(page, Not(HasSubstr("\a")));
}

TEST(ReportFormats, AnInfeasiblePlanSaysSoFirst) {
  EXPECT_THAT(text_report(infeasible_report()), testing::StartsWith("Cannot run: stage 0 needs 62.5 GiB of 48 GiB"));
}

TEST(ReportFormats, EveryFormatIsListedOnce) {
  std::vector<std::string> names;
  for (const ReportFormat& format : report_formats()) names.emplace_back(format.name);
  EXPECT_THAT(names, testing::ElementsAre("text", "json", "csv", "proto"));
}

}  // namespace
}  // namespace stepcast
