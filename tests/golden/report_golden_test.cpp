// Whole reports against files, byte for byte. The arithmetic behind the figures stands in example_report.hpp.
// After a change that is meant, look at the difference and run with STEPCAST_UPDATE_GOLDENS=1.

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "simulator/base/files.hpp"
#include "simulator/report/formats.hpp"
#include "simulator/report/nccl_table.hpp"
#include "tests/golden/example_report.hpp"

namespace stepcast {
namespace {

void expect_golden(const std::string& name, const std::string& actual) {
  const std::string path = std::string(STEPCAST_SOURCE_DIR) + "/tests/golden/" + name;
  if (std::getenv("STEPCAST_UPDATE_GOLDENS")) write_file_atomically(path, actual);
  EXPECT_EQ(read_file(path), actual) << "the golden is tests/golden/" << name;
}

constexpr ReportStyle explained{.explain = true, .colour = false};

TEST(ReportGolden, Text) { expect_golden("example.txt", text_report(example_report())); }
TEST(ReportGolden, TextExplained) { expect_golden("example_explained.txt", text_report(example_report(), explained)); }
TEST(ReportGolden, TextInfeasible) { expect_golden("infeasible.txt", text_report(infeasible_report())); }
TEST(ReportGolden, Json) { expect_golden("example.json", json_report(example_report(), explained)); }
TEST(ReportGolden, JsonInfeasible) { expect_golden("infeasible.json", json_report(infeasible_report())); }
TEST(ReportGolden, Csv) { expect_golden("example.csv", csv_report(example_report())); }

// 8 ranks: bus bandwidth is 2 * 7/8 * size / time. 1 MiB in 28 us: 37.4 GB/s, 65.5 GB/s of the bus.
TEST(ReportGolden, CollectiveTable) {
  const CollectiveTable table{
      "all_reduce",
      "8 ranks on one NVLink domain of example",
      {{8.0_B, "ring", "LL", 13.85_us, BytesPerSecond(1.75 * 8 / 13.85e-6)},
       {1.0_MiB, "ring", "LL", 28.0_us, BytesPerSecond(1.75 * 1048576 / 28e-6)},
       {16.0_GiB, "nvls", "Simple", 63000.0_us, BytesPerSecond(1.75 * 17179869184 / 63000e-6)}}};
  expect_golden("collective.txt", nccl_table_text(table));
  expect_golden("collective.json", nccl_table_json(table));
  expect_golden("collective.csv", nccl_table_csv(table));
}

}  // namespace
}  // namespace stepcast
