#include "simulator/predict.hpp"

#include <memory>

#include "simulator/base/files.hpp"
#include "simulator/report/formats.hpp"
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
  std::string executor = "dataflow";
  std::string granularity = "chunk";
  std::string fold = "on";
  std::string contention = "on";
  std::string jitter = "on";
  std::uint64_t seed = 1;
  std::string format = "text";
  std::string trace;
  bool explain = false;
  bool help_scenario = false;
};

ExecutionOptions execution_of(const Options& options) {
  ExecutionOptions execution;
  execution.executor = chosen("executor", options.executor, executors).value;
  execution.granularity = chosen("granularity", options.granularity, granularities).value;
  execution.fold = switched_on("--fold", options.fold);
  execution.contention = switched_on("--contention", options.contention);
  execution.jitter = switched_on("--jitter", options.jitter);
  execution.seed = options.seed;
  execution.record_spans = !options.trace.empty();
  return execution;
}

void write_trace(const Timeline& timeline, const std::string& path) {
  write_file_atomically(path, [&](const Sink& sink) { trace_formats().front().write(timeline, sink); });
}

Exit run(const Options& options) {
  if (options.help_scenario) {
    print_result(scenario_help());
    return Exit::done;
  }
  const ReportFormat& format = chosen("format", options.format, report_formats());
  const ExecutionOptions execution = execution_of(options);
  const Job job = load_job(options.inputs.one_file("SCENARIO"), options.inputs.overrides());

  Timeline timeline;
  const Report report = predict(job, execution, execution.record_spans ? &timeline : nullptr);
  if (execution.record_spans && report.has_time()) write_trace(timeline, options.trace);
  if (execution.record_spans && !report.has_time()) print_note("no trace is written: the plan cannot run");
  print_result(format.write(report, {.explain = options.explain, .colour = wants_colour(stdout)}));
  return report.feasible ? Exit::done : Exit::answered_no;
}

}  // namespace

Action add_predict(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIO", Inputs::Count::one, "A scenario, or FILE#RUN for one run of a reference file");
  app.add_option("--format", options->format, names_of(report_formats()))->type_name("FORMAT")->capture_default_str();
  app.add_flag("--explain", options->explain, "Also operators, every stage, every assumption");
  app.add_option("--trace", options->trace, "Write a timeline for ui.perfetto.dev")->type_name("FILE");
  app.add_option("--executor", options->executor, names_of(executors))->type_name("NAME")->capture_default_str();
  app.add_option("--granularity", options->granularity, names_of(granularities))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--fold", options->fold, "One rank stands for all that do the same")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--contention", options->contention, "Concurrent transfers share links (events)")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--jitter", options->jitter, "Spread of speed between GPUs and between launches")
      ->type_name("on|off")
      ->capture_default_str();
  app.add_option("--seed", options->seed, "Of the jitter")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber, "");
  app.add_flag("--help-scenario", options->help_scenario, "Print the keys of a scenario and their defaults");
  app.footer(R"(Examples:
  stepcast predict scenarios/quickstart.yaml
  stepcast predict scenarios/quickstart.yaml --set plan.recompute=full --explain
  stepcast predict scenarios/published/korthikanti-2022.yaml#kort-t5-22b-full --format json
  stepcast predict scenarios/quickstart.yaml --trace step.json)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
