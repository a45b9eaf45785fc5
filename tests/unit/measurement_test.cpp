#include "calibration/measurement.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stepcast {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Measurement gemm(std::int64_t m) {
  Measurement result;
  result.gpu = "h100-80gb-sxm";
  result.device = "NVIDIA H100 80GB HBM3";
  result.sms = 132;
  result.driver = "580.159.04";
  result.cuda = "13.0";
  result.library = "cuBLASLt 13.1.0";
  result.date = "2026-11-22T09:30:00Z";
  result.repeats = 37;
  result.time_us = 1512.5;
  result.time_us_min = 1500.25;
  result.time_us_p90 = 1530;
  result.sm_clock_mhz = 1755;
  result.power_w = 690.5;
  result.temperature_c = 61;
  result.verified = true;
  result.point = GemmPoint{m, 8192, 4096, 1, "nt", "bf16", true};
  return result;
}

Measurement bare(MeasuredPoint point) {
  Measurement result;
  result.device = "GPU";
  result.library = "stepcast";
  result.time_us = 2;
  result.point = std::move(point);
  return result;
}

constexpr const char* gemm_line =
    R"({"schema":1,"kind":"gemm","gpu":"h100-80gb-sxm","device":"NVIDIA H100 80GB HBM3","sms":132,)"
    R"("driver":"580.159.04","cuda":"13.0","library":"cuBLASLt 13.1.0","date":"2026-11-22T09:30:00Z","repeats":37,)"
    R"("time_us":1512.5,"time_us_min":1500.25,"time_us_p90":1530.0,"sm_clock_mhz":1755.0,"power_w":690.5,)"
    R"("temperature_c":61.0,"verified":true,"m":4096,"n":8192,"k":4096,"batch":1,"layout":"nt","precision":"bf16",)"
    R"("accumulate_fp32":true})";

TEST(MeasurementLine, IsTheContract) {
  EXPECT_EQ(to_line(gemm(4096)), gemm_line);
  EXPECT_EQ(parse_line(gemm_line, {}), gemm(4096));
}

TEST(MeasurementLine, LeavesOutWhatWasNotRecorded) {
  const char* line =
      R"({"schema":1,"kind":"copy","device":"GPU","library":"stepcast","time_us":2.0,"from":"host","to":"device","bytes":64})";
  EXPECT_EQ(to_line(bare(CopyPoint{"host", "device", 64})), line);
  EXPECT_EQ(parse_line(line, {}), bare(CopyPoint{"host", "device", 64}));
  EXPECT_EQ(
      parse_line(R"({"to":"device","from":"host","bytes":64,"gpu":null,"sms":null,"time_us":2,"library":"stepcast",)"
                 R"("device":"GPU","kind":"copy","schema":1,"verified":null})",
                 {}),
      bare(CopyPoint{"host", "device", 64}));
}

TEST(MeasurementLine, EveryKindComesBack) {
  const std::vector<MeasuredPoint> points{
      GemmPoint{3, 5, 7, 11, "nn", "fp8", false},
      AttentionPoint{2, 32, 8, 4096, 8192, 128, false, true, "fp16", "flash3"},
      MemoryPoint{"layernorm_backward", 1 << 20, 4096},
      MemoryPoint{"adam", std::int64_t{1} << 40, {}},
      LaunchPoint{"graph", "gap"},
      CopyPoint{"device", "peer", 1},
      CollectivePoint{"reduce_scatter", 0, 16, 2, true, "int8", 12.5, 11.71875},
      OverlapPoint{1, 2, 3, "tf32", "all_reduce", 4, 5, 6, 7.5, 8.5, 9.5},
      ClockPoint{"mixed", "zeros", 10, 612.5, 1234, "fp8"},
  };
  for (const MeasuredPoint& point : points) {
    const Measurement measurement = bare(point);
    EXPECT_EQ(parse_line(to_line(measurement), {}), measurement) << to_line(measurement);
  }
}

struct BadLine {
  const char* name;
  const char* replaced;  ///< in gemm_line
  const char* by;
  const char* problem;
};

class BadMeasurement : public testing::TestWithParam<BadLine> {};

TEST_P(BadMeasurement, IsAnErrorWithItsPlace) {
  std::string line = gemm_line;
  line.replace(line.find(GetParam().replaced), std::string(GetParam().replaced).size(), GetParam().by);
  try {
    parse_line(line, {"points.jsonl", 12, 0});
    FAIL() << line;
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("points.jsonl:12:"));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().problem));
  }
}

