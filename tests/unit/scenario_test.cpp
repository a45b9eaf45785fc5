/// Scenarios, presets and reference runs, read from a small data directory of the tests' own.

#include <filesystem>
#include <fstream>
#include <functional>
#include <stdlib.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/base/error.hpp"
#include "simulator/input/input.hpp"
#include "simulator/input/scenario_keys.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// --- the data directory ------------------------------------------------------------------------------------------

constexpr const char* link_tier = R"(
  bandwidth: {value: 300 GB/s, basis: datasheet, source: "sheet"}
  efficiency: {value: 0.8, basis: fitted, source: "fit"}
  latency: {value: 3 us, basis: fitted, source: "fit"}
  launch: {value: 10 us, basis: fitted, source: "fit"}
  half_size: {value: 1 MB, basis: fitted, source: "fit"}
)";

constexpr const char* gpu_file = R"(
description: "A GPU"
maker: nvidia
generation: ampere
sms: {value: 108, basis: datasheet, source: "sheet"}
boost_clock: {value: 1410 MHz, basis: datasheet, source: "sheet"}
peak:
  fp32: {value: 19.5 TFLOP/s, basis: datasheet, source: "sheet"}
  bf16: {value: 312 TFLOP/s, basis: datasheet, source: "sheet"}
memory: {value: 80 GiB, basis: datasheet, source: "sheet"}
hbm_bandwidth: {value: 2039 GB/s, basis: datasheet, source: "sheet"}
l2: {value: 40 MB, basis: datasheet, source: "sheet"}
power_limit: {value: 400 W, basis: datasheet, source: "sheet"}
gemm:
  bf16:
    tiles: {value: [[256, 128], [128, 128]], basis: fitted, source: "fit"}
    peak_fraction: {value: 0.8, basis: fitted, source: "fit"}
    tile_area_exponent: {value: 0.1, basis: fitted, source: "fit"}
    prologue_k: {value: 102, basis: fitted, source: "fit"}
    wave_softness: {value: 0.3, basis: fitted, source: "fit"}
    memory_fraction: {value: 0.65, basis: fitted, source: "fit"}
    epilogue_exposed: {value: 0.09, basis: fitted, source: "fit"}
    fixed_time: {value: 5.1 us, basis: fitted, source: "fit"}
    nn_factor: {value: 0.99, basis: fitted, source: "fit"}
    nt_factor: {value: 1.033, basis: fitted, source: "fit"}
    sustained: {value: 1, basis: estimated, source: "runs"}
attention:
  kernels:
    flash2:
      forward:
        fraction: {value: 0.67, basis: fitted, source: "fit"}
        half_length: {value: 110, basis: fitted, source: "fit"}
        causal_half_length: {value: 345, basis: fitted, source: "fit"}
        head_dim_64_factor: {value: 0.88, basis: fitted, source: "fit"}
        head_dim_256_factor: {value: 0.9, basis: fitted, source: "fit"}
      backward:
        fraction: {value: 0.58, basis: fitted, source: "fit"}
        half_length: {value: 110, basis: fitted, source: "fit"}
        causal_half_length: {value: 345, basis: fitted, source: "fit"}
        head_dim_64_factor: {value: 0.88, basis: fitted, source: "fit"}
        head_dim_256_factor: {value: 0.9, basis: fitted, source: "fit"}
memory_bound:
  bandwidth_fraction: {value: 0.85, basis: measured, source: "test"}
  ramp_time: {value: 2 us, basis: measured, source: "test"}
  floor_time: {value: 2 us, basis: measured, source: "test"}
launch_gap: {value: 1 us, basis: assumed, source: "judgement"}
speed_spread: {value: 0.01, basis: assumed, source: "judgement"}
launch_spread: {value: 0.01, basis: assumed, source: "judgement"}
context_memory: {value: 1 GiB, basis: assumed, source: "judgement"}
)";

std::string node_file(const std::string& gpu, int gpus, int domain_gpus) {
  return "description: \"A node\"\ngpu: " + gpu + "\ngpus: " + std::to_string(gpus) +
         "\ninterconnect: nvswitch\ndomain_gpus: " + std::to_string(domain_gpus) + "\nintra:" + link_tier +
         "pcie_bandwidth: {value: 25 GB/s, basis: datasheet, source: \"sheet\"}\n"
         "host_memory_bandwidth: {value: 400 GB/s, basis: datasheet, source: \"sheet\"}\n"
         "nvme_read_bandwidth: {value: 10 GB/s, basis: datasheet, source: \"sheet\"}\n"
         "nvme_write_bandwidth: {value: 5 GB/s, basis: datasheet, source: \"sheet\"}\n";
}

std::string fabric_file(int nics) {
  return "description: \"A fabric\"\nkind: infiniband\nnics_per_node: " + std::to_string(nics) +
         "\ntopology: fat-tree\nnic:" + link_tier;
}

constexpr const char* model_file = R"(
description: "A small GPT"
source: "nowhere"
published_parameters: 1.0e+9
layers: 24
hidden: 2048
heads: 16
ffn: 8192
vocab: 51200
)";

/// The scenario that the cases below change one thing of.
constexpr const char* scenario = R"(name: small
model: gpt-1.3b
cluster: {node: dgx-a, nodes: 2, fabric: hdr200x8}
plan:
  tensor_parallel: 2
  pipeline_parallel: 4
  microbatch: 2
  global_batch: 64
  sequence_length: 2048
)";

