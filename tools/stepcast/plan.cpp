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

constexpr const char* examples = R"(Examples:
  stepcast plan fit models/scaling_laws/points/chinchilla-figure-4.csv --drop-highest 5
  stepcast plan fit my-runs.csv --out my-law.yaml --plot my-law.svg
  stepcast plan shape --family llama3 --parameters 97e9 --tensor-parallel 8 --layers-divide-by 16)";

}  // namespace

Action add_plan(CLI::App& app) { return add_subcommands(app, steps(), examples); }

}  // namespace stepcast::cli
