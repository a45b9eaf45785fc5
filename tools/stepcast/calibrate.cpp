#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

const std::vector<Command>& steps() {
  static const std::vector<Command> table{
      {"measure", "Measure this machine's GPU, in less than five minutes", add_calibrate_measure},
      {"import", "Read published tables and nccl-tests logs into measurements", add_calibrate_import},
      {"fit", "Fit a GPU profile to measurements, and print its error on those held out", add_calibrate_fit},
  };
  return table;
}

constexpr const char* examples = R"(Examples:
  stepcast calibrate measure --out measurements.jsonl
  stepcast calibrate import --from nccl-tests all_reduce.log --out nccl.jsonl
  stepcast calibrate import --from aiconfigurator --dtype bf16 gemm.csv --out gemm.jsonl
  stepcast calibrate fit gemm.jsonl --gpu h100-80gb-sxm --out my-h100.yaml --plot fit.svg

calibration/README.md has the whole loop: measure, fit, profile, predict.)";

}  // namespace

Action add_calibrate(CLI::App& app) { return add_subcommands(app, steps(), examples); }

}  // namespace stepcast::cli
