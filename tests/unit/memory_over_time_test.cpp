#include "simulator/report/memory_over_time.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "simulator/predict.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

Bytes fullest(const MemoryOverTime& memory) {
  Bytes most;
  for (const auto& [time, bytes] : memory.samples) most = std::max(most, bytes);
  return most;
}

// 1F1B holds min(p - r, m) microbatches at its fullest (Korthikanti et al. 2022, section 4.2.3), interleaving more: what
// the simulated order of passes holds is what the closed form of each schedule says, and nothing is left at the end.
TEST(MemoryOverTime, ItsPeakIsTheClosedForm) {
  for (const auto& [stages, microbatches, chunks] : {std::tuple(1, 4, 1), {4, 8, 1}, {4, 2, 1}, {4, 8, 2}}) {
    Job job = fixtures::job(1, stages, 1, microbatches, chunks);
    ExecutionOptions options;
    options.record_spans = true;
    Timeline timeline;
    const Report report = predict(job, options, &timeline);
    ASSERT_EQ(timeline.memory.size(), static_cast<std::size_t>(stages));
    for (const MemoryOverTime& memory : timeline.memory) {
      const MemoryUse& use = report.per_stage[static_cast<std::size_t>(memory.rank)].memory;
      EXPECT_NEAR(fullest(memory) / use.allocated(), 1, 1e-9) << "stage " << memory.rank << " of " << stages;
      EXPECT_EQ(memory.samples.front().second, memory.samples.back().second);
    }
  }
}

}  // namespace
}  // namespace stepcast
