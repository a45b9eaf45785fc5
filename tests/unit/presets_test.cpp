/// Every model preset has its published number of parameters; every profile loads.

#include <unistd.h>

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/base/files.hpp"
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

// What is written of a model is read as the same model.
TEST(ModelPresets, ComeBackFromTheirText) {
  const std::string path = testing::TempDir() + std::to_string(getpid()) + "-stepcast-model.yaml";
  for (const PresetInfo& preset : list_presets("models")) {
    Architecture model = load_model_preset(preset.name);
    model.name = "a \"quoted\" name";
    const std::string text = model_text(model);
    write_file_atomically(path, text);
    const Architecture read = load_model_preset(path);
    EXPECT_EQ(model_text(read), text) << preset.name;
    EXPECT_EQ(read.name, model.name);
    const ModelGraph graph = family_of(model)->build(model, model.vocab, model.max_positions);
    const ModelGraph again = family_of(read)->build(read, read.vocab, read.max_positions);
    EXPECT_EQ(parameters(again), parameters(graph)) << preset.name;
    EXPECT_EQ(active_parameters(again), active_parameters(graph)) << preset.name;
    EXPECT_EQ(again.layer_kinds, graph.layer_kinds) << preset.name;
    ASSERT_EQ(again.kinds.size(), graph.kinds.size()) << preset.name;
    for (std::size_t i = 0; i < graph.kinds.size(); ++i) {
      ASSERT_EQ(again.kinds[i].ops.size(), graph.kinds[i].ops.size()) << preset.name;
      for (std::size_t j = 0; j < graph.kinds[i].ops.size(); ++j)
        EXPECT_EQ(again.kinds[i].ops[j].name, graph.kinds[i].ops[j].name) << preset.name;
    }
  }
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
