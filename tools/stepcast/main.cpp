#include <csignal>
#include <exception>
#include <map>
#include <string>

#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

const std::vector<Command>& commands() {
  static const std::vector<Command> table{
      {"predict", "Predict one training step: its time, its memory, and where every second goes", add_predict},
      {"roofline", "List every operator against what the GPU could reach: text, JSON or a plot", add_roofline},
      {"validate", "Replay measured runs and print how far the predictions are from them", add_validate},
      {"sweep", "Find the best plan, and prove that there is none better", add_sweep},
      {"plan", "Plan a run from a budget: model, tokens, days, dollars, energy; fit scaling laws", add_plan},
      {"compare", "Say why one plan beats another, in seconds", add_compare},
      {"sensitivity", "Say what more of each resource would buy", add_sensitivity},
      {"scale", "Predict throughput and efficiency over cluster sizes: a table, or a plot", add_scale},
      {"emit", "Print the launch flags or the configuration of a plan for a framework", add_emit},
      {"import", "Make a scenario of the flags of a run", add_import},
      {"calibrate", "Make a GPU profile: import or take measurements, fit, print the error", add_calibrate},
      {"collective", "Time a collective of any size on a group of GPUs, as nccl-tests prints it", add_collective},
      {"topology", "Show how a cluster is joined, its bisection, and what a group of ranks gets", add_topology},
      {"list", "List what a scenario may name: models, GPUs, fabrics, schedules, ...", add_list},
  };
  return table;
}

constexpr const char* examples = R"(Examples:
  stepcast predict scenarios/quickstart.yaml
  stepcast predict scenarios/quickstart.yaml --set plan.recompute=full --explain
  stepcast roofline scenarios/quickstart.yaml --format svg --out roofline.svg
  stepcast validate scenarios/published/korthikanti-2022.yaml
  stepcast list gpus

Exit status: 0 done, 1 answered "no" (does not fit, bar missed), 2 wrong input, 3 our fault.)";

/// A misspelt subcommand would otherwise be "an argument that was not expected".
void check_command_name(int argc, char** argv) {
  if (argc > 1 && argv[1][0] != '-') chosen("subcommand", argv[1], commands());
}

Exit run(int argc, char** argv) {
  CLI::App app("Stepcast: predicts how long a training step takes, how much memory it needs, and why.", "stepcast");
  app.set_version_flag("--version", "stepcast " STEPCAST_VERSION);
  app.require_subcommand(0, 1);
  app.footer(examples);
  std::map<const CLI::App*, Action> actions;
  for (const Command& command : commands()) {
    CLI::App* subcommand = app.add_subcommand(command.name, command.description);
    subcommand->allow_extras();
    actions[subcommand] = command.add(*subcommand);
  }

  check_command_name(argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print_result(app.help());  // of the subcommand, when there is one
    return done;
  } catch (const CLI::Success& version) {
    print_result(std::string(version.what()) + "\n");
    return done;
  } catch (const CLI::ParseError& error) {
    for (const CLI::App* command : app.get_subcommands()) check_leftovers(*command);  // says more, when it is that
    throw UserError(error.what());
  }

  const auto chosen_commands = app.get_subcommands();
  if (chosen_commands.empty()) {
    print_result(app.help());
    return done;
  }
  check_leftovers(*chosen_commands.front());
  return actions.at(chosen_commands.front())();
}

}  // namespace
}  // namespace stepcast::cli

int main(int argc, char** argv) {
  using namespace stepcast;
  std::signal(SIGPIPE, SIG_IGN);  // print_result() meets it as EPIPE
  try {
    return cli::run(argc, argv);
  } catch (const UserError& error) {
    cli::print_note(error.what());
    return cli::wrong_input;
  } catch (const std::exception& error) {
    cli::print_note(std::string("stepcast: internal error, please report it with this command and its input files\n") +
                    error.what());
    return cli::our_fault;
  }
}
