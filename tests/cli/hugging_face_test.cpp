/// Scenarios that name a Hugging Face configuration.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/program.hpp"

namespace stepcast {
namespace {

using testing::HasSubstr;

class HuggingFace : public FolderTest {
 protected:
  /// A prediction for a model that a configuration beside the scenario describes.
  Outcome predict(const std::string& config, const std::string& more = "") const {
    write("config.json", config);
    const std::string scenario = write("s.yaml", "model: {hf: config.json" + more +
                                                     "}\n"
                                                     "cluster: {node: dgx-h100, nodes: 1}\n"
                                                     "plan: {global_batch: 8, sequence_length: 1024}\n");
    return run("predict " + scenario + " --format json");
  }
};

constexpr const char* small_llama =
    R"({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
        "intermediate_size": 256,
        "vocab_size": 1024, "pad_token_id": 0})";

TEST_F(HuggingFace, AreReadBesideTheScenario) {
  const Outcome outcome = predict(small_llama);
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(predict(small_llama, ", layers: 3").out, testing::Not(outcome.out));  // what stands beside `hf` counts
}

TEST_F(HuggingFace, UnknownArchitecturesGetTheNearestKnown) {
  const auto answer = [&](const std::string& config) {
    const Outcome outcome = predict(config);
    EXPECT_EQ(outcome.exit, 2);
    return outcome.err;
  };
  EXPECT_THAT(answer(R"({"architectures": ["Qwen2VLForConditionalGeneration"]})"), HasSubstr("'Qwen2ForCausalLM'"));
  EXPECT_THAT(answer(R"({"architectures": ["LLaMAForCausalLM"]})"), HasSubstr("'LlamaForCausalLM'"));
  EXPECT_THAT(answer(R"({"architectures": ["DeepseekV4ForCausalLM"]})"), HasSubstr("'DeepseekV2ForCausalLM'"));
  EXPECT_THAT(answer(R"({"model_type": "mamba3"})"), HasSubstr("'MambaForCausalLM'"));
  EXPECT_THAT(answer(R"({"hidden_size": 3})"), HasSubstr("no Hugging Face configuration"));
}

TEST_F(HuggingFace, MistakesAreShownInTheConfiguration) {
  const Outcome missing = predict(R"({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2})");
  EXPECT_EQ(missing.exit, 2);
  EXPECT_THAT(missing.err, HasSubstr("config.json: 'hidden_size' is missing: LlamaForCausalLM needs it"));
  std::string negative = small_llama;
  negative.replace(negative.find("1024"), 4, "-024");
  EXPECT_THAT(predict(negative).err, HasSubstr("config.json:3:"));
}

TEST_F(HuggingFace, AModelMayBeTheFileItself) {
  const Outcome outcome = run("predict scenarios/quickstart.yaml --set model=tests/data/hf/llama-2-7b.json");
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("llama-2-7b"));
}

TEST_F(HuggingFace, AreListed) {
  const Outcome outcome = run("list hf");
  EXPECT_EQ(outcome.exit, 0);
  EXPECT_THAT(outcome.out, HasSubstr("LlamaForCausalLM"));
}

}  // namespace
}  // namespace stepcast
