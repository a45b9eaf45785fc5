// The program as a user runs it: what it prints, where, and how it exits.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "tests/support/program.hpp"

namespace stepcast {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr int done = 0, answered_no = 1, wrong_input = 2;

class Cli : public FolderTest {
 protected:
  json predict_json(const std::string& arguments) const {
    const Outcome outcome = run("predict " + arguments + " --format json");
    EXPECT_EQ(outcome.err, "");
    return json::parse(outcome.out);
  }
};

constexpr const char* good_scenario = R"(name: small
model: {name: tiny, layers: 8, hidden: 1024, heads: 16, ffn: 4096, vocab: 32000, activation: gelu, norm: layernorm,
        position: learned, bias: true, tied_embeddings: true}
cluster:
  gpu: a100-80gb-sxm
  gpus: 16
  gpus_per_node: 8
  fabric: hdr200x8
plan:
  tensor_parallel: 4
  pipeline_parallel: 2
  data_parallel: 2
  microbatch: 1
  global_batch: 16
  sequence_length: 1024
framework: megatron-lm-2022
)";

std::string changed(const std::string& from, const std::string& to) {
  std::string text = good_scenario;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// --- help --------------------------------------------------------------------------------------------------------

TEST_F(Cli, WithoutArgumentsItIntroducesItself) {
  const Outcome outcome = run("");
  EXPECT_EQ(outcome.exit, done);
  EXPECT_THAT(outcome.out, HasSubstr("stepcast predict scenarios/quickstart.yaml"));
  EXPECT_EQ(outcome.out, run("--help").out);
}

TEST_F(Cli, EverySubcommandHasHelpWithExamples) {
  for (const char* command : {"predict", "validate", "list"}) {
    const Outcome outcome = run(std::string(command) + " --help");
    EXPECT_EQ(outcome.exit, done) << command;
    EXPECT_THAT(outcome.out, HasSubstr("Usage: stepcast " + std::string(command)));
    EXPECT_THAT(outcome.out, HasSubstr("Examples:\n  stepcast " + std::string(command)));
    EXPECT_EQ(outcome.err, "");
  }
}

/// A row of `  stepcast ...` below "Examples:" is a promise.
std::vector<std::string> examples_in(const std::string& help) {
  constexpr std::string_view program = "\n  stepcast ";
  std::vector<std::string> examples;
  for (std::size_t at = help.find(program, help.find("Examples:")); at != std::string::npos;
       at = help.find(program, at)) {
    at += program.size();
    examples.push_back(help.substr(at, help.find('\n', at) - at));
  }
  return examples;
}

TEST_F(Cli, TheExamplesOfPredictWork) {
  const std::vector<std::string> examples = examples_in(run("predict --help").out);
  EXPECT_GE(examples.size(), 3u);
  for (std::string example : examples) {
    for (const std::string file : {"step.json", "step.perfetto-trace"}) {
      const std::size_t trace = example.find(file);
      if (trace != std::string::npos) example.replace(trace, file.size(), path(file));
    }
    const Outcome outcome = run(example);
    EXPECT_EQ(outcome.exit, done) << example << "\n" << outcome.err;
    EXPECT_THAT(outcome.out, Not(IsEmpty())) << example;
  }
}

TEST_F(Cli, TheExamplesOfListWork) {
  for (const std::string& example : examples_in(run("list --help").out)) EXPECT_EQ(run(example).exit, done) << example;
}

TEST_F(Cli, VersionIsOneLine) {
  const Outcome outcome = run("--version");
  EXPECT_EQ(outcome.exit, done);
  EXPECT_THAT(outcome.out, testing::MatchesRegex("stepcast [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(Cli, ScenarioHelpNamesTheKeys) {
  const Outcome outcome = run("predict --help-scenario");
  EXPECT_EQ(outcome.exit, done);
  EXPECT_THAT(outcome.out, HasSubstr("tensor_parallel"));
}

// --- list --------------------------------------------------------------------------------------------------------

TEST_F(Cli, EveryKindIsListed) {
  for (const json& kind : json::parse(run("list --format json").out)) {
    const std::string name = kind["name"];
    const Outcome outcome = run("list " + name);
    EXPECT_EQ(outcome.exit, done) << name;
    const json rows = json::parse(run("list " + name + " --format json").out);
    EXPECT_FALSE(rows.empty()) << name;
    for (const json& row : rows) {
      EXPECT_THAT(outcome.out, HasSubstr(row["name"].get<std::string>()));
      EXPECT_NE(row["description"], "") << row["name"];
    }
  }
}

// --- predict -----------------------------------------------------------------------------------------------------

TEST_F(Cli, PredictPrintsAPageAndNothingElse) {
  const Outcome outcome = run("predict " + write("good.yaml", good_scenario));
  EXPECT_EQ(outcome.exit, done);
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, StartsWith("small\n"));
  EXPECT_THAT(outcome.out, HasSubstr("step time"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\033"))) << "colour is for terminals";
}

TEST_F(Cli, TheQuickstartShowsThePublishedStepTime) {
  const Outcome outcome = run("predict scenarios/quickstart.yaml");
  EXPECT_EQ(outcome.exit, done) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("published 13.75 s"));
  EXPECT_THAT(outcome.out, HasSubstr("published 51.4%"));
}

// scenarios/quickstart.yaml says that it is this published run, word for word.
TEST_F(Cli, TheQuickstartIsThePublishedRun) {
  const json quickstart = predict_json("scenarios/quickstart.yaml");
  const json published = predict_json("scenarios/published/korthikanti-2022.yaml#kort-t5-175b-seqsel");
  for (const char* key : {"step_time_s", "mfu", "memory", "breakdown"})
    EXPECT_EQ(quickstart[key], published[key]) << key;
}

TEST_F(Cli, SetChangesAKeyOnEitherSideOfTheFile) {
  const std::string file = write("good.yaml", good_scenario);
  const json before = predict_json(file);
  const json after = predict_json(file + " --set plan.global_batch=32");
  EXPECT_GT(after["step_time_s"], before["step_time_s"]);
  EXPECT_EQ(predict_json("--set plan.global_batch=32 " + file)["step_time_s"], after["step_time_s"]);
  EXPECT_EQ(predict_json(file + " --set plan.global_batch=32 plan.microbatch=1")["step_time_s"], after["step_time_s"]);
}

TEST_F(Cli, EveryFormatIsWritten) {
  const std::string file = write("good.yaml", good_scenario);
  EXPECT_THAT(run("predict " + file + " --format csv").out, StartsWith("schema_version,scenario,"));
  const Outcome decoded = shell(std::string(STEPCAST_BINARY) + " predict " + file +
                                " --format proto | protoc --decode=stepcast.v1.Report simulator/report/report.proto");
  EXPECT_THAT(decoded.out, HasSubstr("scenario: \"small\""));
}

TEST_F(Cli, ExplainNamesOperators) {
  const std::string file = write("good.yaml", good_scenario);
  EXPECT_FALSE(predict_json(file + " --explain")["operators"].empty());
  EXPECT_THAT(run("predict " + file + " --explain").out, HasSubstr("Operators of stage"));
}

TEST_F(Cli, WhatDoesNotFitIsAnsweredNo) {
  const std::string large = "--set model.hidden=16384 model.ffn=65536 model.layers=96";
  const Outcome outcome = run("predict " + write("good.yaml", good_scenario) + " " + large);
  EXPECT_EQ(outcome.exit, answered_no) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("Cannot run: "));
  EXPECT_THAT(outcome.out, HasSubstr("GiB"));
}

TEST_F(Cli, WhatIsInfeasibleHasAReasonInJsonToo) {
  const std::string file = write("good.yaml", good_scenario);
  const Outcome outcome =
      run("predict " + file + " --format json --set model.hidden=16384 model.ffn=65536 model.layers=96");
  EXPECT_EQ(outcome.exit, answered_no);
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report["feasible"], false);
  EXPECT_THAT(report["infeasible_reason"].get<std::string>(), HasSubstr("stage"));
}

TEST_F(Cli, AReaderThatGoesAwayIsNoError) {
  const Outcome outcome = shell(std::string(STEPCAST_BINARY) + " list gpus | true; sleep 0.1");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Cli, AFullDiskIsReported) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const Outcome outcome = run("list gpus > /dev/full");
  EXPECT_EQ(outcome.exit, wrong_input);
  EXPECT_THAT(outcome.err, HasSubstr("cannot write"));
}

