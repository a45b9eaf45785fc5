/// Relative truth: what one change of a plan does to a published run, as the ratio of two predictions. Absolute errors of
/// a machine's constants cancel; what is left is the mechanism that the change is about.
///
/// tuning.csv lists the comparisons. A ratio holds when it lies within max(0.03, a quarter of the measured effect) of the
/// measured one, or within the row's own band; `sign` asks for the direction alone. A row that does not hold says so in
/// its column `misses`, with the predicted ratio: the test fails when that changes, to the better too, so that the table
/// stays true. With STEPCAST_UPDATE_GOLDENS set TUNING.md, the same table for readers, is written anew.

#include <cmath>
#include <cstdlib>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "simulator/base/csv.hpp"
#include "simulator/base/files.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"

namespace stepcast {
namespace {

const std::string tests = STEPCAST_SOURCE_DIR "/tests/published/";
const std::string published = STEPCAST_SOURCE_DIR "/scenarios/published/";

Report report_of(const std::string& run, const std::string& settings) {
  std::vector<Override> overrides;
  std::istringstream words(settings);
  for (std::string word; words >> word;) overrides.push_back(parse_override(word));
  const bool own = run.rfind("tuning_runs", 0) == 0;
  return predict(load_job((own ? tests : published) + run, overrides), ExecutionOptions{});
}

double quantity_of(const Report& report, const CsvRow& row) {
  const std::string& quantity = row.text("quantity");
  if (quantity == "memory") return report.memory.allocated().si();
  if (!report.has_time()) row.fail("no step is timed: " + report.infeasible_reason);
  if (quantity == "step_time") return report.step_time.si();
  if (quantity == "tokens_per_s") return report.tokens_per_s_per_gpu;
  if (quantity == "tflops") return report.model_tflops_per_gpu;
  if (quantity == "mfu") return report.mfu;
  row.fail("no quantity is called " + quantity);
}

bool holds(double predicted, double measured, const std::string& band) {
  if (band == "sign") return (predicted - 1) * (measured - 1) > 0;
  if (band.ends_with("%")) return std::fabs(predicted / measured - 1) <= std::stod(band) / 100;
  const double width = band.empty() ? std::max(0.03, 0.25 * std::fabs(measured - 1)) : std::stod(band);
  return std::fabs(predicted - measured) <= width;
}

TEST(Tuning, RatiosOfPublishedComparisons) {
  const std::string path = tests + "tuning.csv";
  const CsvTable table(path, read_file(path));
  TextTable shown({{"row"}, {"comparison"}, {"of"}, {"measured", Align::right}, {"predicted", Align::right}, {""}});
  std::string page =
      "# Published comparisons\n\nRatios of two predictions against ratios of two measurements (tuning_test.cpp; "
      "tuning.csv has the plans and sources).\nNot here, for want of a plan to replay: Nemotron-3-Nano's "
      "recomputation, the best microbatch of 91B, fused operators of 2021, LoRA's gather; zb-2p's optimizer without "
      "post-validation.\n\n| row | comparison | of | measured | predicted | |\n"
      "|---|---|---|---|---|---|\n";
  int held = 0, missed = 0;
  for (const CsvRow& row : table.rows()) {
    const double measured = row.positive("measured");
    const double predicted = quantity_of(report_of(row.text("to"), row.text("to_set")), row) /
                             quantity_of(report_of(row.text("from"), row.text("from_set")), row);
    const bool good = holds(predicted, measured, row.text("band"));
    ++(good ? held : missed);
    const std::string known = row.text("misses");
    const std::string verdict = good ? "" : "misses";
    shown.add_row({row.text("row"), row.text("what"), row.text("quantity"), fmt::format("{:.3f}", measured),
                   fmt::format("{:.3f}", predicted), verdict});
    page += fmt::format("| {} | {} | {} | {:.3f} | {:.3f} | {} |\n", row.text("row"), row.text("what"),
                        row.text("quantity"), measured, predicted, verdict);
    const std::string name = fmt::format("{}:{}: {}", path, row.line(), row.text("what"));
    if (good) {
      EXPECT_TRUE(known.empty()) << name << " holds now (" << predicted << "): clear its `misses`";
    } else {
      EXPECT_FALSE(known.empty()) << name << ": predicted " << predicted << ", measured " << measured;
      if (!known.empty()) {
        EXPECT_NEAR(predicted, std::stod(known), 0.02) << name << ": the miss has changed";
      }
    }
  }
  fmt::print("{}{} hold, {} miss\n", shown.to_string(), held, missed);
  page += fmt::format("\n{} hold, {} miss.\n", held, missed);
  if (std::getenv("STEPCAST_UPDATE_GOLDENS") != nullptr) {
    write_file_atomically(tests + "TUNING.md", [&](const Sink& sink) { sink(page); });
  }
}

}  // namespace
}  // namespace stepcast
