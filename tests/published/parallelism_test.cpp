// Relative truth: what one change of schedule was measured to bring, against the ratio of two predictions on one profile.

#include <algorithm>

#include <gtest/gtest.h>

#include "simulator/input/input.hpp"
#include "simulator/predict.hpp"

namespace stepcast {
namespace {

// --- zero bubble: arXiv 2401.10241, table 4, samples per GPU and second ------------------------------------------------

struct ZeroBubbleRow {
  const char* name;
  int hidden, heads, layers, stages, microbatch, microbatches;
  double one_f_one_b, interleaved, zb_1p, zb_2p;
};

class ZeroBubble : public testing::TestWithParam<ZeroBubbleRow> {};

Report predicted(const ZeroBubbleRow& row, const std::string& schedule) {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  const int chunks = schedule == "interleaved-1f1b" ? (row.layers + 2) / row.stages : 1;
  return predict(load_job(STEPCAST_SOURCE_DIR "/tests/data/zero_bubble.yaml",
                          {{"model.hidden", number(row.hidden)},
                           {"model.heads", number(row.heads)},
                           {"model.ffn", number(4 * row.hidden)},
                           {"model.layers", number(row.layers)},
                           {"cluster.gpus", number(row.stages)},
                           {"plan.pipeline_parallel", number(row.stages)},
                           {"plan.virtual_stages", number(chunks)},
                           {"plan.microbatch", number(row.microbatch)},
                           {"plan.global_batch", number(std::int64_t{row.microbatch} * row.microbatches)},
                           {"plan.schedule", schedule}}));
}

// Within 5 points; interleaving within 7, because its messages between nodes (v = 3) cost the measured runs more than ours:
// 14.6B with 48 microbatches gains 10%, predicted 17%. The paper's steps have no barrier (its optimizer validates afterwards,
// which its README puts at 8%), ours have one: zb-2p is compared without the wait for the last stage's late start.
TEST_P(ZeroBubble, ThroughputOver1f1b) {
  const ZeroBubbleRow& row = GetParam();
  const Seconds base = predicted(row, "1f1b").step_time;
  EXPECT_NEAR(base / predicted(row, "zb-1p").step_time, row.zb_1p / row.one_f_one_b, 0.05);
  EXPECT_NEAR(base / predicted(row, "interleaved-1f1b").step_time, row.interleaved / row.one_f_one_b, 0.07);
  const Report twice = predicted(row, "zb-2p");
  EXPECT_NEAR(base / (twice.step_time * (1 - twice.bubble_fraction)), row.zb_2p / row.one_f_one_b, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Table4, ZeroBubble,
                         testing::Values(ZeroBubbleRow{"1.5B_m24", 2304, 24, 22, 8, 6, 24, 11.8, 13.1, 12.9, 14.5},
                                         ZeroBubbleRow{"1.5B_m32", 2304, 24, 22, 8, 6, 32, 12.5, 13.4, 13.4, 14.8},
                                         ZeroBubbleRow{"1.5B_m64", 2304, 24, 22, 8, 6, 64, 13.6, 13.9, 14.2, 14.9},
                                         ZeroBubbleRow{"6.2B_m24", 4096, 32, 30, 8, 3, 24, 3.50, 4.01, 3.88, 4.32},
                                         ZeroBubbleRow{"6.2B_m32", 4096, 32, 30, 8, 3, 32, 3.70, 4.08, 4.00, 4.35},
                                         ZeroBubbleRow{"6.2B_m64", 4096, 32, 30, 8, 3, 64, 4.03, 4.19, 4.20, 4.39},
                                         ZeroBubbleRow{"14.6B_m48", 5120, 40, 46, 16, 1, 48, 1.40, 1.54, 1.61, 1.81},
                                         ZeroBubbleRow{"14.6B_m64", 5120, 40, 46, 16, 1, 64, 1.49, 1.59, 1.67, 1.83},
                                         ZeroBubbleRow{"14.6B_m128", 5120, 40, 46, 16, 1, 128, 1.64, 1.66, 1.76, 1.85},
                                         ZeroBubbleRow{"28.3B_m96", 6144, 48, 62, 32, 1, 96, 0.76, 0.82, 0.87, 0.99},
                                         ZeroBubbleRow{"28.3B_m128", 6144, 48, 62, 32, 1, 128, 0.80, 0.85, 0.90, 1.00},
                                         ZeroBubbleRow{"28.3B_m256", 6144, 48, 62, 32, 1, 256, 0.88, 0.90, 0.96, 1.00}),
                         [](const auto& c) {
                           std::string name = c.param.name;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

// --- interleaving: torchtitan, Llama 3.1 405B on 512 H100, 100 -> 128 tokens per second and GPU --------------------------

// Eight microbatches of four sequences, two chunks a rank (inferred from the code of that day); a quarter of the effect.
TEST(Interleaving, GainsWhatTorchtitanMeasured) {
  const std::string run =
      STEPCAST_SOURCE_DIR "/scenarios/published/torchtitan-docs.yaml#tt-h100-405b-n512-fsdp8-tp8-pp8-1f1b-fp8";
  const auto step = [&](const char* schedule, const char* chunks) {
    return predict(
               load_job(run, {{"plan.schedule", schedule}, {"plan.virtual_stages", chunks}, {"plan.microbatch", "4"}}))
        .step_time;
  };
  EXPECT_NEAR(step("1f1b", "1") / step("interleaved-1f1b", "2"), 1.28, 0.07);
}

// --- asynchronous tensor parallelism: torchtitan's benchmarks, tokens per second with over without ---------------------

double step_of(const std::string& run) {
  return predict(load_job(STEPCAST_SOURCE_DIR "/scenarios/published/torchtitan-docs.yaml#" + run)).step_time.si();
}

TEST(AsyncTensorParallel, GainsWhatTorchtitanMeasured) {
  // June 2025, 8B on 64 H100, FSDP 8 TP 8, bf16: 4378 -> 4809
  EXPECT_NEAR(step_of("tt2506-h100-8b-n64-fsdp8-tp8-tp-bf16") / step_of("tt2506-h100-8b-n64-fsdp8-tp8-asynctp-bf16"),
              4809.0 / 4378, 0.03);
  // December 2024, 70B on 256 H100, FSDP 32 TP 8, fp8: 829 -> 876. Predicted 1.14: fp8 activations are gathered in 16 bits
  // here, so that there is more to hide.
  const double gain =
      step_of("tt-h100-70b-n256-fsdp32-tp8-tp-fp8") / step_of("tt-h100-70b-n256-fsdp32-tp8-asynctp-fp8");
  EXPECT_GT(gain, 1.03);
  EXPECT_LT(gain, 1.16);
}

}  // namespace
}  // namespace stepcast