// --- traces ------------------------------------------------------------------------------------------------------

class CliTrace : public Cli, public testing::WithParamInterface<const char*> {};

TEST_P(CliTrace, HasSpansAndPairedArrows) {
  const std::string trace = path("step.json");
  const Outcome outcome = run("predict " + write("good.yaml", good_scenario) + " --trace " + trace + " " + GetParam());
  ASSERT_EQ(outcome.exit, done) << outcome.err;
  std::map<std::string, int> phases;
  const json events = json::parse(read_file(trace))["traceEvents"];
  for (const json& event : events) ++phases[event["ph"]];
  EXPECT_GT(phases["X"], 0);
  EXPECT_GT(phases["s"], 0);
  EXPECT_EQ(phases["s"], phases["f"]);
}

INSTANTIATE_TEST_SUITE_P(Executors, CliTrace,
                         testing::Values("--executor dataflow", "--executor events", "--executor events --fold off",
                                         "--executor events --granularity kernel"),
                         [](const auto& c) {
                           std::string name = c.param;
                           std::replace_if(
                               name.begin(), name.end(), [](char x) { return !std::isalpha(x); }, '_');
                           return name;
                         });

TEST_F(Cli, ATraceThatCannotBeWrittenLeavesNothingBehind) {
  const std::string file = write("good.yaml", good_scenario);
  fs::create_directory(path("a-folder"));
  for (const std::string& bad : {path("missing/step.json"), path("a-folder")}) {
    const Outcome outcome = run("predict " + file + " --trace " + bad);
    EXPECT_EQ(outcome.exit, wrong_input);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(bad));
  }
  std::vector<std::string> left;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::UnorderedElementsAre("good.yaml", "a-folder", "stderr"));
}

