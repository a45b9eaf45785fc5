#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "calibration/import/importer.hpp"
#include "simulator/base/files.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string from;
  std::string out;
  ImportOptions import;
};

Exit run(const Options& options) {
  if (options.from.empty()) throw UserError("calibrate import needs --from: one of " + names_of(importers()));
  if (options.files.empty()) throw UserError("calibrate import needs the FILE of a table");
  if (options.out.empty()) throw UserError("calibrate import needs --out FILE.jsonl");
  const Importer& importer = chosen("source of tables", options.from, importers());
  std::error_code ignored;
  if (std::filesystem::is_regular_file(options.out, ignored))
    throw UserError(options.out + ": exists; measurements are not overwritten");

  const ImportedFiles imported = import_files(importer, options.files, options.import);
  std::string lines;
  std::map<std::string_view, int> kinds;
  for (const Measurement& measurement : imported.measurements) {
    lines += to_line(measurement) + "\n";
    ++kinds[kind_of(measurement.point)];
  }
  write_file_atomically(options.out, lines);
  for (const auto& [kind, count] : kinds) print_note(fmt::format("{}: {} {} measurements", options.out, count, kind));
  if (imported.merged > 0) print_note(fmt::format("{} rows repeat another: their median was taken", imported.merged));
  for (const auto& [reason, count] : imported.left_out) print_note(fmt::format("{} left out: {}", count, reason));
  return Exit::done;
}

}  // namespace

Action add_calibrate_import(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("FILE", options->files, "Tables or logs")->type_name("");
  app.add_option("--from", options->from, names_of(importers()))->type_name("SOURCE");
  app.add_option("--out", options->out, "The measurements, one JSON object a line")->type_name("FILE");
  app.add_option("--gpu", options->import.gpu, "Preset of the GPU, where its name in the table is not enough")
      ->type_name("GPU");
  app.add_option("--dtype", options->import.dtype, "Only rows of this type, as the table spells it")->type_name("TYPE");
  app.add_option("--op", options->import.op, "nccl-tests: the operation, when the log does not say")->type_name("OP");
  app.add_option("--ranks", options->import.ranks, "nccl-tests: GPUs, when the log does not list them")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  app.add_option("--nodes", options->import.nodes, "nccl-tests: nodes")->type_name("N")->check(CLI::PositiveNumber);
  app.add_flag("--drop-contradictions", options->import.drop_contradictions,
               "Leave out shapes whose times contradict one another");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
