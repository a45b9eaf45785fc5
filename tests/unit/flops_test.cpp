#include "simulator/workload/flops.hpp"

#include <gtest/gtest.h>

#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

double per_token(const char* convention, const Architecture& model, double parameters, double sequence_length) {
  return find_flops_convention(convention)
      ->per_token({model, parameters, static_cast<double>(model.vocab), sequence_length, false});
}

// Korthikanti et al. 2022, Table 5, row "present work": iteration time, batch, GPUs -> MFU and HFU on A100 (312 TFLOP/s).
struct KorthikantiRow {
  const char* name;
  std::int64_t layers, hidden, heads;
  double batch, gpus, full_s, present_s, present_mfu, present_hfu;
};

class KorthikantiMfu : public testing::TestWithParam<KorthikantiRow> {};

TEST_P(KorthikantiMfu, FollowsFromTheIterationTime) {
  const KorthikantiRow& row = GetParam();
  const Architecture model = fixtures::gpt(row.layers, row.hidden, row.heads, 51200);
  const double tokens = row.batch * 2048;
  const double machine = row.present_s * row.gpus * 312e12;
  EXPECT_NEAR(per_token("megatron-full-attention", model, 0, 2048) * tokens / machine, row.present_mfu, 0.0021);
  EXPECT_NEAR(per_token("korthikanti-hfu", model, 0, 2048) * tokens / machine, row.present_hfu, 0.0021);
}

INSTANTIATE_TEST_SUITE_P(
    Table5, KorthikantiMfu,
    testing::Values(KorthikantiRow{"gpt22b", 48, 6144, 64, 4, 8, 1.42, 1.10, 0.415, 0.437},
                    KorthikantiRow{"gpt175b", 96, 12288, 96, 64, 64, 18.13, 13.75, 0.514, 0.528},
                    KorthikantiRow{"gpt530b", 105, 20480, 128, 280, 280, 49.05, 37.83, 0.560, 0.570},
                    KorthikantiRow{"gpt1t", 128, 25600, 160, 512, 512, 94.42, 71.49, 0.563, 0.570}),
    [](const auto& c) { return std::string(c.param.name); });

Architecture llama3(std::int64_t layers, std::int64_t hidden, std::int64_t heads, std::int64_t ffn) {
  Architecture model = fixtures::gpt(layers, hidden, heads, 128256);
  model.kv_heads = 8;
  model.ffn = ffn;
  model.activation = Activation::swiglu;
  model.tied_embeddings = false;
  return model;
}

// FLOPs a token at sequence length 8,192 of Llama-3 8B, 70B, 405B.
TEST(FlopsPerToken, LlamaInEveryConvention) {
  struct Row {
    const char* convention;
    double b8, b70, b405;
  };
  const Row rows[] = {{"6nd", 4.818e10, 4.233e11, 2.435e12},
                      {"palm", 6.107e10, 4.878e11, 2.638e12},
                      {"full-attention", 5.791e10, 4.814e11, 2.625e12},
                      {"megatron-full-attention", 5.791e10, 4.814e11, 2.625e12},
                      {"megatron-causal", 5.147e10, 4.492e11, 2.524e12}};
  for (const Row& row : rows) {
    EXPECT_NEAR(per_token(row.convention, llama3(32, 4096, 32, 14336), 8030261248.0, 8192), row.b8, 0.002 * row.b8)
        << row.convention;
    EXPECT_NEAR(per_token(row.convention, llama3(80, 8192, 64, 28672), 70553706496.0, 8192), row.b70, 0.002 * row.b70)
        << row.convention;
    EXPECT_NEAR(per_token(row.convention, llama3(126, 16384, 128, 53248), 405853388800.0, 8192), row.b405,
                0.002 * row.b405)
        << row.convention;
  }
}

// Narayanan et al. 2021, equation 3: 96 B s l h^2 (1 + s/6h + V/16lh); GPT-3 175B: 1.4340e12 a token.
TEST(FlopsPerToken, MegatronWithRecomputation) {
  const Architecture gpt3 = fixtures::gpt(96, 12288, 96, 51200);
  const double h = 12288, l = 96, s = 2048, V = 51200;
  const double published = 96 * l * h * h * (1 + s / (6 * h) + V / (16 * l * h));
  EXPECT_NEAR(per_token("megatron-full-recompute", gpt3, 0, s), published, 1e-9 * published);
  EXPECT_NEAR(published, 1.4340e12, 0.0005e12);
}

// torchtitan README: Llama-3 8B at 6,667 and 5,762 tokens/s per H100 (989 TFLOP/s) are 39% and 33% MFU.
TEST(FlopsPerToken, TorchtitanMfu) {
  const double flops = per_token("full-attention", llama3(32, 4096, 32, 14336), 8030261248.0, 8192);
  EXPECT_NEAR(6667 * flops / 989e12, 0.39, 0.005);
  EXPECT_NEAR(5762 * flops / 989e12, 0.337, 0.005);
}

// C = 6ND: GPT-3 175B on 300 G tokens is 3.15e23 (Brown et al. 2020: 3.14e23).
TEST(FlopsPerToken, ChinchillaBudget) {
  EXPECT_NEAR(per_token("6nd", fixtures::gpt(96, 12288, 96, 50257), 175e9, 2048) * 300e9, 3.14e23, 0.02e23);
}

}  // namespace
}  // namespace stepcast
