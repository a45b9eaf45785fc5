// `stepcast plan` as a user runs it: the examples, the forms of the answer, and what goes wrong.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "tests/support/program.hpp"

namespace stepcast {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int done = 0, answered_no = 1, wrong_input = 2;

class PlanCommand : public FolderTest {
 protected:
  static std::string text(const std::string& more) {
    return more + "cluster: {node: dgx-h100, nodes: 8, fabric: ndr400x8}\ntrials: 100\n";
  }
};

TEST_F(PlanCommand, EveryExampleIsAnswered) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(STEPCAST_SOURCE_DIR "/scenarios/plans")) {
    if (file.path().extension() != ".yaml") continue;
    const Outcome plan = run("plan " + file.path().string() + " --set trials=50 --format json");
    EXPECT_EQ(plan.exit, done) << file.path() << plan.err;
    EXPECT_TRUE(json::parse(plan.out)["clusters"][0]["feasible"]) << file.path();
  }
}

// Llama Team 2024 (arXiv 2407.21783): 30.84 million GPU-hours, 419 unexpected interruptions in 54 days. Its first phases ran on
// half of the GPUs, which a plan cannot say: on all of them the small batch waits in bubbles.
TEST_F(PlanCommand, Llama3TakesTheGpuHoursThatItTook) {
  const Outcome plan = run("plan scenarios/plans/llama3-405b.yaml --set trials=200 --format json");
  const json run = json::parse(plan.out)["clusters"][0];
  EXPECT_NEAR(run["flops"].get<double>(), 3.8e25, 0.01e25);
  EXPECT_NEAR(run["gpu_hours"].get<double>() / 30.84e6, 1.1, 0.15);
  EXPECT_NEAR(run["calendar"]["failures"]["mean"].get<double>() / run["calendar"]["days"]["mean"].get<double>(),
              419.0 / 54, 0.2);
  EXPECT_GT(run["calendar"]["goodput"].get<double>(), 0.9);
}

TEST_F(PlanCommand, TheSameSeedGivesTheSameBytes) {
  const std::string file = write("plan.yaml", text("budget: {flops: 3e21}\n"));
  EXPECT_EQ(run("plan " + file).out, run("plan " + file).out);
  EXPECT_NE(run("plan " + file + " --format csv").out, run("plan " + file + " --format csv --set seed=2").out);
}

TEST_F(PlanCommand, WritesAPageWithDrawings) {
  const std::string file = write("plan.yaml", text("budget: {flops: 3e21}\nprice: 2 USD/GPU-hour\n"));
  const Outcome plan = run("plan " + file + " --format html --out " + path("plan.html"));
  ASSERT_EQ(plan.exit, done) << plan.err;
  const std::string page = read_file(path("plan.html"));
  for (const char* said :
       {"<svg", "Loss of other sizes", "When it ends", "Days against GPUs", "Dollars against days"}) {
    EXPECT_THAT(page, HasSubstr(said));
  }
}

// What was planned is predicted alike.
TEST_F(PlanCommand, ItsScenarioTakesTheSameStep) {
  const std::string file = write("plan.yaml", text("budget: {flops: 3e21}\n"));
  const Outcome plan = run("plan " + file + " --format json --scenario " + path("run.yaml"));
  ASSERT_EQ(plan.exit, done) << plan.err;
  const Outcome predicted = run("predict " + path("run.yaml") + " --format json");
  ASSERT_EQ(predicted.exit, done) << predicted.err;
  EXPECT_DOUBLE_EQ(json::parse(predicted.out)["step_time_s"].get<double>(),
                   json::parse(plan.out)["clusters"][0]["phases"][0]["step_time_s"].get<double>());
}

TEST_F(PlanCommand, AModelThatDoesNotFitIsAnsweredWithNo) {
  const Outcome plan =
      run("plan " + write("plan.yaml", text("model: gpt-1t\ntokens: 450B\n")) + " --set cluster.nodes=1");
  EXPECT_EQ(plan.exit, answered_no) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("impossible"));
  EXPECT_THAT(plan.out, HasSubstr("possible     this model on"));
}

TEST_F(PlanCommand, WrongInputNamesItsPlace) {
  const std::string file = write("plan.yaml", text("budget: {flops: 3e21}\nreliabilty: meta-rsc-1\n"));
  const Outcome plan = run("plan " + file + " --out " + path("answer.txt"));
  EXPECT_EQ(plan.exit, wrong_input);
  EXPECT_THAT(plan.err, HasSubstr("plan.yaml:2:1"));
  EXPECT_THAT(plan.err, HasSubstr("did you mean 'reliability'"));
  EXPECT_FALSE(std::filesystem::exists(path("answer.txt")));

  const std::string low = write("low.yaml", text("budget: {loss: 1.7}\n"));
  const Outcome below = run("plan " + low);
  EXPECT_EQ(below.exit, wrong_input);
  EXPECT_THAT(below.err, HasSubstr("irreducible"));
  EXPECT_EQ(run("plan " + low + " --format pdf").exit, wrong_input);
}

TEST_F(PlanCommand, HelpPrintsEveryKeyThatTheExamplesUse) {
  const std::string help = run("plan --help-file").out;
  for (const char* key :
       {"budget.days", "training.phases.until", "checkpoint_interval", "inference.tokens", "reliability"}) {
    EXPECT_THAT(help, HasSubstr(key));
  }
}

}  // namespace
}  // namespace stepcast
