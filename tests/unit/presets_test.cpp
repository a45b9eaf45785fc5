/// Every model preset has its published number of parameters; every profile loads.

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/input/input.hpp"

namespace stepcast {
namespace {

TEST(ModelPresets, HaveTheirPublishedParameters) {
  int checked = 0;
  for (const PresetInfo& preset : list_presets("models")) {
    const Architecture model = load_model_preset(preset.name);
    const ModelFamily* family = family_of(model);
    ASSERT_NE(family, nullptr) << preset.name;
    const ModelGraph graph = family->build(model, model.vocab, model.max_positions);
    const double count = parameters(graph);
    const auto published = published_parameters(preset.name);
    ASSERT_TRUE(published.has_value()) << preset.name;
    EXPECT_NEAR(count, published->count, published->tolerance * published->count) << preset.name;
    EXPECT_NEAR(active_parameters(graph), published->active, published->tolerance * published->active) << preset.name;
    ++checked;
  }
  EXPECT_GE(checked, 50);
}

TEST(HardwarePresets, AllLoad) {
  for (const PresetInfo& preset : list_presets("gpus")) {
    const Gpu gpu = load_gpu(preset.name);
    EXPECT_GT(gpu.hbm_bandwidth->si(), 0) << preset.name;
    EXPECT_FALSE(gpu.hbm_bandwidth.source.empty()) << preset.name;
    EXPECT_FALSE(gpu.gemm_profile(Precision::bf16).tiles.empty()) << preset.name;
  }
  for (const PresetInfo& preset : list_presets("frameworks")) {
    EXPECT_FALSE(load_framework(preset.name).attention_kernel.source.empty()) << preset.name;
  }
}

// A100: 108 SMs x 1.41 GHz x 1,024 FMA x 2 = 312 TFLOP/s.
TEST(HardwarePresets, PeakFollowsFromClockAndWidth) {
  const Gpu a100 = load_gpu("a100-80gb-sxm");
  EXPECT_NEAR(a100.sms * a100.boost_clock->si() * 1024 * 2, a100.peak_rate(Precision::bf16).si(), 0.001 * 312e12);
}

}  // namespace
}  // namespace stepcast
