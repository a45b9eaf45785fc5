/// Encoders, encoder-decoders and state-space layers: shapes, bytes and FLOPs against closed forms.

#include <gtest/gtest.h>

#include "models/families.hpp"
#include "simulator/input/input.hpp"
#include "simulator/kernels/kernel_time.hpp"
#include "simulator/parallelism/shard.hpp"
#include "simulator/predict.hpp"
#include "simulator/workload/flops.hpp"
#include "tests/support/fixtures.hpp"

namespace stepcast {
namespace {

Architecture published(const std::string& name) {
  return load_hugging_face(STEPCAST_SOURCE_DIR "/tests/data/hf/" + name + ".json");
}

ModelGraph graph_of(const Architecture& model) {
  return family_of(model)->build(model, model.vocab, model.max_positions);
}

Sharding sharding(const Framework& framework, double tokens, double decoded = 0, int t = 1) {
  Sharding s;
  s.sequences = 1;
  s.sequence_length = s.encoded_length = s.tokens = tokens;
  s.decoder_length = decoded;
  s.tensor = t;
  s.flash_attention = true;
  s.attention_kernel = "flash2";
  s.framework = &framework;
  return s;
}

double gemm_flops(const OpList& ops) {
  double sum = 0;
  for (const LocalOp& op : ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op.work)) sum += gemm->flops().si();
  }
  return sum;
}

/// Matrix products of the forward pass of a whole model.
double forward_flops(const ModelGraph& graph, const Sharding& s) {
  double sum = gemm_flops(shard(graph.embedding, graph.hidden, s, false).forward) +
               gemm_flops(shard(graph.head, graph.hidden, s, false).forward);
  for (int kind : graph.layer_kinds) {
    sum += gemm_flops(shard(graph.kinds[static_cast<std::size_t>(kind)], graph.hidden, s, true).forward);
  }
  return sum;
}

// --- encoders ----------------------------------------------------------------------------------------------------

// Every score is computed: twice the products of a causal layer, diagonal tiles aside.
TEST(Encoder, SeesEveryToken) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph bert = graph_of(published("bert-base"));
  for (const LocalOp& op : shard(bert.kinds[0], bert.hidden, sharding(framework, 512), true).forward) {
    if (const auto* attention = std::get_if<AttentionKernel>(&op.work)) {
      EXPECT_FALSE(attention->causal);
      EXPECT_DOUBLE_EQ(attention->flops().si(), 4.0 * 512 * 512 * 768);
    }
  }
}

// Layers 24 T h^2; the head's transform 2 T h^2 and logits 2 T h V.
TEST(Encoder, ProductsOfBert) {
  const Framework framework = fixtures::ideal_framework();
  const double T = 512, h = 768;
  EXPECT_DOUBLE_EQ(forward_flops(graph_of(published("bert-base")), sharding(framework, T)),
                   12 * 24 * T * h * h + 2 * T * h * h + 2 * T * h * 30522);
}

// ViT-B/16: 196 patches and the class token; one row a sequence is classified. Dosovitskiy et al. (arXiv 2010.11929) and
// timm count 17.6 G multiply-adds with attention: 12 layers x 12 h^2 x 197, scores 12 x 2 x 197^2 h, patches 197 h x 768.
TEST(Encoder, ProductsOfVit) {
  const Framework framework = fixtures::ideal_framework();
  const double T = 197, h = 768;
  const double products = forward_flops(graph_of(published("vit-base-patch16-224")), sharding(framework, T));
  EXPECT_DOUBLE_EQ(products, 12 * 24 * T * h * h + 2 * T * h * h + 2 * h * 1000);
  EXPECT_NEAR((products / 2 + 12 * 2 * T * T * h) / 17.58e9, 1, 0.005);
}

// --- encoder-decoders --------------------------------------------------------------------------------------------

// Raffel et al. (arXiv 1910.10683), section 2.1: a decoder layer attends to itself and to the encoder's output, whose keys
// and values are of the encoder's tokens.
TEST(EncoderDecoder, ProductsOfT5) {
  const Framework framework = fixtures::ideal_framework();
  const Architecture model = published("flan-t5-xl");
  const double s = 512, d = 128, h = 2048, q = 2048, f = 5120, V = 32128;
  const double encoder = 2 * s * (4 * h * q + 3 * h * f);
  const double decoder = 2 * d * (4 * h * q + 3 * h * f) + 2 * d * 2 * h * q + 2 * s * 2 * h * q;
  EXPECT_DOUBLE_EQ(forward_flops(graph_of(model), sharding(framework, s, d)), 24 * (encoder + decoder) + 2 * d * h * V);
}