// --- validate ----------------------------------------------------------------------------------------------------

std::string measured_scenario(const std::string& measured) {
  return std::string(good_scenario) + "source: {title: a test}\nmeasured: " + measured + "\n";
}

TEST_F(Cli, ValidateComparesWithWhatWasMeasured) {
  const std::string file = write("mine.yaml", measured_scenario("{step_time_s: 1000, step_time_from: published}"));
  const Outcome outcome = run("validate " + file + " --format json");
  ASSERT_EQ(outcome.exit, done) << outcome.err;
  const json tree = json::parse(outcome.out);
  EXPECT_EQ(tree["runs"][0]["id"], "mine");
  EXPECT_EQ(tree["runs"][0]["status"], "ok");
  EXPECT_EQ(tree["summary"]["runs"], 1);
  EXPECT_LT(tree["summary"]["bias_percent"], -90);
  EXPECT_EQ(tree["summary"]["by_source"]["mine"]["runs"], 1);
}

TEST_F(Cli, ValidateAnswersNoAboveTheBar) {
  const std::string file = write("mine.yaml", measured_scenario("{step_time_s: 1000, step_time_from: published}"));
  const Outcome outcome = run("validate " + file + " --fail-above 10");
  EXPECT_EQ(outcome.exit, answered_no);
  EXPECT_THAT(outcome.err, HasSubstr("is above 10%"));
  EXPECT_EQ(run("validate " + file + " --fail-above 100").exit, done);
}

TEST_F(Cli, ABarThatNothingIsHeldAgainstIsMissed) {
  const std::string file = write("mine.yaml", measured_scenario("{memory_gib: 10, memory_kind: allocated}"));
  EXPECT_EQ(run("validate " + file).exit, done);
  EXPECT_EQ(run("validate " + file + " --fail-above 100").exit, answered_no);
}

TEST_F(Cli, ARunOutOfMemoryIsJudgedByWhetherWeAgree) {
  const std::string oom = "{step_time_s: null, step_time_from: null, out_of_memory: true}";
  const json tree = json::parse(run("validate --format json " + write("mine.yaml", measured_scenario(oom))).out);
  EXPECT_EQ(tree["runs"][0]["status"], "oom-missed");  // a tiny model on 80 GB
}

