// `stepcast sweep` as a user runs it: the best plan, what goes wrong, and what a store survives.

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "tests/support/program.hpp"

namespace stepcast {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int done = 0, answered_no = 1, wrong_input = 2;

class SweepCommand : public FolderTest {
 protected:
  static std::string text(const std::string& more = "") {
    return "name: small\nbase: " STEPCAST_SOURCE_DIR "/scenarios/quickstart.yaml\n" + more;
  }
  static std::string space(const std::string& more = "") {
    return text(
        "space:\n"
        "  tensor_parallel: {powers_of_two: [1, 8]}\n"
        "  sequence_parallel: [true, false]\n"
        "  pipeline_parallel: {divisors_of: gpus}\n"
        "  virtual_stages: {range: [1, 4]}\n"
        "  recompute: [none, selective, full]\n"
        "  microbatch: [1, 2, 4]\n" +
        more);
  }
};

TEST_F(SweepCommand, TheBestIsThatOfSimulatingEverything) {
  const std::string file = write("sweep.yaml", space());
  const Outcome found = run("sweep " + file + " --format json --top 5");
  const Outcome every = run("sweep " + file + " --format json --top 5 --exhaustive");
  ASSERT_EQ(found.exit, done) << found.err;
  const json one = json::parse(found.out), other = json::parse(every.out);
  EXPECT_EQ(one["best"].size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(one["best"][i]["configuration"], other["best"][i]["configuration"]);
    EXPECT_EQ(one["best"][i]["step_time_s"], other["best"][i]["step_time_s"]);
  }
  EXPECT_LT(one["simulated"].get<int>(), other["simulated"].get<int>() / 2);
  EXPECT_EQ(one["considered"], 4 * 2 * 7 * 4 * 3 * 3);
}

TEST_F(SweepCommand, ATableSaysWhatTellsPlansApartAndWhatBecameOfTheRest) {
  const Outcome found =
      run("sweep " + write("sweep.yaml", space("constraints: [\"tensor_parallel <= gpus_per_node\"]\n")));
  ASSERT_EQ(found.exit, done) << found.err;
  for (const char* said : {"The best by step_time", "configurations considered",
                           "infeasible:", "does not fit in memory", "pruned", "simulated", "Proven"}) {
    EXPECT_THAT(found.out, HasSubstr(said));
  }
  EXPECT_EQ(found.err, "");
}

// The plan that a sweep answers with is the one that predict times.
TEST_F(SweepCommand, PredictAgreesWithTheWinner) {
  const Outcome found = run("sweep " + write("sweep.yaml", space()) + " --format json --top 1");
  const json best = json::parse(found.out)["best"][0];
  std::string sets;
  for (const char* key : {"tensor_parallel", "sequence_parallel", "pipeline_parallel", "virtual_stages", "schedule",
                          "data_parallel", "recompute", "microbatch"}) {
    sets += " --set plan." + std::string(key) + "=" +
            (best["plan"][key].is_string() ? best["plan"][key].get<std::string>() : best["plan"][key].dump());
  }
  const Outcome predicted = run("predict scenarios/quickstart.yaml --format json" + sets);
  ASSERT_EQ(predicted.exit, done) << predicted.err << sets;
  EXPECT_EQ(json::parse(predicted.out)["step_time_s"], best["step_time_s"]);
}

// Layers of the best plans move between stages; the flags that it prints make predict time the same step.
TEST_F(SweepCommand, RefinedPlansArePredictedAgain) {
  const std::string file =
      write("sweep.yaml", "base: " STEPCAST_SOURCE_DIR
                          "/scenarios/llama3-70b-256-h100.yaml\n"
                          "set: {model: llama3-8b, cluster.gpus: 32, plan.global_batch: 64}\n"
                          "space: {tensor_parallel: [2], pipeline_parallel: [4], virtual_stages: [1], zero: [1]}\n");
  const Outcome found = run("sweep " + file + " --top 1 --refine 1 --format json");
  ASSERT_EQ(found.exit, done) << found.err;
  const json refined = json::parse(found.out)["refined"][0];
  EXPECT_LT(refined["refined_step_time_s"], refined["step_time_s"]);
  EXPECT_LT(refined["refined_events_step_time_s"], refined["events_step_time_s"]);
  EXPECT_TRUE(refined["proven"].get<bool>());
  const Outcome predicted =
      run("predict scenarios/llama3-70b-256-h100.yaml --format json --set model=llama3-8b --set cluster.gpus=32 "
          "--set plan.global_batch=64 --set plan.tensor_parallel=2 --set plan.pipeline_parallel=4 "
          "--set plan.virtual_stages=1 --set plan.schedule=1f1b --set plan.zero=1 --set plan.layer_split='" +
          refined["layer_split"].dump() + "' --set plan.recompute=" + refined["recompute"].get<std::string>());
  ASSERT_EQ(predicted.exit, done) << predicted.err;
  EXPECT_EQ(json::parse(predicted.out)["step_time_s"], refined["refined_step_time_s"]);
}

TEST_F(SweepCommand, AnyScenarioHasADefaultSpace) {
  const Outcome found = run("sweep scenarios/quickstart.yaml --top 2 --format csv");
  EXPECT_EQ(found.exit, done) << found.err;
  EXPECT_THAT(found.out, HasSubstr("variant,configuration,step_time_s"));
}

TEST_F(SweepCommand, ParetoObjectivesAndSeveralClusters) {
  const std::string file =
      write("sweep.yaml", space("clusters: [{gpus: 64, price_per_gpu_hour: 2}, {gpus: 128}]\n"
                                "price_per_gpu_hour: 1.5\ntokens: 300e9\nobjective: cost\npareto: [days, cost]\n"));
  const Outcome found = run("sweep " + file + " --format json");
  ASSERT_EQ(found.exit, done) << found.err;
  const json answer = json::parse(found.out);
  ASSERT_GE(answer["front"].size(), 1U);
  for (std::size_t i = 1; i < answer["front"].size(); ++i) {
    EXPECT_LE(answer["front"][i - 1]["step_time_s"], answer["front"][i]["step_time_s"]);
  }
}

TEST_F(SweepCommand, MistakesAreNamedWithTheirPlace) {
  struct Case {
    const char* more;
    const char* says;
  };
  for (const Case& c : {Case{"space: {tensor_paralel: [1]}\n", "tensor_parallel"},
                        {"space: {tensor_parallel: []}\n", "the space is empty"},
                        {"space: {tensor_parallel: [two]}\n", "'two' is no value of tensor_parallel"},
                        {"space: {schedule: [1f2b]}\n", "1f1b"},
                        {"space: {recompute: [ful]}\n", "full"},
                        {"space: {tensor_parallel: {divisors_of: gpu}}\n", "gpus"},
                        {"constraints: [\"tensor_parallel <= \"]\n", "it ends too early"},
                        {"constraints: [\"tensor_paralel <= 8\"]\n", "tensor_parallel"},
                        {"constraints: [\"(tensor_parallel <= 8\"]\n", "a ')' is missing"},
                        {"objective: stepp_time\n", "step_time"},
                        {"objective: cost\n", "tokens"},
                        {"pareto: [step_time]\n", "two different objectives"},
                        {"limits: {memory_headroom: 4}\n", "memory_headroom"}}) {
    const Outcome found = run("sweep " + write("sweep.yaml", text(c.more)));
    EXPECT_EQ(found.exit, wrong_input) << c.more << found.out;
    EXPECT_THAT(found.err, HasSubstr(c.says)) << c.more;
  }
}

// Constraints that contradict each other leave nothing: an answer, and how many each refused.
TEST_F(SweepCommand, ContradictionsLeaveNothing) {
  const Outcome found =
      run("sweep " + write("sweep.yaml", space("constraints: [\"microbatch > 2\", \"microbatch < 2\"]\n")));
  EXPECT_EQ(found.exit, answered_no) << found.err;
  EXPECT_THAT(found.out, HasSubstr("Nothing in the space can run"));
  EXPECT_THAT(found.out, HasSubstr("constraint: microbatch > 2"));
}

TEST_F(SweepCommand, ShardsMergeToTheWhole) {
  const std::string file = write("sweep.yaml", space());
  const json whole = json::parse(run("sweep " + file + " --format json --top 3").out);
  std::string parts;
  for (int shard = 0; shard < 3; ++shard) {
    const std::string part = path("part" + std::to_string(shard) + ".sqlite");
    const Outcome found = run("sweep " + file + " --shard " + std::to_string(shard) + "/3 --out " + part);
    EXPECT_NE(found.exit, wrong_input) << found.err;
    parts += " " + part;
  }
  const Outcome merged =
      run("sweep merge" + parts + " --sweep " + file + " --out " + path("all.sqlite") + " --format json");
  ASSERT_EQ(merged.exit, done) << merged.err;
  const json all = json::parse(merged.out);
  EXPECT_EQ(all["considered"], whole["considered"]);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(all["best"][i]["configuration"], whole["best"][i]["configuration"]);
}

// The front of two objectives is that of all parts together.
TEST_F(SweepCommand, FrontsMergeToTheWhole) {
  const std::string file = write("sweep.yaml", space("pareto: [step_time, memory]\n"));
  const json whole = json::parse(run("sweep " + file + " --format json").out);
  std::string parts;
  for (int shard = 0; shard < 3; ++shard) {
    const std::string part = path("part" + std::to_string(shard) + ".sqlite");
    run("sweep " + file + " --shard " + std::to_string(shard) + "/3 --out " + part);
    parts += " " + part;
  }
  const Outcome merged =
      run("sweep merge" + parts + " --sweep " + file + " --out " + path("all.sqlite") + " --format json");
  ASSERT_EQ(merged.exit, done) << merged.err;
  const json all = json::parse(merged.out);
  ASSERT_GT(whole["front"].size(), 2U);
  ASSERT_EQ(all["front"].size(), whole["front"].size());
  for (std::size_t i = 0; i < whole["front"].size(); ++i) {
    EXPECT_EQ(all["front"][i]["step_time_s"], whole["front"][i]["step_time_s"]);
    EXPECT_NEAR(all["front"][i]["memory_bytes"].get<double>(), whole["front"][i]["memory_bytes"].get<double>(), 1);
  }
}

TEST_F(SweepCommand, AStoreIsResumedAndNothingIsSimulatedTwice) {
  const std::string file = write("sweep.yaml", space()), store = path("out.sqlite");
  ASSERT_EQ(run("sweep " + file + " --exhaustive --out " + store).exit, done);
  const Outcome refused = run("sweep " + file + " --out " + store);
  EXPECT_EQ(refused.exit, wrong_input);
  EXPECT_THAT(refused.err, HasSubstr("--resume"));
  const json again = json::parse(run("sweep " + file + " --exhaustive --resume --format json --out " + store).out);
  EXPECT_EQ(again["known"], again["simulated"]);
  const Outcome other = run("sweep " + write("other.yaml", space("top: 3\n")) + " --resume --out " + store);
  EXPECT_EQ(other.exit, wrong_input);
  EXPECT_THAT(other.err, HasSubstr("another sweep"));
}

// Killed at any moment: what was written is whole, and going on ends where an undisturbed run ends.
TEST_F(SweepCommand, SurvivesBeingKilled) {
  const std::string file = write("sweep.yaml", space("  zero: [0, 1, 2, 3]\n  overlap_grad_reduce: [true, false]\n"));
  const std::string store = path("killed.sqlite"), command = " sweep " + file + " --exhaustive --top 3 --format json";
  for (const char* after : {"0.05", "0.3", "0.7"}) {
    shell("timeout -s KILL " + std::string(after) + " " STEPCAST_BINARY + command + " --resume --out " + store +
          " > /dev/null");
  }
  const Outcome resumed = run(command + " --resume --out " + store);
  ASSERT_EQ(resumed.exit, done) << resumed.err;
  const json one = json::parse(resumed.out), whole = json::parse(run(command).out);
  EXPECT_EQ(one["simulated"], whole["simulated"]);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(one["best"][i]["configuration"], whole["best"][i]["configuration"]);
}

/// With Open MPI, where it was there when stepcast was built.
class SweepOfProcesses : public SweepCommand {
 protected:
  void SetUp() override {
    SweepCommand::SetUp();
    const bool built = std::filesystem::exists(std::filesystem::path(STEPCAST_BINARY).parent_path().parent_path() /
                                               "lib/stepcast/stepcast_mpi.so");
    if (!built || shell("mpirun --version | grep -q 'Open MPI'").exit != 0) GTEST_SKIP() << "no Open MPI";
  }
  /// @param program  what each of three processes runs
  Outcome together(const std::string& program) const {
    return shell("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 3 --oversubscribe " + program);
  }
};

TEST_F(SweepOfProcesses, FindsWhatOneFinds) {
  const std::string arguments = "sweep " + write("sweep.yaml", space()) + " --top 3 --format json --jobs 1";
  const Outcome several = together(STEPCAST_BINARY " " + arguments);
  ASSERT_EQ(several.exit, done) << several.err;
  const json found = json::parse(several.out), alone = json::parse(run(arguments).out);
  EXPECT_EQ(found["considered"], alone["considered"]);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(found["best"][i], alone["best"][i]);
}

// One of three processes is killed at work: all end, nothing that was finished is lost, and one process goes on from there.
TEST_F(SweepOfProcesses, AreResumedAfterOneIsKilled) {
  const std::string file = write("sweep.yaml", space("  zero: [0, 1, 2, 3]\n  overlap_grad_reduce: [true, false]\n"));
  const std::string store = path("killed.sqlite");
  const std::string command = "sweep " + file + " --exhaustive --top 3 --format json";
  const std::string rank = write("rank.sh",
                                 "if [ \"$OMPI_COMM_WORLD_RANK\" = 2 ]; then\n"
                                 "  \"$@\" & sleep 0.7; kill -9 $!; wait $!; exit $?\nfi\nexec \"$@\"\n");
  together("sh " + rank + " " STEPCAST_BINARY " " + command + " --jobs 1 --out " + store);
  const Outcome resumed = run(command + " --resume --out " + store);
  ASSERT_EQ(resumed.exit, done) << resumed.err;
  const json one = json::parse(resumed.out), whole = json::parse(run(command).out);
  EXPECT_EQ(one["simulated"], whole["simulated"]);
  EXPECT_EQ(one["infeasible"], whole["infeasible"]);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(one["best"][i]["configuration"], whole["best"][i]["configuration"]);
}

TEST_F(SweepCommand, ManyProcessesWithoutMpiAreRefused) {
  const std::string alone = path("bin");
  std::filesystem::create_directory(alone);
  std::filesystem::copy_file(STEPCAST_BINARY, alone + "/stepcast");
  const Outcome refused = shell("OMPI_COMM_WORLD_SIZE=4 STEPCAST_DATA=" STEPCAST_SOURCE_DIR " " + alone +
                                "/stepcast sweep " + write("sweep.yaml", space()));
  EXPECT_EQ(refused.exit, wrong_input);
  EXPECT_THAT(refused.err, HasSubstr("built without MPI"));
  EXPECT_THAT(refused.err, HasSubstr("--shard"));
}

TEST_F(SweepCommand, DatabasesThatCannotBeWrittenAreNamed) {
  const std::string file = write("sweep.yaml", space());
  const Outcome corrupt = run("sweep " + file + " --out " + write("text.sqlite", std::string(4096, 'x')));
  EXPECT_EQ(corrupt.exit, wrong_input);
  EXPECT_THAT(corrupt.err, HasSubstr("no SQLite database"));
  const Outcome nowhere = run("sweep " + file + " --out " + path("missing/out.sqlite"));
  EXPECT_EQ(nowhere.exit, wrong_input);
  EXPECT_THAT(nowhere.err, HasSubstr("cannot write"));
  const std::string store = path("held.sqlite");
  const Outcome held = shell("flock " + store + ".lock " STEPCAST_BINARY " sweep " + file + " --out " + store);
  EXPECT_EQ(held.exit, wrong_input);
  EXPECT_THAT(held.err, HasSubstr("being written to by another sweep"));
  const Outcome full = shell("(ulimit -f 8; trap '' XFSZ; " STEPCAST_BINARY " sweep " + file + " --exhaustive --out " +
                             path("full.sqlite") + ")");
  EXPECT_EQ(full.exit, wrong_input);
  EXPECT_THAT(full.err, HasSubstr("full.sqlite"));
}

TEST_F(SweepCommand, CompareSensitivityAndScale) {
  const Outcome compared = run("compare scenarios/quickstart.yaml scenarios/gpt3-175b-1024-a100.yaml");
  EXPECT_EQ(compared.exit, done) << compared.err;
  EXPECT_THAT(compared.out, HasSubstr("more throughput"));
  const Outcome sensitive = run("sensitivity scenarios/quickstart.yaml --format json");
  ASSERT_EQ(sensitive.exit, done) << sensitive.err;
  const json resources = json::parse(sensitive.out)["resources"];
  const double flops = resources["matrix FLOP/s"]["throughput_change_percent"];
  EXPECT_GT(flops, 3);
  EXPECT_LT(flops, 10.0);  // more of one resource cannot buy more than its share
  for (const auto& [name, resource] : resources.items())
    EXPECT_GE(resource["throughput_change_percent"].get<double>(), -1e-9) << name;
  const Outcome scaled = run("scale scenarios/quickstart.yaml --gpus 64:512 --format json");
  ASSERT_EQ(scaled.exit, done) << scaled.err;
  const json points = json::parse(scaled.out)["points"];
  ASSERT_EQ(points.size(), 4U);
  EXPECT_EQ(points[0]["efficiency"], 1.0);
  EXPECT_LT(points[3]["efficiency"].get<double>(), 1.0);
  EXPECT_THAT(run("scale scenarios/quickstart.yaml --gpus 64:512 --format svg").out, HasSubstr("</svg>"));
}

// What emit writes, import reads back: the same step.
TEST_F(SweepCommand, MegatronFlagsThereAndBack) {
  const std::string sets = " --set framework=megatron-core --set plan.recompute=full --set plan.zero=1";
  const Outcome emitted = run("emit scenarios/quickstart.yaml --for megatron-lm" + sets);
  ASSERT_EQ(emitted.exit, done) << emitted.err;
  EXPECT_THAT(emitted.out, HasSubstr("--tensor-model-parallel-size 8"));
  EXPECT_THAT(emitted.out, HasSubstr("--num-layers-per-virtual-pipeline-stage 4"));
  const Outcome imported = run("import megatron-args " + write("args.txt", emitted.out) +
                               " --cluster '{node: dgx-a100-80gb, nodes: 8, fabric: hdr200x8}' --vocab 51200");
  ASSERT_EQ(imported.exit, done) << imported.err;
  const Outcome one = run("predict scenarios/quickstart.yaml --format json" + sets);
  const Outcome other = run("predict " + write("imported.yaml", imported.out) + " --format json");
  ASSERT_EQ(other.exit, one.exit) << other.err << imported.out;
  EXPECT_EQ(json::parse(one.out)["step_time_s"], json::parse(other.out)["step_time_s"]);
}

// Uneven splits of the layers are what a refined plan is about: no framework gets flags of an even one.
TEST_F(SweepCommand, UnevenSplitsAreEmitted) {
  const std::string plan =
      " --set plan.tensor_parallel=8 --set plan.pipeline_parallel=4 --set plan.virtual_stages=1 --set "
      "plan.schedule=1f1b"
      " --set plan.layer_split='[26,24,24,22]'";
  EXPECT_THAT(run("emit scenarios/quickstart.yaml --for megatron-lm" + plan).out,
              HasSubstr("--pipeline-model-parallel-layout 'Et*26|t*24|t*24|t*22L'"));
  EXPECT_THAT(run("emit scenarios/quickstart.yaml --for torchtitan" + plan).out,
              HasSubstr(R"(pipeline_parallel_split_points = ["layers.26", "layers.50", "layers.74"])"));
}

TEST_F(SweepCommand, EveryFrameworkHasItsConfiguration) {
  for (const char* name : {"nemo", "torchtitan", "deepspeed"}) {
    EXPECT_EQ(run("emit scenarios/quickstart.yaml --for " + std::string(name)).exit, done) << name;
  }
  EXPECT_EQ(run("emit scenarios/quickstart.yaml --for fsdp").exit, answered_no);
  EXPECT_THAT(run("emit scenarios/quickstart.yaml --for megatron").err, HasSubstr("megatron-lm"));
  EXPECT_THAT(run("import megatron-args " + write("a", "--num-layers 4") + " --cluster x").err,
              HasSubstr("--hidden-size is missing"));
}

}  // namespace
}  // namespace stepcast