// clang-format off
INSTANTIATE_TEST_SUITE_P(
    Lines, BadMeasurement,
    testing::Values(
        BadLine{"unknown_key",       R"("sms")",             R"("smss")",            "unknown key 'smss', did you mean 'sms'?"},
        BadLine{"other_kinds_key",   R"("batch":1)",         R"("batch":1,"bytes":2)", "unknown key 'bytes'"},
        BadLine{"repeated_key",      R"("sms":132)",         R"("sms":132,"sms":132)", "'sms' is given twice"},
        BadLine{"missing_key",       R"("m":4096,)",         "",                     "'m' is missing"},
        BadLine{"missing_time",      R"("time_us":1512.5,)", "",                     "'time_us' is missing"},
        BadLine{"negative_time",     "1512.5",               "-1512.5",              "'time_us' cannot be -1512.5"},
        BadLine{"time_zero",         R"("time_us":1512.5,"time_us_min":1500.25)", R"("time_us":0)", "'time_us' cannot be 0"},
        BadLine{"nan",               "1512.5",               "NaN",                  "not valid JSON"},
        BadLine{"infinite",          "1512.5",               "1e999",                "not valid JSON"},
        BadLine{"text_for_number",   "1512.5",               R"("1512.5")",          "'time_us' is a number"},
        BadLine{"fraction_for_count", R"("m":4096)",         R"("m":4096.5)",        "'m' is a whole number of at least 1, not 4096.5"},
        BadLine{"zero_count",        R"("m":4096)",          R"("m":0)",             "'m' is a whole number of at least 1"},
        BadLine{"huge_count",        R"("m":4096)",          R"("m":18446744073709551615)", "'m' is a whole number"},
        BadLine{"number_for_flag",   R"(_fp32":true)",       R"(_fp32":1)",          "'accumulate_fp32' is true or false, not 1"},
        BadLine{"unknown_kind",      R"("gemm")",            R"("gem")",             "unknown 'kind' 'gem', did you mean 'gemm'?"},
        BadLine{"unknown_layout",    R"("nt")",              R"("tt")",              "unknown 'layout' 'tt'"},
        BadLine{"unknown_schema",    R"("schema":1)",        R"("schema":2)",        "schema 2 is not known"},
        BadLine{"min_above_median",  "1500.25",              "1600",                 "'time_us_min' is above"},
        BadLine{"p90_below_median",  "1530.0",               "1400",                 "'time_us_p90' is below"},
        BadLine{"date",              "2026-11-22T",          "22.11.2026 ",          "'date' is written like"},
        BadLine{"cut_off",           R"(true})",             "tr",                   "not valid JSON"}),
    [](const auto& c) { return std::string(c.param.name); });
// clang-format on

TEST(MeasurementLine, OnlyObjects) {
  for (const char* line : {"[]", "1", "null", "\"gemm\""}) EXPECT_THROW(parse_line(line, {}), UserError) << line;
}

TEST(MeasurementKey, IsWhatWasMeasuredNotTheResult) {
  Measurement later = gemm(4096);
  later.time_us = 1;
  later.date = "2027-01-01T00:00:00Z";
  later.power_w = {};
  EXPECT_EQ(key_of(later), key_of(gemm(4096)));
  EXPECT_NE(key_of(gemm(4096)), key_of(gemm(4097)));
  Measurement upgraded = gemm(4096);
  upgraded.library = "cuBLASLt 13.2.0";
  EXPECT_NE(key_of(upgraded), key_of(gemm(4096)));
  EXPECT_EQ(key_of(bare(CollectivePoint{"all_reduce", 8, 2, 1, true, "fp32", 1, 1})),
            key_of(bare(CollectivePoint{"all_reduce", 8, 2, 1, true, "fp32", 2, 2})));
  EXPECT_EQ(key_of(gemm(4096)),
            "gemm on NVIDIA H100 80GB HBM3 by cuBLASLt 13.1.0: m=4096 n=8192 k=4096 batch=1 layout=nt precision=bf16 "
            "accumulate_fp32=1");
}

