#include "simulator/predict.hpp"

#include <filesystem>
#include <memory>
#include <optional>

#include "simulator/advise.hpp"
#include "simulator/anchor.hpp"
#include "simulator/base/files.hpp"
#include "simulator/cluster/placement.hpp"
#include "simulator/report/formats.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct ExecutorName {
  std::string_view name;
  Executor value;
};
constexpr ExecutorName executors[] = {{"dataflow", Executor::dataflow}, {"events", Executor::events}};

struct GranularityName {
  std::string_view name;
  Granularity value;
};
constexpr GranularityName granularities[] = {{"chunk", Granularity::chunk}, {"kernel", Granularity::kernel}};

struct Options {
  Inputs inputs;
  std::string executor;
  std::string granularity = "chunk";
  std::string fold = "on";
  std::string contention = "on";
  std::string interference = "off";
  std::string jitter = "on";
  std::optional<std::uint64_t> seed;
  int steps = 1;
  std::string format = "text";
  std::string trace, trace_ranks, trace_window;
  std::vector<std::string> anchors;
  bool explain = false;
  bool memory = false;
  bool advise = false;
  bool help_scenario = false;
};

/// "1.5 s:2 s"; either side may be left out. @throws UserError
void read_window(const std::string& text, ExecutionOptions& execution) {
  const std::size_t colon = text.find(':');
  const auto refuse = [&] {
    throw UserError("--trace-window " + text + ": write FROM:TO, as in '1.5 s:2 s'; either may be left out");
  };
  const auto time = [&](const std::string& part, SimTime& into) {
    if (part.empty()) return;
    const auto seconds = parse_quantity<Seconds>(part);
    if (!seconds || seconds->si() < 0) refuse();
    into = to_ticks(*seconds);
  };
  if (colon == std::string::npos) refuse();
  time(text.substr(0, colon), execution.traced_from);
  time(text.substr(colon + 1), execution.traced_to);
  if (execution.traced_to <= execution.traced_from) refuse();
}

ExecutionOptions execution_of(const Options& options, const Job& job) {
  ExecutionOptions execution;
  execution.executor = job.executor.value_or(Executor::dataflow);
  if (!options.executor.empty()) execution.executor = chosen("executor", options.executor, executors).value;
  execution.granularity = chosen("granularity", options.granularity, granularities).value;
  execution.fold = switched_on("--fold", options.fold);
  execution.contention = switched_on("--contention", options.contention);
  execution.interference = switched_on("--interference", options.interference);
  execution.jitter = switched_on("--jitter", options.jitter);
  execution.seed = options.seed ? *options.seed : job.seed.value_or(1);
  execution.steps = options.steps;
  execution.critical_path = options.explain;
  if (!options.trace_ranks.empty()) execution.traced_ranks = parse_ranks(options.trace_ranks, job.cluster.gpus);
  if (!options.trace_window.empty()) read_window(options.trace_window, execution);
  execution.record_spans = options.memory || !options.trace.empty();
  return execution;
}

/// By the ending of the file's name; Chrome's without one of those.
void write_trace(const Timeline& timeline, const std::string& path) {
  const TraceFormat* chosen = &trace_formats().front();
  for (const TraceFormat& format : trace_formats()) {
    if (path.ends_with(format.ending)) chosen = &format;
  }
  write_file_atomically(path, [&](const Sink& sink) { chosen->write(timeline, sink); });
}

std::vector<Job> anchor_runs(const std::vector<std::string>& anchors) {
  std::vector<Job> runs;
  for (const std::string& anchor : anchors) {
    if (anchor.find('#') != std::string::npos) {
      runs.push_back(load_job(anchor));
      continue;
    }
    const std::vector<ReferenceEntry> entries = load_reference_runs({anchor});
    if (entries.empty()) throw UserError(anchor + ": no measured run there (a scenario with `measured:`)");
    for (const ReferenceEntry& entry : entries) runs.push_back(entry.job);
  }
  return runs;
}

/// The source of a published run, whose own figures its interval must not know: by its file, or by its step time where it
/// was copied into a scenario of one's own.
std::string source_of(const LearnedErrors& learned, const Job& job, const std::string& scenario) {
  if (!job.reference) return "";
  std::string source = std::filesystem::path(scenario.substr(0, scenario.find('#'))).stem().string();
  const auto& published = job.reference->measured.step_time_s;
  if (learned.has_source(source) || !published) return source;
  return learned.source_of_run(traits_of(job), *published);
}