TEST_F(Cli, ValidateKeepsTheOrderOfTheRuns) {
  const std::string file = "scenarios/published/korthikanti-2022.yaml";
  const Outcome first = run("validate --format csv " + file);
  EXPECT_EQ(first.exit, done);
  EXPECT_EQ(first.out, run("validate --format csv " + file).out);
}

// --- wrong input -------------------------------------------------------------------------------------------------

/// One message on standard error, nothing on standard output, exit 2.
void expect_refused(const Outcome& outcome, const std::vector<std::string>& said) {
  EXPECT_EQ(outcome.exit, wrong_input);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, Not(HasSubstr("internal error")));
  EXPECT_THAT(outcome.err, Not(IsEmpty()));
  EXPECT_LE(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
  for (const std::string& part : said) EXPECT_THAT(outcome.err, HasSubstr(part));
}

struct BadScenario {
  const char* name;
  const char* from;
  const char* to;
  std::vector<std::string> said;  ///< the place, and what helps
};

class BadScenarios : public Cli, public testing::WithParamInterface<BadScenario> {};

TEST_P(BadScenarios, AreRefusedWithTheirPlace) {
  const BadScenario& bad = GetParam();
  expect_refused(run("predict " + write("bad.yaml", changed(bad.from, bad.to))), bad.said);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadScenarios,
    testing::Values(
        //           name                   from                     to                              said
        BadScenario{"wrong_key", "  tensor_parallel", "  tensor_paralel", {"bad.yaml:10:", "tensor_parallel"}},
        BadScenario{"wrong_top_key", "framework:", "framewrok:", {"bad.yaml:16:", "framework"}},
        BadScenario{"unknown_gpu", "a100-80gb-sxm", "a100-80gb-sxn", {"bad.yaml:5:", "a100-80gb-sxm"}},
        BadScenario{"unknown_fabric", "hdr200x8", "hdr200x9", {"bad.yaml:8:", "hdr200x8"}},
        BadScenario{"unknown_framework", "megatron-lm-2022", "megatron-lm-2032", {"bad.yaml:16:", "megatron-lm-2022"}},
        BadScenario{"negative_size", "tensor_parallel: 4", "tensor_parallel: -4", {"bad.yaml:10:"}},
        BadScenario{"zero_size", "microbatch: 1", "microbatch: 0", {"bad.yaml:13:"}},
        BadScenario{"fraction_of_a_gpu", "gpus: 16", "gpus: 16.5", {"bad.yaml:6:"}},
        BadScenario{"text_for_a_number", "gpus: 16", "gpus: many", {"bad.yaml:6:"}},
        BadScenario{"too_many_gpus", "gpus: 16", "gpus: 1000000000000000000", {"bad.yaml:6:"}},
        BadScenario{"beyond_64_bits", "gpus: 16", "gpus: 99999999999999999999999", {"bad.yaml:6:"}},
        BadScenario{"degrees_do_not_multiply", "data_parallel: 2", "data_parallel: 3", {"bad.yaml:12:", "16 GPUs"}},
        BadScenario{"batch_does_not_divide", "global_batch: 16", "global_batch: 17", {"bad.yaml:14:", "17"}},
        BadScenario{"missing_plan_key", "  global_batch: 16\n", "", {"bad.yaml:", "global_batch"}},
        BadScenario{"key_twice", "  gpus: 16\n", "  gpus: 16\n  gpus: 8\n", {"bad.yaml:7:", "gpus"}},
        BadScenario{"list_for_a_map", "cluster:\n", "cluster: [1]\nplan2:\n", {"bad.yaml:"}},
        BadScenario{"broken_yaml", "plan:\n", "plan: {\n", {"bad.yaml:"}},
        BadScenario{"tab_indent", "  gpus: 16", "\tgpus: 16", {"bad.yaml:"}}),
    [](const auto& c) { return std::string(c.param.name); });

struct BadCommand {
  const char* name;
  const char* arguments;  ///< GOOD is a scenario without fault
  std::vector<std::string> said;
};

class BadCommands : public Cli, public testing::WithParamInterface<BadCommand> {};