TEST(MeasurementDevice, IsThePresetItSeemsToBe) {
  const std::vector<std::pair<const char*, const char*>> names{{"NVIDIA A100-SXM4-80GB", "a100-80gb-sxm"},
                                                               {"NVIDIA A100-SXM4-40GB", "a100-40gb-sxm"},
                                                               {"NVIDIA A100 80GB PCIe", "a100-80gb-pcie"},
                                                               {"NVIDIA H100 80GB HBM3", "h100-80gb-sxm"},
                                                               {"NVIDIA H100 PCIe", "h100-80gb-pcie"},
                                                               {"NVIDIA H200", "h200-141gb-sxm"},
                                                               {"NVIDIA GH200 480GB", ""},
                                                               {"NVIDIA B200", "b200-180gb-sxm"},
                                                               {"NVIDIA GB200", "gb200-186gb"},
                                                               {"Tesla V100-SXM2-32GB", "v100-32gb-sxm"},
                                                               {"NVIDIA GeForce RTX 4090", "rtx4090-24gb"},
                                                               {"Tesla T4", ""}};
  for (const auto& [device, preset] : names) {
    EXPECT_EQ(preset_of_device(device), preset) << device;
    if (*preset == 0) continue;
    EXPECT_TRUE(fs::exists(fs::path(STEPCAST_SOURCE_DIR) / "hardware_profiles/gpus" / (std::string(preset) + ".yaml")));
  }
}

// --- files -------------------------------------------------------------------------------------------------------

class MeasurementFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  std::string content() const {
    std::stringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }

  fs::path folder_ = fs::temp_directory_path() / ("stepcast-measurements-" + std::to_string(getpid()));
  std::string path_ = folder_ / "points.jsonl";
};

TEST_F(MeasurementFile, GrowsAndIsReadAgain) {
  {
    MeasurementLog log(path_);
    EXPECT_EQ(log.size(), 0u);
    log.append(gemm(1));
    log.append(gemm(2));
    EXPECT_EQ(content(), to_line(gemm(1)) + "\n" + to_line(gemm(2)) + "\n");  // before it is closed
  }
  MeasurementLog log(path_);
  EXPECT_TRUE(log.has(gemm(2)));
  EXPECT_FALSE(log.has(gemm(3)));
  EXPECT_THROW(log.append(gemm(2)), UserError);
  log.append(gemm(3));
  EXPECT_EQ(read_measurements(path_), (std::vector<Measurement>{gemm(1), gemm(2), gemm(3)}));
}

TEST_F(MeasurementFile, DropsALineThatWasCutOff) {
  const std::string second = to_line(gemm(2));
  for (const std::size_t kept : {std::size_t{1}, std::size_t{9}, std::size_t{40}, second.size() - 1}) {
    write(to_line(gemm(1)) + "\n" + second.substr(0, kept));
    EXPECT_THROW(read_measurements(path_), UserError);
    MeasurementLog log(path_);
    EXPECT_FALSE(log.has(gemm(2)));
    log.append(gemm(2));
    EXPECT_EQ(content(), to_line(gemm(1)) + "\n" + second + "\n") << kept;
  }
}

TEST_F(MeasurementFile, KeepsALastLineWithoutANewline) {
  write(to_line(gemm(1)));
  MeasurementLog log(path_);
  EXPECT_TRUE(log.has(gemm(1)));
  log.append(gemm(2));
  EXPECT_EQ(content(), to_line(gemm(1)) + "\n" + to_line(gemm(2)) + "\n");
}

TEST_F(MeasurementFile, LeavesAlienFilesAlone) {
  write("my notes, without a newline");
  EXPECT_THROW(MeasurementLog{path_}, UserError);
  EXPECT_THAT(content(), testing::StartsWith("my notes, without a newline"));
}

TEST_F(MeasurementFile, NamesBothLinesOfADuplicate) {
  write(to_line(gemm(1)) + "\r\n\n" + to_line(gemm(2)) + "\n" + to_line(gemm(1)) + "\n");
  try {
    read_measurements(path_);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith(path_ + ":4: measured before, in line 1: gemm on"));
  }
}

TEST_F(MeasurementFile, IsMissingOrCannotBeWritten) {
  EXPECT_THROW(read_measurements(path_), UserError);
  EXPECT_THROW(MeasurementLog(folder_ / "no-such-folder" / "points.jsonl"), UserError);
  EXPECT_THROW(MeasurementLog{folder_.string()}, UserError);
}

}  // namespace
}  // namespace stepcast
