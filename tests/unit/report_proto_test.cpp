// The binary report, read back with nothing but report.proto: what a program in another language would do.

#include <array>
#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/base/files.hpp"
#include "simulator/report/formats.hpp"
#include "tests/golden/example_report.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

/// What protoc, which the build needs anyway, makes of the bytes.
std::string decoded(const std::string& bytes) {
  const std::string path = testing::TempDir() + "stepcast_report.pb";
  write_file_atomically(path, bytes);
  const std::string command =
      "cd " STEPCAST_SOURCE_DIR " && protoc --decode=stepcast.v1.Report simulator/report/report.proto < " + path;
  std::FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string text;
  std::array<char, 4096> block{};
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), pipe)) text.append(block.data(), got);
  EXPECT_EQ(pclose(pipe), 0);
  std::remove(path.c_str());
  return text;
}

TEST(ReportProto, SaysWhatTheJsonReportSays) {
  const std::string text = decoded(proto_report(example_report(), {.explain = true}));
  EXPECT_THAT(text, HasSubstr("scenario: \"A small run, made by hand\"\nfeasible: true\nstep_time_s: 2\n"));
  EXPECT_THAT(text, HasSubstr("step_time_interval_s: 1.9\nstep_time_interval_s: 2.1\n"));
  EXPECT_THAT(text, HasSubstr("mfu_by_convention {\n  key: \"causal-half\"\n"));
  EXPECT_THAT(text, HasSubstr("per_stage {\n  stage: 1\n  contents: \"4 layers\"\n"));
  EXPECT_THAT(text, HasSubstr("operators {\n  name: \"linear_fc1\"\n"));
  EXPECT_THAT(text, HasSubstr("error_percent: 2.04"));
}

TEST(ReportProto, LeavesOutWhatIsNotKnown) {
  const std::string text = decoded(proto_report(infeasible_report()));
  EXPECT_THAT(text, HasSubstr("infeasible_reason: \"stage 0 needs 62.5 GiB of 48 GiB\""));
  EXPECT_THAT(text, testing::Not(HasSubstr("\nstep_time_s")));
}

}  // namespace
}  // namespace stepcast
