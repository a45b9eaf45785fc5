// The microbenchmarks are a program of their own, beside this one, so that this one links no CUDA and starts fast.

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <unistd.h>

#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

/// Handed on as they were given: the other program knows what they mean.
struct Options {
  std::string out, seconds, id_file;
  std::vector<std::string> only;
  bool quick = false, list = false;
};

std::vector<std::string> arguments_of(const Options& options) {
  std::vector<std::string> arguments;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {name, value});
  };
  add("--out", options.out);
  for (const std::string& names : options.only) add("--only", names);
  add("--seconds", options.seconds);
  add("--nccl-id", options.id_file);
  if (options.quick) arguments.emplace_back("--quick");
  if (options.list) arguments.emplace_back("--list");
  return arguments;
}

Exit run(const Options& options) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string program = (self.parent_path() / "stepcast-measure").string();
  if (error || access(program.c_str(), X_OK) != 0) {
    print_note(
        "The microbenchmarks were not built, because there was no CUDA toolkit (12 or newer): install one and build "
        "with 'cmake --preset cuda && cmake --build --preset cuda'.");
    return answered_no;
  }
  const std::vector<std::string> arguments = arguments_of(options);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  throw UserError("cannot start " + program + ": " + std::strerror(errno));
}

}  // namespace

Action add_calibrate_measure(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("--out", options->out, "File that grows by one line a point; what is in it is not measured again")
      ->type_name("FILE=measurements.jsonl");
  app.add_option("--only", options->only, "Some benchmarks: gemm,memory,... (--list names them)")->type_name("NAMES");
  app.add_option("--seconds", options->seconds, "No point begins later than this")->type_name("N=300");
  app.add_option("--nccl-id", options->id_file, "Several nodes: a new file that all see, under mpirun or srun")
      ->type_name("FILE");
  app.add_flag("--quick", options->quick, "A few points of each kind, within a minute");
  app.add_flag("--list", options->list, "Print what would be measured; needs no GPU");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