Exit run(const Options& options) {
  if (options.help_scenario) {
    print_result(scenario_help());
    return Exit::done;
  }
  const ReportFormat& format = chosen("format", options.format, report_formats());
  const std::string scenario = options.inputs.one_file("SCENARIO");
  Job job = load_job(scenario, options.inputs.overrides());
  std::optional<Anchor> anchor;
  if (!options.anchors.empty()) {
    anchor = anchored(anchor_runs(options.anchors), job);
    job = with_anchor(*anchor, std::move(job));
  }
  const ExecutionOptions execution = execution_of(options, job);

  Timeline timeline;
  Report report = predict(job, execution, execution.record_spans ? &timeline : nullptr);
  report.anchor = anchor;
  const LearnedErrors learned = load_learned_errors();
  add_interval(learned, traits_of(job), source_of(learned, job, scenario), report);
  if (!options.trace.empty() && report.has_time()) write_trace(timeline, options.trace);
  if (!options.trace.empty() && !report.has_time()) print_note("no trace is written: the plan cannot run");
  if (!options.memory) report.memory_over_time.clear();
  if (report.has_time() && (options.advise || !report.feasible)) report.advice = stepcast::advise(job, report);
  print_result(format.write(report, {.explain = options.explain, .colour = wants_colour(stdout)}));
  return report.feasible ? Exit::done : Exit::answered_no;
}

}  // namespace

Action add_predict(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIO", Inputs::Count::one, "A scenario, or FILE#RUN for one run of a reference file");
  app.add_option("--format", options->format, names_of(report_formats()))->type_name("FORMAT")->capture_default_str();
  app.add_flag("--explain", options->explain, "Also operators, every stage, every assumption");
  app.add_flag("--memory", options->memory, "Also what a GPU of each stage holds over the step, and when most");
  app.add_flag("--advise", options->advise, "Also changes that take less memory; always where a plan does not fit");
  app.add_option("--anchor", options->anchors, "Measured runs that set the clock, host and network: FILE or FILE#RUN")
      ->type_name("RUNS ...");
  app.add_option("--trace", options->trace, "Write a timeline for ui.perfetto.dev: FILE.json or FILE.perfetto-trace")
      ->type_name("FILE");
  app.add_option("--trace-ranks", options->trace_ranks, "Only these simulated ranks: 0-7,64")
      ->type_name("RANKS")
      ->needs("--trace");
  app.add_option("--trace-window", options->trace_window, "Only what runs then: '1.5 s:2 s'")
      ->type_name("FROM:TO")
      ->needs("--trace");
  app.add_option("--executor", options->executor, names_of(executors) + "; else the scenario's, else dataflow")
      ->type_name("NAME");
  app.add_option("--granularity", options->granularity, names_of(granularities))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--fold", options->fold, "One rank stands for all that do the same")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--contention", options->contention, "Concurrent transfers share links (events)")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--interference", options->interference, "Transfers take SMs and bandwidth from kernels (events)")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--jitter", options->jitter, "Spread of speed between GPUs and between launches")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--seed", options->seed, "Of the jitter; else the scenario's, else 1")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber, "");
  app.add_option("--steps", options->steps, "Simulate so many steps of every rank: their median and spread")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000), "");
  app.add_flag("--help-scenario", options->help_scenario, "Print the keys of a scenario and their defaults");
  app.footer(R"(Examples:
  stepcast predict scenarios/quickstart.yaml
  stepcast predict scenarios/quickstart.yaml --set plan.recompute=full --explain
  stepcast predict scenarios/published/korthikanti-2022.yaml#kort-t5-22b-full --format json
  stepcast predict scenarios/quickstart.yaml --memory --advise
  stepcast predict scenarios/quickstart.yaml --trace step.json
  stepcast predict scenarios/published/torchtitan-docs.yaml#tt-h100-8b-n128-fsdp-compile --anchor scenarios/published/torchtitan-docs.yaml#tt-h100-8b-n8-fsdp-compile
  stepcast predict scenarios/llama3-70b-256-h100.yaml --steps 20 --trace step.perfetto-trace --trace-ranks 0-7)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
