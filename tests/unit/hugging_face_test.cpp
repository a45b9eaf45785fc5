/// Hugging Face configurations: the parameter count of each family's best-known member.
///
/// The files of tests/data/hf hold the keys of the published configurations that the reader needs.

#include <cctype>
#include <set>

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/input/input.hpp"

namespace stepcast {
namespace {

std::string config(const std::string& name) { return STEPCAST_SOURCE_DIR "/tests/data/hf/" + name + ".json"; }

struct Published {
  const char* name;
  double parameters;      ///< safetensors metadata of the checkpoint, num_parameters() of transformers where tied
  double unmodelled = 0;  ///< of these, values that no operator of ours holds
};

class HuggingFaceParameters : public testing::TestWithParam<Published> {};

TEST_P(HuggingFaceParameters, AreThePublishedCount) {
  const Published& published = GetParam();
  const Architecture model = load_hugging_face(config(published.name));
  const ModelFamily* family = family_of(model);
  ASSERT_NE(family, nullptr);
  const double count = parameters(family->build(model, model.vocab, model.max_positions));
  EXPECT_DOUBLE_EQ(count, published.parameters - published.unmodelled);
}

INSTANTIATE_TEST_SUITE_P(
    BestKnownMembers, HuggingFaceParameters,
    testing::Values(Published{"gpt2", 124'439'808}, Published{"gpt-neox-20b", 20'554'567'680},
                    Published{"opt-6.7b", 6'658'473'984}, Published{"bloom-7b1", 7'069'016'064},
                    Published{"mpt-7b", 6'649'286'656}, Published{"falcon-7b", 6'921'720'704},
                    Published{"falcon-40b", 41'303'293'952}, Published{"phi-2", 2'779'683'840},
                    Published{"phi-3-mini", 3'821'079'552}, Published{"starcoder2-3b", 3'030'371'328},
                    Published{"llama-2-7b", 6'738'415'616}, Published{"llama-3.1-8b", 8'030'261'248},
                    Published{"mistral-7b", 7'241'732'096}, Published{"mixtral-8x7b", 46'702'792'704},
                    Published{"qwen2-7b", 7'615'616'512}, Published{"qwen1.5-moe-a2.7b", 14'315'784'192},
                    Published{"qwen3-8b", 8'190'735'360}, Published{"qwen3-30b-a3b", 30'532'122'624},
                    Published{"deepseek-v2-lite", 15'706'484'224},
                    Published{"deepseek-v3", 671'026'419'200, 58 * 256},  // a bias a score, which balances the experts
                    Published{"gemma-2b", 2'506'172'416}, Published{"gemma-2-9b", 9'241'705'984},
                    Published{"gemma-3-1b", 999'885'952}, Published{"olmo-7b", 6'888'095'744},
                    Published{"olmo-2-7b", 7'298'617'344}, Published{"olmoe-1b-7b", 6'919'161'856},
                    Published{"gpt-oss-20b", 20'914'757'184, 24 * 64},  // sinks: one score a head
                    Published{"bert-base", 109'514'298}, Published{"t5-11b", 11'307'321'344},
                    Published{"flan-t5-xl", 2'849'757'184}, Published{"vit-base-patch16-224", 86'567'656},
                    Published{"mamba-codestral-7b", 7'285'403'648}, Published{"nemotron-h-8b", 8'100'852'736},
                    Published{"mamba-2.8b", 2'768'345'600}),
    [](const auto& c) {
      std::string name = c.param.name;
      for (char& letter : name) {
        if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
      }
      return name;
    });

// Nemotron-3 Nano's model card: 31.6B parameters, 3.6B active with the embeddings.
TEST(HuggingFace, HybridWithExperts) {
  const Architecture model = load_hugging_face(config("nemotron-3-nano-30b-a3b"));
  const ModelGraph graph = family_of(model)->build(model, model.vocab, 0);
  EXPECT_NEAR(parameters(graph) / 31.6e9, 1, 0.005);
  EXPECT_NEAR(active_parameters(graph) / 3.6e9, 1, 0.02);
  EXPECT_EQ(model.layers_with(LayerLetter::state_space), 23);
  EXPECT_EQ(model.moe->moe_layers, 23);
}

TEST(HuggingFace, LayersThatSeeAllTokens) {
  const Architecture gemma3 = load_hugging_face(config("gemma-3-1b"));  // five of six have the window
  int windowed = 0;
  for (std::int64_t layer = 0; layer < 12; ++layer) windowed += gemma3.windowed(layer);
  EXPECT_EQ(windowed, 10);
  const Architecture gemma2 = load_hugging_face(config("gemma-2-9b"));
  EXPECT_TRUE(gemma2.windowed(0));
  EXPECT_FALSE(gemma2.windowed(1));
  EXPECT_TRUE(load_hugging_face(config("mistral-7b")).windowed(31));
  EXPECT_FALSE(load_hugging_face(config("qwen2-7b")).attention_window.has_value());  // use_sliding_window: false
}

TEST(HuggingFace, ArchitecturesHaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const PresetInfo& row : list_hugging_face()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.description.empty()) << row.name;
  }
}

}  // namespace
}  // namespace stepcast
