// `stepcast calibrate` as a user runs it: import, fit, and the profile that predict then takes.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "tests/support/program.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int done = 0, wrong_input = 2;

class Calibrate : public FolderTest {
 protected:
  /// Products at 70% of an A100's peak and 4 us each, in Vidur's columns.
  static std::string table() {
    std::string text = "gpu,op,m,n,k,dtype,time_ms,samples\n";
    for (const int m : {512, 1024, 2048, 4096})
      for (const int n : {2048, 4096, 8192, 12288})
        for (const int k : {1024, 2048, 4096, 8192}) {
          const double ms = 0.004 + 2.0 * m * n * k / (0.7 * 312e12) * 1e3;
          text += "a100,mlp," + std::to_string(m) + "," + std::to_string(n) + "," + std::to_string(k) + ",fp16," +
                  std::to_string(ms) + ",1\n";
        }
    return text;
  }
};

TEST_F(Calibrate, TheWholeLoop) {
  const std::string points = path("points.jsonl");
  const Outcome imported = run("calibrate import --from vidur " + write("gemm.csv", table()) + " --out " + points);
  EXPECT_EQ(imported.exit, done) << imported.err;
  EXPECT_THAT(imported.err, HasSubstr("64 gemm measurements"));

  const std::string profile = path("my-a100.yaml");
  const Outcome fitted =
      run("calibrate fit " + points + " --gpu a100-80gb-sxm --out " + profile + " --plot " + path("fit.svg"));
  EXPECT_EQ(fitted.exit, done) << fitted.err;
  EXPECT_THAT(fitted.out, HasSubstr("all above 10 GFLOP"));
  EXPECT_THAT(fitted.out, HasSubstr("gemm.bf16.peak_fraction"));
  EXPECT_THAT(read_file(profile), HasSubstr("extends: a100-80gb-sxm"));
  EXPECT_THAT(read_file(path("fit.svg")), HasSubstr("</svg>"));

  const Outcome predicted =
      run("predict scenarios/gpt3-175b-1024-a100.yaml --format json --set cluster.gpu=" + profile);
  EXPECT_EQ(predicted.exit, done) << predicted.err;
  EXPECT_GT(nlohmann::json::parse(predicted.out)["step_time_s"].get<double>(), 0);
  // The node is chosen by what the profile extends; a preset of another GPU does not stand for the node's.
  const Outcome chosen =
      run("predict scenarios/gpt3-175b-1024-a100.yaml --set 'cluster={gpu: " + profile + ", gpus: 1024}'");
  EXPECT_EQ(chosen.exit, done) << chosen.err;
  const Outcome other = run("predict scenarios/gpt3-175b-1024-a100.yaml --set cluster.gpu=a100-40gb-sxm");
  EXPECT_EQ(other.exit, wrong_input);
  EXPECT_THAT(other.err, HasSubstr("the node 'dgx-a100-80gb' has the GPU 'a100-80gb-sxm', not 'a100-40gb-sxm'"));
}

TEST_F(Calibrate, FitAnswersInJson) {
  const std::string points = path("points.jsonl");
  ASSERT_EQ(run("calibrate import --from vidur " + write("gemm.csv", table()) + " --out " + points).exit, done);
  const Outcome fitted = run("calibrate fit " + points + " --gpu a100-80gb-sxm --format json --out " + path("a.yaml"));
  ASSERT_EQ(fitted.exit, done) << fitted.err;
  const auto json = nlohmann::json::parse(fitted.out);
  for (const char* key : {"schema_version", "hold_out", "sources", "fitted", "notes"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["hold_out"][0]["operator"], "gemm bf16");
}

TEST_F(Calibrate, LinksOfANode) {
  std::string log = "# Collective test starting: all_reduce_perf\n";  // 10 us and 200 GB/s
  for (long bytes = 65536; bytes <= (1L << 32); bytes *= 2) {
    const double us = 10 + 1.75 * static_cast<double>(bytes) / 200e9 * 1e6;
    const double algbw = static_cast<double>(bytes) / us * 1e-3;
    std::array<char, 200> row{};
    std::snprintf(row.data(), row.size(), "%ld %ld float sum -1 %.2f %.2f %.2f 0 %.2f %.2f %.2f 0\n", bytes, bytes / 4,
                  us, algbw, 1.75 * algbw, us, algbw, 1.75 * algbw);
    log += row.data();
  }
  const std::string points = path("nccl.jsonl");
  const Outcome imported =
      run("calibrate import --from nccl-tests --ranks 8 " + write("nccl.log", log) + " --out " + points);
  ASSERT_EQ(imported.exit, done) << imported.err;
  const Outcome fitted = run("calibrate fit " + points + " --node dgx-a100-80gb --out " + path("node.yaml"));
  ASSERT_EQ(fitted.exit, done) << fitted.err;
  EXPECT_THAT(fitted.out, HasSubstr("intra.efficiency"));
  EXPECT_THAT(read_file(path("node.yaml")), HasSubstr("extends: dgx-a100-80gb"));
}

TEST_F(Calibrate, WritesNothingWhenTheInputIsWrong) {
  const std::string csv = write("bad.csv", table() + "a100,mlp,512,2048,1024,fp16,-1,1\n");
  const Outcome imported = run("calibrate import --from vidur " + csv + " --out " + path("points.jsonl"));
  EXPECT_EQ(imported.exit, wrong_input);
  EXPECT_THAT(imported.err, HasSubstr("bad.csv:66: 'time_ms' is a number above zero, not '-1'"));
  EXPECT_FALSE(fs::exists(path("points.jsonl")));

  const std::string few = write(
      "few.jsonl", R"({"schema":1,"kind":"gemm","device":"A100","library":"x","time_us":5.0,"m":64,"n":64,"k":64,)"
                   R"("batch":1,"layout":"tn","precision":"bf16","accumulate_fp32":false})"
                   "\n");
  const Outcome fitted = run("calibrate fit " + few + " --gpu a100-80gb-sxm --out " + path("profile.yaml"));
  EXPECT_EQ(fitted.exit, wrong_input);
  EXPECT_THAT(fitted.err, HasSubstr("too few gemm bf16 measurements"));
  EXPECT_FALSE(fs::exists(path("profile.yaml")));
}

struct BadInput {
  const char* name;
  const char* from;     ///< an importer; empty: a file of measurements, which is fitted
  std::string text;     ///< after a good table, or alone
  const char* problem;  ///< with file and line
};

class RefusedMeasurements : public Calibrate, public testing::WithParamInterface<BadInput> {};

TEST_P(RefusedMeasurements, WithFileAndLineAndNoProfile) {
  const BadInput& bad = GetParam();
  const bool fits = *bad.from == '\0';
  const std::string out = path("out");
  const Outcome outcome =
      fits ? run("calibrate fit " + write("bad", bad.text) + " --gpu a100-80gb-sxm --out " + out)
           : run(std::string("calibrate import --from ") + bad.from + " " + write("bad", bad.text) + " --out " + out);
  EXPECT_EQ(outcome.exit, wrong_input) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(bad.problem));
  EXPECT_FALSE(fs::exists(out));
}

