// A user's own order of passes, from a scenario to its exit code.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/program.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

constexpr const char* scenario = R"(model: {layers: 8, hidden: 1024, heads: 16, ffn: 4096, vocab: 32000}
cluster: {gpu: a100-80gb-sxm, gpus: 2, gpus_per_node: 8}
plan:
  pipeline_parallel: 2
  global_batch: 3
  sequence_length: 1024
  schedule: )";

class OwnOrders : public FolderTest {
 protected:
  double step_time(const std::string& schedule) const {
    const Outcome outcome = run("predict " + write("s.yaml", scenario + schedule + "\n") + " --format json");
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out)["step_time_s"];
  }
};

// What 1F1B does, written down, takes as long: with two stages and small tensors exchanges hardly count.
TEST_F(OwnOrders, RunAsTheyAreWritten) {
  write("order.csv", "0F0,0F1,0B0,0F2,0B1,0B2\n1F0,,1B0,1F1,1B1,1F2,1B2\n");
  const double from_file = step_time("{custom: order.csv}");
  EXPECT_EQ(from_file, step_time(R"({custom: ["0F0 0F1 0B0 0F2 0B1 0B2", "1F0 1B0 1F1 1B1 1F2 1B2"]})"));
  EXPECT_NEAR(from_file / step_time("1f1b"), 1, 0.01);
  EXPECT_LT(from_file, step_time(R"({custom: ["0F0 0B0 0F1 0B1 0F2 0B2", "1F0 1B0 1F1 1B1 1F2 1B2"]})"));
}

TEST_F(OwnOrders, ThatCanNeverRunAreRefusedAtTheirPlace) {
  const std::string file = write(
      "bad.yaml", std::string(scenario) + "{custom: [\"0F0 0B0 0F1 0F2 0B1 0B2\", \"1F0 1F1 1B0 1B1 1F2 1B2\"]}\n");
  const Outcome outcome = run("predict " + file);
  EXPECT_EQ(outcome.exit, 2);
  EXPECT_THAT(outcome.err, HasSubstr("bad.yaml:7:"));
  EXPECT_THAT(outcome.err, HasSubstr("plan.schedule.custom: rank 0 can never run 0B0, its pass 2: it waits for 1B0"));
  const Outcome missing = run("predict " + write("no.yaml", std::string(scenario) + "{custom: nowhere.csv}\n"));
  EXPECT_EQ(missing.exit, 2);
  EXPECT_THAT(missing.err, HasSubstr("nowhere.csv"));
}

}  // namespace
}  // namespace stepcast