TEST(EncoderDecoder, CrossAttentionIsARectangle) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = graph_of(published("flan-t5-xl"));
  const LocalBlock layer = shard(graph.kinds.back(), graph.hidden, sharding(framework, 512, 128), true);
  int crossing = 0;
  for (const LocalOp& op : layer.forward) {
    const auto* attention = std::get_if<AttentionKernel>(&op.work);
    if (attention == nullptr || attention->causal) continue;
    ++crossing;
    EXPECT_DOUBLE_EQ(attention->query_length, 128);
    EXPECT_DOUBLE_EQ(attention->key_length, 512);
    EXPECT_DOUBLE_EQ(attention->flops().si(), 4.0 * 128 * 512 * 2048);
  }
  EXPECT_EQ(crossing, 1);
}

// The conventions count what runs: linears of the whole step are three times the forward pass's.
TEST(EncoderDecoder, ConventionsCountBothStacks) {
  const Framework framework = fixtures::ideal_framework();
  const Architecture model = published("flan-t5-xl");
  const double s = 512, d = 128, q = 2048;
  FlopsInput in{model, 0, 32128, s};
  in.decoder_share = d / s;
  const double scores = 3 * 24 * (4 * s * s + 4 * d * d + 4 * d * s) * q;
  EXPECT_NEAR(find_flops_convention("megatron-full-attention")->per_token(in) * s /
                  (3 * forward_flops(graph_of(model), sharding(framework, s, d)) + scores),
              1, 1e-12);
}

// --- state spaces ------------------------------------------------------------------------------------------------

// Megatron-LM training.py, mamba_layer_flops: 2 T h (2 I + 2 G N + H) + 2 T I h, and 7 T I N of the scan.
TEST(StateSpace, ProductsOfALayer) {
  const Framework framework = fixtures::ideal_framework();
  const Architecture model = published("mamba-codestral-7b");
  const ModelGraph graph = graph_of(model);
  const double T = 4096, h = 4096, inner = 8192, shared = 8 * 128, heads = 128;
  const LocalBlock layer = shard(graph.kinds[0], graph.hidden, sharding(framework, T), true);
  EXPECT_DOUBLE_EQ(gemm_flops(layer.forward), 2 * T * h * (2 * inner + 2 * shared + heads) + 2 * T * inner * h);
  FlopsInput in{model, 0, 32768, T};
  EXPECT_DOUBLE_EQ(find_flops_convention("megatron-causal")->per_token(in),
                   3 * (64 * (gemm_flops(layer.forward) / T + 7 * inner * 128) + 2 * h * 32768));
}

// Heads, groups and their states are split: ranks of a tensor group hold each parameter once, norms aside.
TEST(StateSpace, IsSplitByHeads) {
  const Framework framework = fixtures::ideal_framework();
  const ModelGraph graph = graph_of(published("mamba-codestral-7b"));
  const LocalBlock whole = shard(graph.kinds[0], graph.hidden, sharding(framework, 1024), true);
  const LocalBlock split = shard(graph.kinds[0], graph.hidden, sharding(framework, 1024, 0, 8), true);
  EXPECT_DOUBLE_EQ(split.parameters * 8 - 7 * split.replicated_parameters, whole.parameters);
}

// Dao & Gu (arXiv 2405.21060, section 9.3, figure 10), on an A100 with 64 states: the scan is faster than FlashAttention-2
// from 2,048 tokens on, and gains a factor of six on it until 16,384, since its time grows with the tokens alone.
TEST(StateSpace, GainsOnFlashAttentionWithTheLength) {
  Job job = fixtures::job(1, 1, 1, 1, 1);
  job.cluster.gpu = load_gpu("a100-80gb-sxm");
  const auto scan_time = [&](double s) {
    StateSpace ssm{.heads = 32, .head_dim = 64, .state = 64, .groups = 1, .convolution = 4, .chunk = 256};
    Block block;
    block.ops.push_back({"scan", StateSpaceOp{ssm}});
    const Framework framework = fixtures::ideal_framework();
    Seconds sum;
    for (const LocalOp& op : shard(block, 2048, sharding(framework, s), false).forward) {
      sum += memory_time(std::get<MemoryBound>(op.work), job.cluster.gpu).time;
    }
    return sum;
  };
  const auto attention = [&](double s) {
    return attention_time({.sequences = 1,
                           .heads = 32,
                           .kv_heads = 32,
                           .query_length = s,
                           .key_length = s,
                           .head_dim_qk = 64,
                           .head_dim_v = 64,
                           .kernel = "flash2"},
                          job.cluster.gpu)
        .time;
  };
  EXPECT_GT(attention(2048) / scan_time(2048), 1);
  EXPECT_NEAR((attention(16384) / scan_time(16384)) / (attention(2048) / scan_time(2048)), 6, 1);
}

TEST(Hybrid, AWholeModelIsPredicted) {
  Job job = fixtures::job(2, 2, 1, 4, 1);
  job.model = published("nemotron-h-8b");
  job.plan.sequence_length = 2048;
  const Report report = predict(job);
  EXPECT_NEAR(report.model_parameters, 8'100'852'736, 1);
  EXPECT_GT(report.step_time, Seconds(0));
}

}  // namespace
}  // namespace stepcast
