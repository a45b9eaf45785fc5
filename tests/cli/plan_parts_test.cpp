// `stepcast plan fit` and `plan shape` as a user runs them: a table of runs becomes a law, a number of parameters a model.

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "tests/support/program.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int done = 0, wrong_input = 2;

class PlanFit : public FolderTest {
 protected:
  static constexpr const char* chinchilla =
      "plan fit models/scaling_laws/points/chinchilla-figure-4.csv --drop-highest 5 ";
};

// arXiv 2404.10102: E 1.8172, alpha 0.3478, beta 0.3658.
TEST_F(PlanFit, FitsTheEpochPoints) {
  const Outcome outcome = run(chinchilla + std::string("--bootstrap 200 --format json --out ") + path("law.yaml") +
                              " --plot " + path("law.svg"));
  ASSERT_EQ(outcome.exit, done) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["points"], 240);
  EXPECT_EQ(json["left_out"], 5);
  EXPECT_NEAR(json["constants"]["E"]["value"].get<double>(), 1.8172, 0.005);
  EXPECT_NEAR(json["constants"]["alpha"]["value"].get<double>(), 0.3478, 0.005);
  EXPECT_NEAR(json["constants"]["beta"]["value"].get<double>(), 0.3658, 0.005);
  EXPECT_GT(json["constants"]["beta"]["interval"][1], json["constants"]["beta"]["value"]);
  EXPECT_GT(json["correlation"]["rows"][1][3], 0.99);
  EXPECT_THAT(read_file(path("law.yaml")), HasSubstr("form: parametric"));
  EXPECT_THAT(read_file(path("law.svg")), HasSubstr("</svg>"));
}

TEST_F(PlanFit, SaysTheSameTwice) {
  const Outcome first = run(chinchilla + std::string("--bootstrap 50 --seed 3")),
                second = run(chinchilla + std::string("--bootstrap 50 --seed 3"));
  ASSERT_EQ(first.exit, done) << first.err;
  EXPECT_EQ(first.out, second.out);
  EXPECT_THAT(first.out, HasSubstr("through 240 points"));
  EXPECT_THAT(first.out, HasSubstr("50 resamplings, seed 3"));
  EXPECT_THAT(first.out, HasSubstr("Beyond six times the median error"));
  const Outcome bare = run(chinchilla + std::string("--bootstrap 0"));
  EXPECT_THAT(bare.out, Not(HasSubstr("standard error")));
  const Outcome rows = run(chinchilla + std::string("--bootstrap 0 --format csv"));
  EXPECT_THAT(rows.out, HasSubstr("line,parameters,tokens,loss,fitted_loss,log_ratio\n"));
  EXPECT_EQ(std::count(rows.out.begin(), rows.out.end(), '\n'), 241);
}

TEST_F(PlanFit, MistakesAreNamed) {
  const std::string few = write("few.csv", "N,D,loss\n1e9,2e10,2.5\n2e9,2e10,2.4\n");
  EXPECT_EQ(run("plan fit " + few).exit, wrong_input);
  EXPECT_THAT(run("plan fit " + few).err, HasSubstr("2 points are too few, 8 are needed"));
  const std::string bad = write("bad.csv", "N,D,loss\n1e9,2e10,2.5\n2e9,oops,2.4\n");
  EXPECT_THAT(run("plan fit " + bad).err, HasSubstr("bad.csv:3: 'D' is a number above zero, not 'oops'"));
  const std::string unnamed = write("unnamed.csv", "N,colour\n1e9,red\n");
  EXPECT_THAT(run("plan fit " + unnamed).err, HasSubstr("no column of losses"));
  for (const char* options : {"--drop-highest 300", "--drop-highest -1", "--max-loss -2", "--max-loss 1",
                              "--huber-delta 0", "--bootstrap -5", "--confidence 2", "--format xml", "--bootstap 5"}) {
    const Outcome outcome = run(chinchilla + std::string(options));
    EXPECT_EQ(outcome.exit, wrong_input) << options;
    EXPECT_EQ(outcome.out, "") << options;
  }
  EXPECT_THAT(run("plan fit nowhere.csv").err, HasSubstr("nowhere.csv"));
  EXPECT_THAT(run("plan fitt x.csv").err, HasSubstr("did you mean 'fit'"));
}

TEST(ListOfLaws, HasLawsAndFamilies) {
  const Outcome laws = run("list scaling-laws");
  EXPECT_THAT(laws.out, HasSubstr("besiroglu"));
  EXPECT_THAT(laws.out, HasSubstr("hoffmann-approach-3-tex"));
  EXPECT_THAT(run("list families").out, HasSubstr("llama3"));
}

class PlanShape : public FolderTest {};

// arXiv 2407.21783, Table 3; and the model that is written runs.
TEST_F(PlanShape, IsAModelThatRuns) {
  const Outcome outcome =
      run("plan shape --family llama3 --parameters 70.55e9 --tensor-parallel 8 --layers-divide-by 4 --out " +
          path("model.yaml") + " --format json");
  ASSERT_EQ(outcome.exit, done) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["layers"], 80);
  EXPECT_EQ(json["hidden"], 8192);
  EXPECT_EQ(json["ffn"], 28672);
  EXPECT_EQ(json["parameters"], 70553706496.0);
  const Outcome same = run("predict scenarios/gpt3-175b-1024-a100.yaml --format json --set model=llama3.1-70b");
  const Outcome ours =
      run("predict scenarios/gpt3-175b-1024-a100.yaml --format json --set model=" + path("model.yaml"));
  ASSERT_EQ(ours.exit, same.exit) << ours.err;
  EXPECT_EQ(nlohmann::json::parse(ours.out)["step_time_s"], nlohmann::json::parse(same.out)["step_time_s"]);

  const Outcome moe = run("plan shape --family moe --parameters 671e9");
  EXPECT_THAT(moe.out, HasSubstr("8 and 1 shared"));
  const Outcome none = run("plan shape --parameters 1e8 --tensor-parallel 64");
  EXPECT_EQ(none.exit, 1);
  EXPECT_THAT(none.err, HasSubstr("with heads that divide by 64"));
  for (const char* options :
       {"", "--parameters -5", "--parameters 1e40", "--parameters 1e9 --family lama", "--parameters 1e9 --count al",
        "--parameters 1e9 --tolerance 0", "--parameters 1e9 --format xml"})
    EXPECT_EQ(run(std::string("plan shape ") + options).exit, wrong_input) << options;
}

}  // namespace
}  // namespace stepcast
