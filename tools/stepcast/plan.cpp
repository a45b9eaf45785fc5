#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "simulator/base/files.hpp"
#include "simulator/budget/answer_formats.hpp"
#include "simulator/input/question_reader.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

const std::vector<Command>& steps() {
  static const std::vector<Command> table{
      {"fit", "Fit a scaling law to points of parameters, tokens and loss", add_plan_fit},
      {"shape", "Make a number of parameters a model of a family that divides by its degrees", add_plan_shape},
  };
  return table;
}

struct Options {
  Inputs inputs;
  bool help_file = false;
  std::string out;
  std::string scenario;
  std::string format = "text";
};

constexpr const char* examples = R"(Examples:
  stepcast plan scenarios/plans/chinchilla-on-1024-h100.yaml
  stepcast plan scenarios/plans/sixty-days.yaml --set budget.days=30
  stepcast plan scenarios/plans/two-clusters.yaml --format html --out plan.html
  stepcast plan scenarios/plans/sixty-days.yaml --scenario run.yaml && stepcast predict run.yaml
  stepcast plan --help-file
  stepcast plan fit models/scaling_laws/points/chinchilla-figure-4.csv --drop-highest 5
  stepcast plan fit my-runs.csv --out my-law.yaml --plot my-law.svg
  stepcast plan shape --family llama3 --parameters 97e9 --tensor-parallel 8 --layers-divide-by 16

Exit status: 0 a run is planned, 1 no cluster can do it, 2 wrong input.)";

/// The last line of a terminal says what is being done; elsewhere it is quiet.
class Telling {
 public:
  Telling() : shows_(is_terminal(stderr)) {}
  ~Telling() {
    if (shows_ && told_) std::fputs("\r\033[K", stderr);
  }
  void operator()(const std::string& what) {
    if (!shows_) return;
    told_ = true;
    std::fputs(("\r\033[K" + what.substr(0, 100)).c_str(), stderr);
    std::fflush(stderr);
  }

 private:
  bool shows_, told_ = false;
};

/// "plan fitt POINTS.csv" means no plan file of that name.
void check_step_name(const std::vector<std::string>& files) {
  std::error_code ignored;
  if (files.empty() || std::filesystem::exists(files.front(), ignored)) return;
  std::vector<std::string> names;
  for (const Command& step : steps()) names.push_back(step.name);
  if (!nearest_name(files.front(), names).empty()) throw UserError(unknown_name("subcommand", files.front(), names));
}

Exit run(const Options& options) {
  if (options.help_file) {
    print_result(question_help());
    return done;
  }
  check_step_name(options.inputs.files());
  const auto& form = chosen("format", options.format, answer_forms());
  AskedQuestion asked = load_question(options.inputs.one_file("plan file"), options.inputs.overrides());
  Answer answered;
  {
    Telling telling;
    answered = answer(asked.question, [&](const std::string& what) { telling(what); });
  }
  if (is_terminal(stderr)) print_note(fmt::format("answered in {}", to_text(Seconds(answered.seconds))));
  answered.assumed = std::move(asked.assumed);
  const ClusterAnswer& best = answered.clusters[answered.best];
  if (!options.scenario.empty() && best.problem.empty()) {
    Job job = best.pace.main().job;
    job.name = answered.name;
    write_file_atomically(options.scenario, scenario_text(job));
  }
  const std::string text = form.write(answered, {options.out.empty() && wants_colour(stdout)});
  if (options.out.empty()) {
    print_result(text);
  } else {
    write_file_atomically(options.out, text);
  }
  return best.problem.empty() ? done : answered_no;
}

}  // namespace

Action add_plan(CLI::App& app) {
  const Action subcommand = add_subcommands(app, steps(), examples);
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "PLAN", Inputs::Count::many, "A plan file (YAML); --help-file prints its keys");
  app.add_flag("--help-file", options->help_file, "Print the keys of a plan file");
  app.add_option("--out", options->out, "Write to a file instead of standard output")->type_name("FILE");
  app.add_option("--scenario", options->scenario, "Write the longest phase as a scenario: predict, sweep, emit it")
      ->type_name("FILE");
  app.add_option("--format", options->format, names_of(answer_forms()))->type_name("NAME")->capture_default_str();
  return [&app, options, subcommand] { return app.get_subcommands().empty() ? run(*options) : subcommand(); };
}

}  // namespace stepcast::cli