const std::string vidur_header = "gpu,op,m,n,k,dtype,time_ms,samples\n";
const std::string gemm_line =
    R"({"schema":1,"kind":"gemm","device":"A100","library":"x","time_us":5.0,"m":64,"n":64,"k":64,"batch":1,)"
    R"("layout":"tn","precision":"bf16","accumulate_fp32":false})"
    "\n";

INSTANTIATE_TEST_SUITE_P(
    Input, RefusedMeasurements,
    testing::Values(
        BadInput{"nan", "vidur", vidur_header + "a100,mlp,512,2048,1024,fp16,nan,1\n", "bad:2: 'time_ms'"},
        BadInput{"not_a_number", "vidur", vidur_header + "a100,mlp,512,2048,1024,fp16,fast,1\n", "bad:2: 'time_ms'"},
        BadInput{"missing_cell", "vidur", vidur_header + "a100,mlp,512,2048,1024,fp16\n", "bad:2: "},
        BadInput{"missing_column", "vidur", "gpu,op,m,n,k,dtype,samples\na100,mlp,512,2048,1024,fp16,1\n",
                 "bad:1: no column 'time_ms'"},
        BadInput{"nothing", "vidur", "", "the table is empty"},
        BadInput{"contradiction", "vidur",
                 vidur_header + "a100,mlp,512,2048,1024,fp16,0.1,1\na100,mlp,512,2048,1024,fp16,0.9,1\n", "bad:3"},
        BadInput{"wrong_bandwidth", "nccl-tests --op all_reduce --ranks 8",
                 "8000000 2000000 float sum -1 100 80.00 999.00 0 100 80.00 140.00 0\n", "bad:1: "},
        BadInput{"negative", "", std::string(gemm_line).replace(gemm_line.find("5.0"), 3, "-5.0"),
                 "bad:1: 'time_us' cannot be -5"},
        BadInput{"nan_in_json", "", std::string(gemm_line).replace(gemm_line.find("5.0"), 3, "NaN"),
                 "bad:1:67: not valid JSON"},
        BadInput{"the_same_point_twice", "", gemm_line + gemm_line, "bad:2: "},
        BadInput{"too_few", "", gemm_line, "too few gemm bf16 measurements"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(Calibrate, DoesNotOverwriteMeasurements) {
  const std::string csv = write("gemm.csv", table());
  ASSERT_EQ(run("calibrate import --from vidur " + csv + " --out " + path("points.jsonl")).exit, done);
  const Outcome again = run("calibrate import --from vidur " + csv + " --out " + path("points.jsonl"));
  EXPECT_EQ(again.exit, wrong_input);
  EXPECT_THAT(again.err, HasSubstr("exists; measurements are not overwritten"));
}

TEST_F(Calibrate, NamesWhatItKnows) {
  EXPECT_THAT(run("calibrate").out, HasSubstr("import"));
  EXPECT_THAT(run("calibrate ft").err, HasSubstr("did you mean 'fit'?"));
  EXPECT_THAT(run("calibrate fit --gpus x").err, HasSubstr("--gpu"));
  EXPECT_THAT(run("calibrate import --from vidr x --out y").err, HasSubstr("did you mean 'vidur'?"));
  EXPECT_THAT(run("calibrate fit x.jsonl --out y.yaml").err, HasSubstr("--gpu GPU, --node NODE"));
  EXPECT_THAT(run("calibrate fit x.jsonl --gpu a100-80gb-sxm --out y.yaml --hold-out half").err,
              HasSubstr("family or source=NAME"));
}

}  // namespace
}  // namespace stepcast