/// A folder with presets, which $STEPCAST_DATA points to, and scenarios beside them.
///
/// The framework profiles are those of the source tree: they have every field of the struct by contract.
class Scenarios : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("stepcast-scenarios-" + std::to_string(::getpid()));
    put("hardware_profiles/gpus/a100.yaml", gpu_file);
    put("hardware_profiles/gpus/a100-small.yaml",
        "extends: a100\n"
        "basis_of_inherited: assumed\n"
        "inherited_source: \"the same die\"\n"
        "description: \"A smaller GPU\"\n"
        "memory: {value: 40 GiB, basis: datasheet, source: \"sheet\"}\n"
        "peak:\n"
        "  fp32: null\n"
        "  tf32: {value: 156 TFLOP/s, basis: datasheet, source: \"sheet\"}\n");
    put("hardware_profiles/nodes/dgx-a.yaml", node_file("a100", 8, 8));
    put("hardware_profiles/nodes/hgx-a-4.yaml", node_file("a100", 4, 4));
    put("hardware_profiles/nodes/rack.yaml", node_file("a100-small", 4, 72));
    for (const char* name : {"none", "hdr200x8", "nvl72-ndr400"}) {
      put(std::string("hardware_profiles/fabrics/") + name + ".yaml", fabric_file(8));
    }
    put("hardware_profiles/clusters/big.yaml",
        "description: \"A big cluster\"\nnode: dgx-a\nnodes: 100\nfabric: hdr200x8\n");
    put("models/presets/gpt-1.3b.yaml", model_file);
    fs::copy(STEPCAST_SOURCE_DIR "/hardware_profiles/frameworks", folder_ / "hardware_profiles/frameworks",
             fs::copy_options::recursive);
    ::setenv("STEPCAST_DATA", folder_.c_str(), 1);
  }

  void TearDown() override {
    ::unsetenv("STEPCAST_DATA");
    fs::remove_all(folder_);
  }

  std::string put(const std::string& name, const std::string& text) const {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  Job job_of(const std::string& text, const std::vector<Override>& overrides = {}) const {
    return load_job(put("s.yaml", text), overrides);
  }

  /// The whole message of the refusal, with the folder's name cut off.
  std::string refusal(const std::function<void()>& action) const {
    try {
      action();
    } catch (const UserError& error) {
      std::string message = error.what();
      const std::string prefix = folder_.string() + "/";
      for (auto at = message.find(prefix); at != std::string::npos; at = message.find(prefix)) {
        message.erase(at, prefix.size());
      }
      return message;
    }
    return "accepted";
  }

  std::string refusal_of(const std::string& text, const std::vector<Override>& overrides = {}) const {
    return refusal([&] { job_of(text, overrides); });
  }

  fs::path folder_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// The scenario with another plan.
std::string with_plan(const std::string& plan) {
  return std::string(scenario).substr(0, std::string(scenario).find("plan:")) + "plan: " + plan + "\n";
}

// --- what a job has ----------------------------------------------------------------------------------------------

TEST_F(Scenarios, AJobHasEverythingResolved) {
  const Job job = job_of(scenario);
  EXPECT_EQ(job.name, "small");
  EXPECT_EQ(job.id, "");
  EXPECT_FALSE(job.reference);
  EXPECT_EQ(job.model.name, "gpt-1.3b");
  EXPECT_EQ(job.model.layers, 24);
  EXPECT_EQ(job.model.head_dim, 128);
  EXPECT_EQ(job.cluster.gpus, 16);
  EXPECT_EQ(job.cluster.gpus_per_node, 8);
  EXPECT_EQ(job.cluster.gpu.name, "a100");
  EXPECT_EQ(job.cluster.node.name, "dgx-a");
  EXPECT_EQ(job.cluster.fabric.name, "hdr200x8");
  EXPECT_EQ(job.plan.tensor_parallel, 2);
  EXPECT_EQ(job.plan.schedule, "1f1b");
  EXPECT_EQ(job.plan.data_parallel, 2);
  EXPECT_EQ(job.plan.microbatches(), 16);
  EXPECT_EQ(job.framework.name, "megatron-core");
  EXPECT_FALSE(job.plan.flash_attention);
}

TEST_F(Scenarios, DefaultsAreNamed) {
  EXPECT_THAT(
      job_of(scenario).defaults_taken,
      ElementsAre("model.kv_heads: 16 (not stated)", "model.head_dim: 128 (hidden / heads)",
                  "model.norm: layernorm (not stated)", "model.activation: gelu (not stated)",
                  "model.position: learned (not stated)", "model.bias: true (not stated)",
                  "model.tied_embeddings: true (not stated)", "plan.sequence_parallel: false (not stated)",
                  "plan.virtual_stages: 1 (not stated)", "plan.context_parallel: 1 (not stated)",
                  "plan.expert_parallel: 1 (not stated)", "plan.data_parallel: 2 (from the GPU count)",
                  "plan.schedule: 1f1b (not stated)", "plan.zero: 0 (not stated)", "plan.recompute: none (not stated)",
                  "plan.precision: bf16 (not stated)", "plan.optimizer: adam (not stated)",
                  "plan.cpu_offload: none (not stated)", "framework: megatron-core (not stated)"));
}

TEST_F(Scenarios, ProfilesCarryTheirSources) {
  const Gpu gpu = load_gpu("a100");
  EXPECT_EQ(gpu.memory.value, 80_GiB);
  EXPECT_EQ(gpu.memory.basis, Basis::datasheet);
  EXPECT_EQ(gpu.memory.source, "sheet");
  EXPECT_EQ(gpu.peak.at(Precision::bf16).value, 312.0_TFLOPS);
  EXPECT_EQ(gpu.gemm.at(Precision::bf16).tiles.size(), 2u);
  EXPECT_EQ(gpu.attention.kernels.at("flash2").forward.causal_half_length.value, 345);
  EXPECT_EQ(gpu.sms.value, 108);
}

TEST_F(Scenarios, AProfileExtendsAnother) {
  const Gpu gpu = load_gpu("a100-small");
  EXPECT_EQ(gpu.name, "a100-small");
  EXPECT_EQ(gpu.description, "A smaller GPU");
  EXPECT_EQ(gpu.memory.value, 40_GiB);
  EXPECT_EQ(gpu.memory.basis, Basis::datasheet);  // its own
  EXPECT_EQ(gpu.hbm_bandwidth.value, 2039.0_GBps);
  EXPECT_EQ(gpu.hbm_bandwidth.basis, Basis::assumed);  // inherited, and re-marked
  EXPECT_EQ(gpu.hbm_bandwidth.source, "the same die: sheet");
  EXPECT_FALSE(gpu.peak.contains(Precision::fp32));             // erased by null
  EXPECT_EQ(gpu.peak.at(Precision::tf32).value, 156.0_TFLOPS);  // added
  EXPECT_EQ(gpu.peak.at(Precision::bf16).basis, Basis::assumed);
}

TEST_F(Scenarios, AFrameworkProfileMayBeForAVersion) {
  put("hardware_profiles/frameworks/megatron-core-old.yaml",
      "extends: megatron-core\nversion_contains: torch 1.13\ndescription: \"Old\"\n");
  const auto framework_of = [&](const std::string& version) {
    return job_of(scenario + ("framework: {name: megatron-core, version: '" + version + "'}\n")).framework.name;
  };
  EXPECT_EQ(framework_of("NeMo, torch 1.13.1"), "megatron-core-old");
  EXPECT_EQ(framework_of("NeMo, torch 2.1"), "megatron-core");
}

// --- clusters ----------------------------------------------------------------------------------------------------

struct ClusterCase {
  const char* name;
  const char* cluster;
  std::int64_t gpus;
  int gpus_per_node;
  const char* node;
  const char* fabric;
};

class Clusters : public Scenarios, public testing::WithParamInterface<ClusterCase> {};

TEST_P(Clusters, AreResolved) {
  const ClusterCase& expected = GetParam();
  const Job job = job_of(replaced(with_plan("{global_batch: 4800, sequence_length: 2048}"),
                                  "{node: dgx-a, nodes: 2, fabric: hdr200x8}", expected.cluster));
  EXPECT_EQ(job.cluster.gpus, expected.gpus);
  EXPECT_EQ(job.cluster.gpus_per_node, expected.gpus_per_node);
  EXPECT_EQ(job.cluster.node.name, expected.node);
  EXPECT_EQ(job.cluster.fabric.name, expected.fabric);
}

INSTANTIATE_TEST_SUITE_P(
    Descriptions, Clusters,
    testing::Values(
        //           name                     cluster                                                   gpus per node    fabric
        ClusterCase{"preset", "big", 800, 8, "dgx-a", "hdr200x8"},
        ClusterCase{"preset_with_fewer_nodes", "{extends: big, nodes: 3}", 24, 8, "dgx-a", "hdr200x8"},
        ClusterCase{"preset_with_fewer_gpus", "{extends: big, gpus: 16}", 16, 8, "dgx-a", "hdr200x8"},
        ClusterCase{"node_and_gpus", "{node: dgx-a, gpus: 16, fabric: hdr200x8}", 16, 8, "dgx-a", "hdr200x8"},
        ClusterCase{"part_of_each_node", "{node: dgx-a, nodes: 2, gpus_per_node: 4, fabric: hdr200x8}", 8, 4, "dgx-a",
                    "hdr200x8"},
        ClusterCase{"gpu_alone", "{gpu: a100, gpus: 16}", 16, 8, "dgx-a", "hdr200x8"},
        ClusterCase{"gpu_of_smaller_nodes", "{gpu: a100-small, gpus: 4}", 4, 4, "rack", "none"},
        ClusterCase{"node_of_that_size", "{gpu: a100, gpus: 8, gpus_per_node: 4, fabric: hdr200x8}", 8, 4, "hgx-a-4",
                    "hdr200x8"},
        ClusterCase{"next_larger_node", "{gpu: a100, gpus: 12, gpus_per_node: 6, fabric: hdr200x8}", 12, 6, "dgx-a",
                    "hdr200x8"},
        ClusterCase{"less_than_a_node", "{gpu: a100, gpus: 2, gpus_per_node: 8, fabric: none}", 2, 8, "dgx-a", "none"},
        ClusterCase{"one_node_needs_no_fabric", "{gpu: a100, gpus: 8}", 8, 8, "dgx-a", "none"},
        ClusterCase{"unknown_fabric", "{gpu: a100, gpus: 16, gpus_per_node: 8, fabric: unknown}", 16, 8, "dgx-a",
                    "hdr200x8"},
        ClusterCase{"one_rack_needs_no_fabric", "{node: rack, nodes: 4}", 16, 4, "rack", "none"},
        ClusterCase{"fabric_between_racks", "{node: rack, nodes: 20}", 80, 4, "rack", "nvl72-ndr400"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(Scenarios, WhatAnUnknownFabricWasTakenForIsAssumed) {
  const Job job = job_of(replaced(scenario, "fabric: hdr200x8", "fabric: unknown"));
  EXPECT_THAT(job.assumed, ElementsAre("cluster.fabric: hdr200x8 (usual with ampere GPUs; the source does not say)"));
}

TEST_F(Scenarios, APresetMayBeAPathFromTheFileThatNamesIt) {
  put("mine/model.yaml", model_file);
  EXPECT_EQ(job_of(replaced(scenario, "model: gpt-1.3b", "model: mine/model.yaml")).model.name, "model");
  EXPECT_EQ(job_of(replaced(scenario, "model: gpt-1.3b", "model: {extends: mine/model.yaml, layers: 3}")).model.layers,
            3);
}

// --- models ------------------------------------------------------------------------------------------------------

TEST_F(Scenarios, TheNormTellsTheFamily) {
  const Job job = job_of(replaced(
      scenario, "gpt-1.3b", "{layers: 4, hidden: 512, heads: 8, kv_heads: 2, ffn: 2048, vocab: 1000, norm: rmsnorm}"));
  EXPECT_EQ(job.model.activation, Activation::swiglu);
  EXPECT_EQ(job.model.position, Position::rope);
  EXPECT_FALSE(job.model.bias);
  EXPECT_FALSE(job.model.tied_embeddings);
  EXPECT_EQ(job.model.kv_heads, 2);
  EXPECT_FALSE(job.model.dropout);
}

TEST_F(Scenarios, ExpertsAndLatentAttention) {
  const Job job = job_of(replaced(scenario, "gpt-1.3b", R"(
  layers: 4
  hidden: 512
  heads: 8
  ffn: null
  vocab: 1000
  moe: {experts: 8, top_k: 2, expert_ffn: 1024, shared_experts: 2}
  mla: {q_lora_rank: null, kv_lora_rank: 128, qk_nope_head_dim: 64, qk_rope_head_dim: 32, v_head_dim: 64})"));
  EXPECT_FALSE(job.model.ffn);
  EXPECT_EQ(job.model.moe->moe_layers, 4);
  EXPECT_EQ(job.model.moe->shared_ffn, 2048);
  EXPECT_FALSE(job.model.moe->capacity_factor);
  EXPECT_FALSE(job.model.mla->q_lora_rank);
  EXPECT_EQ(job.model.mla->kv_lora_rank, 128);
  EXPECT_EQ(job.model.moe->groups_per_token, 1);
}

TEST_F(Scenarios, HowTokensChooseTheirExperts) {
  const std::string routed =
      replaced(scenario, "gpt-1.3b", "{extends: gpt-1.3b, moe: {experts: 4, top_k: 2, expert_ffn: 64}}");
  EXPECT_EQ(job_of(routed).plan.expert_load, "balanced");
  EXPECT_EQ(job_of(routed + "  expert_load: zipf-0.5\n").plan.expert_load, "zipf-0.5");
  EXPECT_THAT(job_of(routed + "  expert_load: [4, 3, 2, 1.5]\n").plan.expert_histogram, ElementsAre(4, 3, 2, 1.5));
  const auto refused = [&](const std::string& load, const std::string& problem) {
    EXPECT_THAT(refusal_of(routed + "  expert_load: " + load + "\n"), testing::HasSubstr(problem)) << load;
  };
  refused("[1, 2]", "plan.expert_load has 2 entries that add up to 3; the model has 4 experts");
  refused("[0, 0, 0, 0]", "add up to 0");
  refused("zipf", "must be balanced, zipf-<exponent>");
  refused("zipf-nan", "must be balanced, zipf-<exponent>");
  refused("[1, -2, 3, 4]", "expert_load");
  EXPECT_THAT(refusal_of(std::string(scenario) + "  expert_load: balanced\n"),
              testing::HasSubstr("expert_load without experts in the model"));
}

TEST_F(Scenarios, WhatIsTrained) {
  const auto job = [&](const std::string& plan) { return job_of(std::string(scenario) + plan); };
  const Job tuned = job("  lora: {rank: 8, alpha: 16, targets: [q_proj, v_proj]}\n  frozen_layers: 2\n");
  EXPECT_EQ(tuned.plan.lora->rank, 8);
  EXPECT_THAT(tuned.plan.lora->targets, ElementsAre("q_proj", "v_proj"));
  EXPECT_EQ(tuned.plan.frozen_layers, 2);
  EXPECT_EQ(job("  lora: {rank: 4}\n").plan.lora->targets.size(), 4u);
  // 512 of 1,024 tokens, 256 of 512: (1,024^2 + 2 x 512^2) / 2,048.
  EXPECT_DOUBLE_EQ(*job("  packed: [1024, 512, 512]\n").plan.attention_length, 768);
  EXPECT_DOUBLE_EQ(*job("  packed: {mean: 500, deviation: 100}\n").plan.attention_length, 520);

  const auto refused = [&](const std::string& plan, const std::string& problem) {
    EXPECT_THAT(refusal_of(std::string(scenario) + plan), testing::HasSubstr(problem)) << plan;
  };
  refused("  lora: {targets: [q_proj]}\n", "rank");
  refused("  lora: {rank: 8, targets: [qproj]}\n", "did you mean 'q_proj'?");
  refused("  lora: {rank: 8, targets: []}\n", "stepcast list adapters");
  refused("  frozen_layers: 1000\n", "frozen_layers");
  refused("  packed: [2048, 1]\n", "adds up to 2049 tokens, the sequence has 2048");
  refused("  packed: {deviation: 3}\n", "mean");
  refused("  decoder_length: 128\n", "decoder_length without an encoder in the model");
}

TEST_F(Scenarios, StacksOfLayers) {
  const auto model = [&](const std::string& keys) {
    return replaced(scenario, "gpt-1.3b", "{extends: gpt-1.3b, " + keys + "}");
  };
  const std::string ssm = "ssm: {heads: 64, groups: 8}";
  const auto refused = [&](const std::string& keys, const std::string& problem) {
    EXPECT_THAT(refusal_of(model(keys)), testing::HasSubstr(problem)) << keys;
  };
  refused("pattern: MX", "must be letters of M (state space), * (attention), - (MLP) and E (experts)");
  refused("pattern: M-", "state-space layers (M), but there is no ssm");
  refused("pattern: '*-', " + ssm, "has no state-space layer (M)");
  refused(ssm, "needs a pattern");
  refused("pattern: ME, layers: 2, " + ssm, "pattern and moe disagree");
  refused("classes: 10, head: language", "go together");
  refused("encoder_layers: 24", "encoder_layers");
  const Job hybrid = job_of(model("pattern: M-*-, layers: 4, " + ssm));
  EXPECT_EQ(hybrid.model.layers, 4);
  EXPECT_EQ(hybrid.model.layers_with(LayerLetter::mlp), 2);
}

TEST_F(Scenarios, GroupsOfExperts) {
  const auto routed = [&](const std::string& groups) {
    return replaced(scenario, "gpt-1.3b",
                    "{extends: gpt-1.3b, moe: {experts: 8, top_k: 4, expert_ffn: 64, " + groups + "}}");
  };
  EXPECT_EQ(job_of(routed("groups: 4, groups_per_token: 2")).model.moe->groups_per_token, 2);
  EXPECT_EQ(job_of(routed("groups: 4")).model.moe->groups_per_token, 4);
  EXPECT_THAT(refusal_of(routed("groups: 3")), testing::HasSubstr("8 experts do not divide by 3"));
  EXPECT_THAT(refusal_of(routed("groups: 4, groups_per_token: 1")), testing::HasSubstr("fewer than top_k 4"));
}

// A key of its own wins over the notes.
TEST_F(Scenarios, TheNotesOfARunNameItsDispatcher) {
  const std::string run =
      std::string(scenario) + "source: {title: t}\nnotes: \"fp8; dispatcher: flex + HybridEP; rest\"\n";
  EXPECT_EQ(job_of(run).plan.dispatcher, "hybridep");
  EXPECT_EQ(job_of(std::string(scenario) + "source: {title: t}\nnotes: \"dispatcher: A2A\"\n").plan.dispatcher,
            "alltoall");
  EXPECT_EQ(job_of(run + "framework: {dispatcher: deepep}\n").plan.dispatcher, "deepep");
  EXPECT_EQ(job_of(scenario).plan.dispatcher, std::nullopt);
}

// --- plans -------------------------------------------------------------------------------------------------------

TEST_F(Scenarios, EveryKeyOfAPlan) {
  const Job job = job_of(R"(
model: gpt-1.3b
cluster: big
plan:
  tensor_parallel: 4
  sequence_parallel: true
  pipeline_parallel: 2
  virtual_stages: 2
  layer_split: [5, 6, 6, 7]
  schedule: interleaved-1f1b
  data_parallel: 50
  context_parallel: 2
  expert_parallel: 1
  expert_tensor_parallel: 2
  microbatch: 3
  global_batch: 300
  sequence_length: 4096
  zero: 1
  shard_group: 10
  reshard_after_forward: false
  recompute: selective-norm-act
  precision: fp8
  grad_reduce_dtype: fp32
  optimizer: adam
  cpu_offload: optimizer
framework:
  name: nemo
  version: 24.12
  flash_attention: true
  torch_compile: false
  fp8_recipe: delayed
  overlap_grad_reduce: true
  overlap_param_gather: false
  overlap_tp: null
  overlap_p2p: true
  overlap_ep: false
  cuda_graphs: true
flops_convention: palm
)");
  const ParallelPlan& plan = job.plan;
  EXPECT_EQ(plan.gpus(), 800);
  EXPECT_TRUE(plan.sequence_parallel);
  EXPECT_EQ(plan.layer_split, LayerSplit::given);
  EXPECT_THAT(plan.stage_layers, ElementsAre(5, 6, 6, 7));
  EXPECT_EQ(plan.schedule, "interleaved-1f1b");
  EXPECT_EQ(plan.expert_tensor_parallel, 2);
  EXPECT_EQ(plan.shard_group, 10);
  EXPECT_EQ(plan.reshard_after_forward, false);
  EXPECT_EQ(plan.recompute, "selective-norm-act");
  EXPECT_EQ(plan.precision, Precision::fp8);
  EXPECT_EQ(plan.grad_reduce_dtype, "fp32");
  EXPECT_EQ(plan.cpu_offload, "optimizer");
  EXPECT_EQ(plan.flash_attention, true);
  EXPECT_EQ(plan.fp8_recipe, "delayed");
  EXPECT_EQ(plan.overlap_tp, std::nullopt);
  EXPECT_EQ(plan.cuda_graphs, true);
  EXPECT_EQ(job.framework_version, "24.12");
  EXPECT_EQ(job.flops_convention, "palm");
  EXPECT_EQ(job.name, "s");  // the file's
}

// --- what is refused ---------------------------------------------------------------------------------------------

struct Refusal {
  const char* name;
  std::string text;
  std::string message;
};

class RefusedScenarios : public Scenarios, public testing::WithParamInterface<Refusal> {};

TEST_P(RefusedScenarios, WithPlaceProblemAndRemedy) { EXPECT_EQ(refusal_of(GetParam().text), GetParam().message); }

const auto case_name = [](const auto& c) { return std::string(c.param.name); };

INSTANTIATE_TEST_SUITE_P(
    TopLevel, RefusedScenarios,
    testing::Values(
        Refusal{"misspelt_key", replaced(scenario, "cluster:", "clutser:"),
                "s.yaml:3:1: unknown key 'clutser', did you mean 'cluster'? (one of: name, model, cluster, plan, "
                "framework, flops_convention, faults, jitter, executor, seed, price, id and 6 more)\n"
                "    clutser: {node: dgx-a, nodes: 2, fabric: hdr200x8}\n"
                "    ^ near here"},
        Refusal{"no_plan", "model: gpt-1.3b\ncluster: big\n",
                "s.yaml:1:1: plan is missing\n    model: gpt-1.3b\n    ^ near here"},
        Refusal{"plan_is_null", "model: gpt-1.3b\ncluster: big\nplan:\n",
                "s.yaml:3:1: plan is missing\n    plan:\n    ^ near here"},
        Refusal{"plan_is_text", "model: gpt-1.3b\ncluster: big\nplan: all of it\n",
                "s.yaml:3:7: plan must be a map of keys, not 'all of it'\n    plan: all of it\n          ^ near here"},
        Refusal{"fault_of_no_node", std::string(scenario) + "faults:\n  - {node: 2, speed: 0.9}\n",
                "s.yaml:11:12: faults[0].node: there is no number 2 of its 2 nodes, which count from 0\n"
                "    - {node: 2, speed: 0.9}\n             ^ near here"},
        Refusal{"fault_of_no_nic", std::string(scenario) + "faults:\n  - {node: 1, nic: 8, failed: true}\n",
                "s.yaml:11:20: faults[0].nic: there is no number 8 of its 8 NICs of a node, which count from 0\n"
                "    - {node: 1, nic: 8, failed: true}\n                     ^ near here"},
        Refusal{"fault_that_says_nothing", std::string(scenario) + "faults:\n  - {gpu: 15}\n",
                "s.yaml:11:5: a fault has a `speed`, or is `failed: true`\n"
                "    - {gpu: 15}\n      ^ near here"},
        Refusal{"faults_of_no_list", std::string(scenario) + "faults: {slow: 1}\n",
                "s.yaml:10:9: faults must be a list of faults, as in [{node: 3, speed: 0.9}], not a map\n"
                "    faults: {slow: 1}\n            ^ near here"},
        Refusal{"convention", std::string(scenario) + "flops_convention: plam\n",
                "s.yaml:10:19: unknown flops convention 'plam', did you mean 'palm'? (one of: megatron-full-recompute, "
                "megatron-full-attention, megatron-causal, full-attention, causal-half, hfu-full, 6nd, palm, unknown)\n"
                "    flops_convention: plam\n"
                "                      ^ near here"},
        Refusal{"id", std::string(scenario) + "id: My Run\n",
                "s.yaml:10:5: id must be small letters, digits, '.' and '-', not 'My Run'\n"
                "    id: My Run\n"
                "        ^ near here"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Models, RefusedScenarios,
    testing::Values(
        Refusal{"unknown", replaced(scenario, "gpt-1.3b", "gpt-1.8b"),
                "s.yaml:2:8: unknown model 'gpt-1.8b', did you mean 'gpt-1.3b'? (one of: gpt-1.3b)\n"
                "    model: gpt-1.8b\n"
                "           ^ near here"},
        Refusal{"no_such_file", replaced(scenario, "gpt-1.3b", "models/gpt.yaml"),
                "s.yaml:2:8: there is no file models/gpt.yaml\n    model: models/gpt.yaml\n           ^ near here"},
        Refusal{"list", replaced(scenario, "gpt-1.3b", "[gpt-1.3b]"),
                "s.yaml:2:8: model must be a preset's name, a path or a map, not a list\n"
                "    model: [gpt-1.3b]\n"
                "           ^ near here"},
        Refusal{"hugging_face", replaced(scenario, "gpt-1.3b", "{hf: config.json}"),
                "s.yaml:2:13: there is no file config.json\n"
                "    model: {hf: config.json}\n"
                "                ^ near here"},
        Refusal{"groups", replaced(scenario, "gpt-1.3b", "{extends: gpt-1.3b, kv_heads: 5}"),
                "s.yaml:2:38: model.kv_heads: 16 heads do not divide by 5\n"
                "    model: {extends: gpt-1.3b, kv_heads: 5}\n"
                "                                         ^ near here"},
        Refusal{"head_dim", replaced(scenario, "gpt-1.3b", "{extends: gpt-1.3b, heads: 15}"),
                "s.yaml:2:35: model.head_dim is missing, and hidden 2048 does not divide by 15 heads\n"
                "    model: {extends: gpt-1.3b, heads: 15}\n"
                "                                      ^ near here"},
        Refusal{"no_mlp", replaced(scenario, "gpt-1.3b", "{layers: 4, hidden: 512, heads: 8, vocab: 1000}"),
                "s.yaml:2:1: model.ffn is missing: 4 of 4 layers have a dense MLP\n"
                "    model: {layers: 4, hidden: 512, heads: 8, vocab: 1000}\n"
                "    ^ near here"},
        Refusal{"too_many_experts_chosen",
                replaced(scenario, "gpt-1.3b", "{extends: gpt-1.3b, moe: {experts: 4, top_k: 5, expert_ffn: 64}}"),
                "s.yaml:2:53: model.moe.top_k must be a whole number from 1 to 4, not '5'\n"
                "    model: {extends: gpt-1.3b, moe: {experts: 4, top_k: 5, expert_ffn: 64}}\n"
                "                                                        ^ near here"},
        Refusal{"too_many_moe_layers",
                replaced(scenario, "gpt-1.3b",
                         "{extends: gpt-1.3b, moe: {experts: 4, top_k: 1, expert_ffn: 64, moe_layers: 25}}"),
                "s.yaml:2:84: model.moe.moe_layers must be a whole number from 1 to 24, not '25'\n"
                "    model: {extends: gpt-1.3b, moe: {experts: 4, top_k: 1, expert_ffn: 64, moe_layers: 25}}\n"
                "                                                                                       ^ near here"},
        Refusal{"dropout", replaced(scenario, "gpt-1.3b", "{extends: gpt-1.3b, dropout: 10%}"),
                "s.yaml:2:37: model.dropout must be a number from 0 to 1, not '10%'\n"
                "    model: {extends: gpt-1.3b, dropout: 10%}\n"
                "                                        ^ near here"}),
    case_name);

const std::string dgx = "{node: dgx-a, nodes: 2, fabric: hdr200x8}";

INSTANTIATE_TEST_SUITE_P(
    Clusters, RefusedScenarios,
    testing::Values(
        Refusal{"gpu", replaced(scenario, dgx, "{gpu: a10, gpus: 8}"),
                "s.yaml:3:16: unknown GPU 'a10', did you mean 'a100'? (one of: a100, a100-small)\n"
                "    cluster: {gpu: a10, gpus: 8}\n"
                "                   ^ near here"},
        Refusal{"other_gpu_than_the_nodes", replaced(scenario, dgx, "{node: dgx-a, gpu: a100-small, nodes: 2}"),
                "s.yaml:3:29: the node 'dgx-a' has the GPU 'a100', not 'a100-small'\n"
                "    cluster: {node: dgx-a, gpu: a100-small, nodes: 2}\n"
                "                                ^ near here"},
        Refusal{"no_such_node_size", replaced(scenario, dgx, "{gpu: a100, gpus: 16, gpus_per_node: 16}"),
                "s.yaml:3:47: no node preset has 16 GPUs 'a100' (there is hgx-a-4 (4 GPUs), dgx-a (8 GPUs))\n"
                "    cluster: {gpu: a100, gpus: 16, gpus_per_node: 16}\n"
                "                                                  ^ near here"},
        Refusal{"more_than_the_node_has", replaced(scenario, dgx, "{node: dgx-a, nodes: 2, gpus_per_node: 9}"),
                "s.yaml:3:49: cluster.gpus_per_node must be a whole number from 1 to 8, not '9'\n"
                "    cluster: {node: dgx-a, nodes: 2, gpus_per_node: 9}\n"
                "                                                    ^ near here"},
        Refusal{"too_many", replaced(scenario, dgx, "{gpu: a100, gpus: 1000000000000000000}"),
                "s.yaml:3:28: cluster.gpus must be a whole number from 1 to 100,000,000, not '1000000000000000000'\n"
                "    cluster: {gpu: a100, gpus: 1000000000000000000}\n"
                "                               ^ near here"},
        Refusal{"as_a_float", replaced(scenario, dgx, "{gpu: a100, gpus: 1e3}"),
                "s.yaml:3:28: cluster.gpus must be a whole number from 1 to 100,000,000, not '1e3'\n"
                "    cluster: {gpu: a100, gpus: 1e3}\n"
                "                               ^ near here"},
        Refusal{"none", replaced(scenario, dgx, "{gpu: a100, gpus: 0}"),
                "s.yaml:3:28: cluster.gpus must be a whole number from 1 to 100,000,000, not '0'\n"
                "    cluster: {gpu: a100, gpus: 0}\n"
                "                               ^ near here"},
        Refusal{"how_many", replaced(scenario, dgx, "{node: dgx-a}"),
                "s.yaml:3:1: cluster.gpus is missing\n    cluster: {node: dgx-a}\n    ^ near here"},
        Refusal{"part_of_a_node", replaced(scenario, dgx, "{gpu: a100, gpus: 12}"),
                "s.yaml:3:28: 12 GPUs do not fill nodes of 8\n"
                "    cluster: {gpu: a100, gpus: 12}\n"
                "                               ^ near here"},
        Refusal{"nodes_against_gpus", replaced(scenario, dgx, "{node: dgx-a, nodes: 2, gpus: 8}"),
                "s.yaml:3:40: 2 nodes of 8 GPUs are 16 GPUs, not 8\n"
                "    cluster: {node: dgx-a, nodes: 2, gpus: 8}\n"
                "                                           ^ near here"},
        Refusal{"no_network", replaced(scenario, "fabric: hdr200x8", "fabric: none"),
                "s.yaml:3:42: fabric 'none' cannot join 16 GPUs in nodes of 8\n"
                "    cluster: {node: dgx-a, nodes: 2, fabric: none}\n"
                "                                             ^ near here"},
        Refusal{"fabric", replaced(scenario, "fabric: hdr200x8", "fabric: hdr20x8"),
                "s.yaml:3:42: unknown fabric 'hdr20x8', did you mean 'hdr200x8'? (one of: hdr200x8, none, "
                "nvl72-ndr400)\n"
                "    cluster: {node: dgx-a, nodes: 2, fabric: hdr20x8}\n"
                "                                             ^ near here"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Plans, RefusedScenarios,
    testing::Values(
        Refusal{"misspelt_before_missing", replaced(scenario, "sequence_length", "sequence_lenght"),
                "s.yaml:9:3: unknown plan key 'sequence_lenght', did you mean 'sequence_length'? (one of: "
                "tensor_parallel, tensor_grid, tensor_depth, sequence_parallel, pipeline_parallel, virtual_stages, "
                "layer_split, schedule, data_parallel, context_parallel, context_parallel_a2a, placement and 30 more)\n"
                "    sequence_lenght: 2048\n"
                "    ^ near here"},
        Refusal{"duplicate", std::string(scenario) + "  microbatch: 3\n",
                "s.yaml:10:3: 'microbatch' is given twice (first in line 7)\n    microbatch: 3\n    ^ near here"},
        Refusal{
            "placement", std::string(scenario) + "  placement: tp-dp-xp\n",
            "s.yaml:10:14: plan.placement: unknown dimension of a rank order 'xp', did you mean 'tp'? (one of: tp, cp, "
            "ep, dp, pp)\n    placement: tp-dp-xp\n               ^ near here"},
        Refusal{"placement_without_stages", std::string(scenario) + "  placement: tp-dp\n",
                "s.yaml:10:14: plan.placement: the rank order leaves out pp, whose degree is 4\n"
                "    placement: tp-dp\n               ^ near here"},
        Refusal{"degree_of_zero", replaced(scenario, "tensor_parallel: 2", "tensor_parallel: 0"),
                "s.yaml:5:20: plan.tensor_parallel must be a whole number from 1 to 10,000,000, not '0'\n"
                "    tensor_parallel: 0\n"
                "                     ^ near here"},
        Refusal{"negative_batch", replaced(scenario, "global_batch: 64", "global_batch: -64"),
                "s.yaml:8:17: plan.global_batch must be a whole number from 1 to 1,000,000,000, not '-64'\n"
                "    global_batch: -64\n"
                "                  ^ near here"},
        Refusal{"degrees_against_gpus", replaced(scenario, "pipeline_parallel: 4", "pipeline_parallel: 3"),
                "s.yaml:6:22: tensor_parallel 2 x context_parallel 1 x pipeline_parallel 3 do not divide the cluster's "
                "16 GPUs\n"
                "    pipeline_parallel: 3\n"
                "                       ^ near here"},
        Refusal{"degrees_beyond_any_product", replaced(scenario, "  microbatch: 2\n", "  context_parallel: 10000000\n"),
                "s.yaml:7:21: tensor_parallel 2 x context_parallel 10000000 x pipeline_parallel 4 do not divide the "
                "cluster's 16 GPUs\n"
                "    context_parallel: 10000000\n"
                "                      ^ near here"},
        Refusal{"data_parallel", std::string(scenario) + "  data_parallel: 4\n",
                "s.yaml:10:18: tensor_parallel 2 x context_parallel 1 x pipeline_parallel 4 x data_parallel 4 do not "
                "multiply to the cluster's 16 GPUs\n"
                "    data_parallel: 4\n"
                "                   ^ near here"},
        Refusal{"batch", replaced(scenario, "global_batch: 64", "global_batch: 63"),
                "s.yaml:8:17: plan.global_batch: 63 sequences do not divide by microbatch 2 x data_parallel 2\n"
                "    global_batch: 63\n"
                "                  ^ near here"},
        Refusal{"schedule", std::string(scenario) + "  schedule: 1f1\n",
                "s.yaml:10:13: unknown schedule '1f1', did you mean '1f1b'? (one of: none, gpipe, 1f1b, "
                "interleaved-1f1b, breadth-first, zb-h1, zb-h2, zb-1p, zb-2p, zb-v, v-half, v-min and 3 more)\n"
                "    schedule: 1f1\n"
                "              ^ near here"},
        Refusal{"no_schedule", std::string(scenario) + "  schedule: none\n",
                "s.yaml:10:13: schedule 'none' cannot run 4 pipeline stages\n"
                "    schedule: none\n"
                "              ^ near here"},
        Refusal{"too_few_chunks", std::string(scenario) + "  layer_split: [12, 12]\n",
                "s.yaml:10:16: plan.layer_split has 2 entries, but pipeline_parallel 4 x virtual_stages 1 make 4 "
                "chunks\n"
                "    layer_split: [12, 12]\n"
                "                 ^ near here"},
        Refusal{"too_few_layers", std::string(scenario) + "  layer_split: [6, 6, 6, 5]\n",
                "s.yaml:10:16: plan.layer_split adds up to 23 layers, the model has 24\n"
                "    layer_split: [6, 6, 6, 5]\n"
                "                 ^ near here"},
        Refusal{"layer_split", std::string(scenario) + "  layer_split: odd\n",
                "s.yaml:10:16: unknown layer split 'odd' (one of: even, embedding-and-loss-as-layers)\n"
                "    layer_split: odd\n"
                "                 ^ near here"},
        Refusal{"recompute", std::string(scenario) + "  recompute: selectiv\n",
                "s.yaml:10:14: unknown recompute 'selectiv', did you mean 'selective'? (one of: none, selective, full, "
                "selective-op, save-dot-only, save-qkv-out-proj, every-other-layer, selective-layer, minimal-flash)\n"
                "    recompute: selectiv\n"
                "               ^ near here"},
        Refusal{"experts", std::string(scenario) + "  expert_parallel: 2\n",
                "s.yaml:10:20: expert_parallel 2 without experts in the model\n"
                "    expert_parallel: 2\n"
                "                     ^ near here"},
        Refusal{"yes", std::string(scenario) + "  sequence_parallel: yes\n",
                "s.yaml:10:22: plan.sequence_parallel must be true or false, not 'yes'\n"
                "    sequence_parallel: yes\n"
                "                       ^ near here"}),
    case_name);

TEST_F(Scenarios, MistakesInProfilesAreFoundInTheirFile) {
  put("hardware_profiles/gpus/a100.yaml", replaced(gpu_file, "400 W", "400"));
  EXPECT_EQ(refusal_of(scenario),
            "hardware_profiles/gpus/a100.yaml:13:22: power_limit.value needs a unit after the number 400 (one of: W, "
            "kW, MW)\n"
            "    power_limit: {value: 400, basis: datasheet, source: \"sheet\"}\n"
            "                         ^ near here");
  put("hardware_profiles/gpus/a100.yaml",
      replaced(gpu_file, "power_limit: {value: 400 W, basis: datasheet,", "power_limit: {value: 400 W,"));
  EXPECT_EQ(refusal_of(scenario),
            "hardware_profiles/gpus/a100.yaml:13:1: power_limit.basis is missing\n"
            "    power_limit: {value: 400 W, source: \"sheet\"}\n"
            "    ^ near here");
  put("hardware_profiles/gpus/a100.yaml", replaced(gpu_file, "  bf16: {value: 312", "  bf61: {value: 312"));
  EXPECT_EQ(refusal_of(scenario),
            "hardware_profiles/gpus/a100.yaml:9:3: unknown precision 'bf61', did you mean 'bf16'? (one of: fp32, tf32, "
            "fp16, bf16, fp8)\n"
            "    bf61: {value: 312 TFLOP/s, basis: datasheet, source: \"sheet\"}\n"
            "    ^ near here");
}

TEST_F(Scenarios, WhatIsDividedByIsNotZero) {
  put("hardware_profiles/gpus/a100.yaml", replaced(gpu_file, "2039 GB/s", "0 GB/s"));
  EXPECT_THAT(refusal_of(scenario), HasSubstr("hbm_bandwidth.value must be more than zero"));
  put("hardware_profiles/gpus/a100.yaml", replaced(gpu_file, "peak_fraction: {value: 0.8", "peak_fraction: {value: 0"));
  EXPECT_THAT(refusal_of(scenario), HasSubstr("gemm.bf16.peak_fraction must be more than zero"));
  put("hardware_profiles/gpus/a100.yaml", replaced(gpu_file, "sms: {value: 108", "sms: {value: 0"));
  EXPECT_THAT(refusal_of(scenario), HasSubstr("sms.value must be a whole number from 1 to"));
}

TEST_F(Scenarios, AResidualSurfaceFitsItsGrid) {
  const auto with_surface = [&](const std::string& surface) {
    put("hardware_profiles/gpus/a100.yaml",
        replaced(gpu_file, "    peak_fraction:",
                 "    residual: {" + surface + ", basis: fitted, source: fit}\n    peak_fraction:"));
  };
  with_surface(
      "m: [10, 12], n: [10], k: [8, 9, 10], log_ratio: [0.1, -0.1, 0, 0, 0, 0.2], support: [1, 2, 0, 0, 3, 4]");
  const ResidualSurface surface = load_gpu("a100").gemm.at(Precision::bf16).residual;
  EXPECT_THAT(surface.axes[2], ElementsAre(8, 9, 10));
  EXPECT_THAT(surface.log_ratio, ElementsAre(0.1, -0.1, 0, 0, 0, 0.2));
  EXPECT_THAT(surface.support, ElementsAre(1, 2, 0, 0, 3, 4));
  EXPECT_EQ(surface.basis, Basis::fitted);
  EXPECT_EQ(load_gpu("a100-small").gemm.at(Precision::bf16).residual.source, "the same die: fit");

  with_surface("m: [10, 12], n: [10], k: [8], log_ratio: [0.1], support: [1]");
  EXPECT_THAT(refusal_of(scenario), HasSubstr("residual.log_ratio has 1 numbers, but m x n x k make 2 points"));
  with_surface("m: [12, 10], n: [10], k: [8], log_ratio: [0.1, 0], support: [1, 1]");
  EXPECT_THAT(refusal_of(scenario), HasSubstr("residual.m must hold increasing numbers"));
  with_surface("m: [10, 12], n: [10], k: [8], log_ratio: [0.1, 4], support: [1, 1]");
  EXPECT_THAT(refusal_of(scenario), HasSubstr("residual.log_ratio[1] must be a number from -3 to 3, not '4'"));
}

TEST_F(Scenarios, UnknownFrameworksAreRefusedBySuggestion) {
  const std::string message = refusal_of(std::string(scenario) + "framework: megatron-cor\n");
  EXPECT_THAT(message,
              testing::StartsWith("s.yaml:10:12: unknown framework 'megatron-cor', did you mean 'megatron-core'?"));
}

TEST_F(Scenarios, AProfileCannotExtendItself) {
  put("hardware_profiles/gpus/a100.yaml", "extends: a100-small\n");
  EXPECT_EQ(refusal([] { load_gpu("a100"); }),
            "hardware_profiles/gpus/a100-small.yaml:1:10: a100 extends itself\n"
            "    extends: a100\n"
            "             ^ near here");
}

TEST_F(Scenarios, FilesThatCannotBeRead) {
  EXPECT_EQ(refusal([&] { load_job((folder_ / "none.yaml").string()); }),
            "cannot read none.yaml: No such file or directory");
  EXPECT_EQ(refusal([&] { load_job((folder_ / "models").string()); }), "cannot read models: it is a folder");
  EXPECT_EQ(refusal_of(""), "s.yaml: the file is empty");
  EXPECT_EQ(refusal([&] { job_of(std::string("a\0b", 3)); }),
            "cannot read s.yaml: it is not a text file (it contains NUL bytes)");
}

// --- overrides ---------------------------------------------------------------------------------------------------

TEST(ParseOverride, SplitsAtTheFirstEqualsSign) {
  EXPECT_EQ(parse_override("plan.zero=1"), Override("plan.zero", "1"));
  EXPECT_EQ(parse_override("name=a=b"), Override("name", "a=b"));
  EXPECT_EQ(parse_override("plan.zero="), Override("plan.zero", ""));
  for (const char* text : {"plan.zero", "=1", ""}) {
    try {
      parse_override(text);
      FAIL() << text;
    } catch (const UserError& error) {
      EXPECT_EQ(error.what(), std::string("--set ") + text + ": write key=value, as in --set plan.tensor_parallel=4");
    }
  }
}

TEST_F(Scenarios, OverridesReplaceWhatIsWritten) {
  const std::string stated = std::string(scenario) + "  data_parallel: 2\n";
  EXPECT_EQ(job_of(stated, {{"plan.microbatch", "4"}}).plan.microbatch, 4);
  EXPECT_EQ(job_of(stated, {{"plan.recompute", "full"}}).plan.recompute, "full");
  EXPECT_EQ(job_of(stated, {{"plan.layer_split", "[5, 6, 6, 7]"}}).plan.stage_layers.size(), 4u);
  EXPECT_EQ(job_of(stated, {{"name", "other"}}).name, "other");
}

TEST_F(Scenarios, OverridingADegreeRecomputesDataParallelism) {
  const std::string stated = std::string(scenario) + "  data_parallel: 2\n  schedule: 1f1b\n";
  EXPECT_EQ(job_of(stated, {{"plan.tensor_parallel", "1"}}).plan.data_parallel, 4);
  EXPECT_EQ(job_of(stated, {{"cluster.nodes", "4"}}).plan.data_parallel, 4);
  EXPECT_EQ(job_of(stated, {{"cluster.gpus", "64"}}).plan.data_parallel, 8);
  EXPECT_EQ(job_of(stated, {{"cluster", "big"}, {"plan.global_batch", "400"}}).plan.data_parallel, 100);
  EXPECT_EQ(job_of(stated, {{"plan.pipeline_parallel", "1"}}).plan.schedule, "none");
  EXPECT_EQ(job_of(stated, {{"plan.tensor_parallel", "1"}, {"plan.data_parallel", "4"}}).plan.data_parallel, 4);
}

TEST_F(Scenarios, OverridingPipelineStagesGivesThemASchedule) {
  const std::string one_stage = with_plan("{global_batch: 64, sequence_length: 2048, schedule: none}");
  EXPECT_EQ(job_of(one_stage).plan.schedule, "none");
  EXPECT_EQ(job_of(one_stage, {{"plan.pipeline_parallel", "4"}}).plan.schedule, "1f1b");
}

TEST_F(Scenarios, OverridingAKeyOfAPresetExtendsIt) {
  EXPECT_EQ(job_of(scenario, {{"model.layers", "12"}}).model.layers, 12);
  EXPECT_EQ(job_of(scenario, {{"model.layers", "12"}}).model.name, "gpt-1.3b");
  const std::string preset = replaced(scenario, dgx, "big");
  EXPECT_EQ(job_of(preset, {{"cluster.gpus", "32"}}).cluster.gpus, 32);
  EXPECT_EQ(job_of(std::string(scenario) + "framework: nemo\n", {{"framework.overlap_tp", "true"}}).framework.name,
            "nemo");
  EXPECT_EQ(job_of(scenario, {{"framework.overlap_tp", "true"}}).plan.overlap_tp, true);
}

TEST_F(Scenarios, OverridesAreNamedInTheirMistakes) {
  EXPECT_EQ(refusal_of(scenario, {{"plan.tensor_parallel", "3"}}),
            "--set plan.tensor_parallel=3: tensor_parallel 3 x context_parallel 1 x pipeline_parallel 4 do not divide "
            "the cluster's 16 GPUs");
  EXPECT_EQ(refusal_of(scenario, {{"plan.tensor_parallel", "two"}}),
            "--set plan.tensor_parallel=two: plan.tensor_parallel must be a whole number from 1 to 10,000,000, not "
            "'two'");
  EXPECT_EQ(refusal_of(scenario, {{"plna.zero", "1"}}),
            "--set plna.zero=1: unknown key 'plna', did you mean 'plan'? (one of: name, model, cluster, plan, "
            "framework, flops_convention, faults, jitter, executor, seed, price, id and 6 more)");
  EXPECT_EQ(
      refusal_of(scenario, {{"plan.data_parallel", "3"}}),
      "--set plan.data_parallel=3: tensor_parallel 2 x context_parallel 1 x pipeline_parallel 4 x data_parallel 3 "
      "do not multiply to the cluster's 16 GPUs");
}

// --- reference runs ----------------------------------------------------------------------------------------------

std::string run_of(const std::string& id) {
  return "- id: " + id + R"(
  source: {title: "A paper", where: "Table 1"}
  confidence: inferred
  suspect: null
  inferred: [plan.microbatch, measured.mfu]
  model: {extends: gpt-1.3b, moe: null, mla: null, position: null, dropout: null, attention_window: null}
  cluster: {gpu: a100, gpus: 16, gpus_per_node: 8, fabric: unknown}
  plan: {tensor_parallel: 8, data_parallel: 2, global_batch: 8, sequence_length: 2048, layer_split: null, recompute: null}
  framework: {name: megatron-core, version: null, flash_attention: null}
  measured: {step_time_s: 13.75, step_time_from: tflops, mfu: 0.5, memory_gib: null, memory_kind: null}
  flops_convention: unknown
  notes: "none"
)";
}

TEST_F(Scenarios, ARunOfAFile) {
  const std::string file = put("runs.yaml", "runs:\n" + run_of("a") + run_of("b"));
  const Job job = load_job(file + "#b");
  EXPECT_EQ(job.id, "b");
  EXPECT_EQ(job.name, "b");
  EXPECT_EQ(job.flops_convention, "");
  ASSERT_TRUE(job.reference);
  EXPECT_EQ(job.reference->title, "A paper");
  EXPECT_EQ(job.reference->where, "Table 1");
  EXPECT_EQ(job.reference->confidence, "inferred");
  EXPECT_EQ(job.reference->suspect, "");
  EXPECT_THAT(job.reference->inferred, ElementsAre("plan.microbatch", "measured.mfu"));
  EXPECT_EQ(job.reference->measured.step_time_s, 13.75);
  EXPECT_EQ(job.reference->measured.step_time_from, "tflops");
  EXPECT_EQ(job.reference->measured.memory_gib, std::nullopt);
  EXPECT_FALSE(job.reference->measured.out_of_memory);
  EXPECT_THAT(job.assumed, ElementsAre("cluster.fabric: hdr200x8 (usual with ampere GPUs; the source does not say)",
                                       "plan.microbatch: deduced, the source does not say"));
}

TEST_F(Scenarios, RunsAreChosenByName) {
  const std::string file = put("runs.yaml", "runs:\n" + run_of("run-one") + run_of("run-two"));
  EXPECT_EQ(refusal([&] { load_job(file); }), "runs.yaml: the file holds 2 runs: name one, as in runs.yaml#run-one");
  EXPECT_EQ(refusal([&] { load_job(file + "#run-tow"); }),
            "runs.yaml: unknown run 'run-tow', did you mean 'run-two'? (one of: run-one, run-two)");
  const std::string plain = put("plain.yaml", scenario);
  EXPECT_EQ(refusal([&] { load_job(plain + "#a"); }), "plain.yaml: the file has no runs to choose 'a' from");
}

TEST_F(Scenarios, FoldersOfRunsInOrder) {
  put("runs/b.yaml", "runs:\n" + run_of("b1") + run_of("b2"));
  put("runs/sub/a.yaml", "runs:\n" + run_of("a1"));
  put("runs/alone.yaml", std::string(scenario) + "measured: {step_time_s: 1}\n");
  put("runs/scenario.yaml", scenario);  // nothing measured: not a run
  put("runs/README.md", "no YAML");
  std::vector<std::string> ids;
  for (const ReferenceEntry& entry : load_reference_runs({(folder_ / "runs").string()})) ids.push_back(entry.id);
  EXPECT_THAT(ids, ElementsAre("alone", "b1", "b2", "a1"));
}

TEST_F(Scenarios, OverridesReachEveryRun) {
  const std::string file = put("runs.yaml", "runs:\n" + run_of("a") + run_of("b"));
  const auto entries = load_reference_runs({file}, {{"plan.tensor_parallel", "4"}});
  ASSERT_EQ(entries.size(), 2u);
  for (const ReferenceEntry& entry : entries) EXPECT_EQ(entry.job.plan.data_parallel, 4) << entry.id;
}

TEST_F(Scenarios, RunsThatCannotBeRead) {
  const std::string first = put("runs/a.yaml", "runs:\n" + run_of("one"));
  const std::string again = put("runs/b.yaml", "runs:\n" + run_of("one"));
  EXPECT_EQ(refusal([&] {
              load_reference_runs({first, again});
            }),
            "runs/b.yaml:2:7: the run id 'one' is taken (by one in runs/a.yaml)\n"
            "    - id: one\n"
            "          ^ near here");
  const std::string nameless = put("runs/c.yaml", "runs:\n- model: gpt-1.3b\n");
  EXPECT_EQ(refusal([&] { load_reference_runs({nameless}); }),
            "runs/c.yaml:2:3: id is missing\n    - model: gpt-1.3b\n      ^ near here");
  const std::string unmeasured = put("runs/d.yaml", scenario);
  EXPECT_EQ(refusal([&] { load_reference_runs({unmeasured}); }),
            "runs/d.yaml: there are no measurements to compare with: neither `runs:` nor `measured:`");
  const std::string extra = put("runs/e.yaml", "runs: []\nextra: 1\n");
  EXPECT_EQ(refusal([&] { load_reference_runs({extra}); }),
            "runs/e.yaml:2:1: unknown key 'extra' (one of: runs)\n    extra: 1\n    ^ near here");
  const std::string wrong =
      put("runs/f.yaml", replaced("runs:\n" + run_of("x"), "step_time_s: 13.75", "step_time_s: fast"));
  EXPECT_EQ(refusal([&] { load_reference_runs({wrong}); }),
            "runs/f.yaml:11:27: measured.step_time_s must be a number of at least 0, not 'fast'\n"
            "    measured: {step_time_s: fast, step_time_from: tflops, mfu: 0.5, memory_gib: null, memory_kind: null}\n"
            "                            ^ near here");
}

// --- presets and help --------------------------------------------------------------------------------------------

TEST_F(Scenarios, PresetsAreListedWithTheirDescriptions) {
  std::vector<std::string> lines;
  for (const PresetInfo& preset : list_presets("gpus")) lines.push_back(preset.name + ": " + preset.description);
  EXPECT_THAT(lines, ElementsAre("a100: A GPU", "a100-small: A smaller GPU"));
  EXPECT_EQ(refusal([] { list_presets("gpu"); }),
            "unknown kind of preset 'gpu', did you mean 'gpus'? (one of: models, gpus, nodes, fabrics, clusters, "
            "frameworks, scaling-laws, reliability, sites, prices)");
}

TEST_F(Scenarios, PublishedParametersOfAModel) {
  const auto published = published_parameters("gpt-1.3b");
  ASSERT_TRUE(published);
  EXPECT_EQ(published->count, 1e9);
  EXPECT_EQ(published->tolerance, 0.01);
}

TEST_F(Scenarios, PresetsAreAskedForByName) {
  EXPECT_EQ(refusal([] { load_model_preset("gpt-1.3"); }),
            "unknown model 'gpt-1.3', did you mean 'gpt-1.3b'? (one of: gpt-1.3b)");
  EXPECT_EQ(load_model_preset("gpt-1.3b").hidden, 2048);
  EXPECT_EQ(load_framework("megatron-core").name, "megatron-core");
}

TEST_F(Scenarios, TheDataDirectoryMustHoldPresets) {
  ::setenv("STEPCAST_DATA", "/nowhere", 1);
  EXPECT_EQ(refusal([] { data_directory(); }), "STEPCAST_DATA=/nowhere: no folder hardware_profiles there");
  ::unsetenv("STEPCAST_DATA");
  EXPECT_EQ(data_directory(), STEPCAST_SOURCE_DIR);
}

TEST(ScenarioHelp, HasEveryKeyWithItsDefault) {
  const std::string help = scenario_help();
  for (const ScenarioKey& key : scenario_keys()) {
    EXPECT_NE(help.find("  " + key.key + ":"), std::string::npos) << key.section << "." << key.key;
    EXPECT_FALSE(key.fallback.empty()) << key.section << "." << key.key;
  }
  EXPECT_NE(help.find("none | gpipe | 1f1b"), std::string::npos);
}

// --- what we ship ------------------------------------------------------------------------------------------------

TEST(Shipped, EveryPresetSaysWhatItIs) {
  for (const char* kind : {"models", "gpus", "nodes", "fabrics", "clusters", "frameworks", "scaling-laws",
                           "reliability", "sites", "prices"}) {
    EXPECT_FALSE(list_presets(kind).empty()) << kind;
    for (const PresetInfo& preset : list_presets(kind)) EXPECT_NE(preset.description, "") << preset.name;
  }
}

// A scenario on it reads the cluster, its node, GPU and fabric.
TEST_F(Scenarios, EveryShippedClusterCanBeRead) {
  ::setenv("STEPCAST_DATA", STEPCAST_SOURCE_DIR, 1);
  for (const PresetInfo& preset : list_presets("clusters")) {
    const std::string text = "model: gpt2-xl\ncluster: {extends: " + preset.name +
                             ", nodes: 1}\nplan: {global_batch: 64, sequence_length: 1024}\n";
    EXPECT_EQ(refusal_of(text), "accepted") << preset.name;
  }
}

TEST(Shipped, EveryReferenceRunCanBeRead) {
  const auto entries = load_reference_runs({STEPCAST_SOURCE_DIR "/scenarios/published"});
  EXPECT_GE(entries.size(), 1100u);
  for (const ReferenceEntry& entry : entries) {
    EXPECT_TRUE(entry.job.reference) << entry.id;
    EXPECT_EQ(entry.job.plan.gpus(), entry.job.cluster.gpus) << entry.id;
  }
}

TEST(Shipped, TheQuickstartIsItsReferenceRun) {
  const Job quickstart = load_job(STEPCAST_SOURCE_DIR "/scenarios/quickstart.yaml");
  const Job run = load_job(STEPCAST_SOURCE_DIR "/scenarios/published/korthikanti-2022.yaml#kort-t5-175b-seqsel");
  EXPECT_EQ(quickstart.cluster.gpus, run.cluster.gpus);
  EXPECT_EQ(quickstart.cluster.node.name, run.cluster.node.name);
  EXPECT_EQ(quickstart.cluster.fabric.name, run.cluster.fabric.name);
  EXPECT_EQ(quickstart.plan.recompute, run.plan.recompute);
  EXPECT_EQ(quickstart.model.layers, run.model.layers);
  EXPECT_EQ(quickstart.framework.name, run.framework.name);
}

}  // namespace
}  // namespace stepcast