TEST_P(BadCommands, AreRefusedWithARemedy) {
  std::string arguments = GetParam().arguments;
  const std::string good = write("good.yaml", good_scenario);
  if (const std::size_t at = arguments.find("GOOD"); at != std::string::npos) arguments.replace(at, 4, good);
  expect_refused(run(arguments), GetParam().said);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadCommands,
    testing::Values(
        BadCommand{"unknown_subcommand", "predcit GOOD", {"predcit", "did you mean 'predict'"}},
        BadCommand{"unknown_option", "predict GOOD --formta json", {"--formta", "did you mean '--format'"}},
        BadCommand{"unknown_format", "predict GOOD --format jsn", {"jsn", "did you mean 'json'"}},
        BadCommand{"unknown_executor", "predict GOOD --executor event", {"did you mean 'events'"}},
        BadCommand{"unknown_granularity", "predict GOOD --granularity node", {"chunk", "kernel"}},
        BadCommand{"neither_on_nor_off", "predict GOOD --fold maybe", {"--fold is on or off"}},
        BadCommand{"negative_seed", "predict GOOD --seed -1", {"--seed"}},
        BadCommand{"no_steps", "predict GOOD --steps 0", {"--steps"}},
        BadCommand{
            "window_without_end", "predict GOOD --trace no.json --trace-window 3", {"--trace-window 3", "FROM:TO"}},
        BadCommand{"window_that_is_empty", "predict GOOD --trace no.json --trace-window '2 s:1 s'", {"FROM:TO"}},
        BadCommand{
            "ranks_that_there_are_not", "predict GOOD --trace no.json --trace-ranks 9999", {"beyond the cluster"}},
        BadCommand{"ranks_of_no_trace", "predict GOOD --trace-ranks 0-3", {"--trace-ranks", "--trace"}},
        BadCommand{"option_without_value", "predict GOOD --seed", {"--seed"}},
        BadCommand{"no_scenario", "predict", {"SCENARIO"}},
        BadCommand{"two_scenarios", "predict GOOD other.yaml", {"SCENARIO"}},
        BadCommand{"missing_file", "predict no-such-file.yaml", {"no-such-file.yaml"}},
        BadCommand{"folder", "predict simulator", {"simulator", "folder"}},
        BadCommand{"unknown_run",
                   "predict scenarios/published/korthikanti-2022.yaml#kort-t5-22b-ful",
                   {"did you mean 'kort-t5-22b-full'"}},
        BadCommand{"which_run", "predict scenarios/published/korthikanti-2022.yaml", {"#kort-"}},
        BadCommand{"set_without_value", "predict GOOD --set plan.zero", {"plan.zero"}},
        BadCommand{"set_unknown_key", "predict GOOD --set plan.tensor_paralel=2", {"tensor_parallel"}},
        BadCommand{"set_bad_value", "predict GOOD --set plan.zero=four", {"four"}},
        BadCommand{"set_bare_number", "predict GOOD --set cluster.gpu.memory=80", {"memory"}},
        BadCommand{"set_wrong_unit", "predict GOOD '--set' 'cluster.gpu.memory=80 GB/s'", {"memory"}},
        BadCommand{"unknown_kind", "list gpu", {"did you mean 'gpus'"}},
        BadCommand{"unknown_list_format", "list gpus --format yaml", {"yaml"}},
        BadCommand{"nothing_to_validate", "validate", {"PATH"}},
        BadCommand{"nothing_measured", "validate GOOD", {"measured"}},
        BadCommand{"bar_is_no_number", "validate scenarios/published --fail-above five", {"--fail-above"}}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(Cli, AFileThatIsNoScenarioIsRefused) {
  expect_refused(run("predict " + write("empty.yaml", "")), {"empty.yaml"});
  expect_refused(run("predict " + write("binary.yaml", std::string("\x7f"
                                                                   "ELF\0\0\x01\xff",
                                                                   8))),
                 {"binary.yaml"});
  expect_refused(run("predict " + write("latin.yaml", "name: \xe4\xff\n")), {"latin.yaml"});
  expect_refused(run("predict " + write("deep.yaml", std::string(100'000, '['))), {"deep.yaml"});
  expect_refused(run("predict " + write("deep-map.yaml", "model: " + std::string(20'000, '{'))), {"deep-map.yaml"});
}

}  // namespace
}  // namespace stepcast
