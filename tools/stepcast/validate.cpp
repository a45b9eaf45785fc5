#include "simulator/validate.hpp"

#include <atomic>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include "simulator/base/files.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  std::string format = "text";
  std::optional<double> fail_above;
  std::string out;
  bool quiet = false;
};

/// "runs replayed: 17 of 1138", on one line of a terminal that is wiped at the end.
class Progress {
 public:
  explicit Progress(std::size_t total) : total_(total), shown_(is_terminal(stderr)) {}
  ~Progress() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance() {
    const std::size_t now = ++done_;
    const std::size_t hundredth = total_ / 100 + 1;
    if (shown_ && now % hundredth == 0)
      std::fputs(fmt::format("\rruns replayed: {} of {}", now, total_).c_str(), stderr);
  }

 private:
  std::size_t total_;
  bool shown_;
  std::atomic<std::size_t> done_ = 0;
};

Validation replay(const std::vector<ReferenceEntry>& entries) {
  const LearnedErrors learned = load_learned_errors();
  std::vector<std::vector<ValidationRow>> rows(entries.size());
  Progress progress(entries.size());
  oneapi::tbb::parallel_for(std::size_t{0}, entries.size(), [&](std::size_t i) {
    try {
      rows[i] = compare_with_measurement(entries[i].job, entries[i].file, entries[i].id, learned);
    } catch (const InternalError& error) {
      throw InternalError(fmt::format("{}#{}: {}", entries[i].file, entries[i].id, error.what()));
    }
    progress.advance();
  });
  Validation validation;
  for (const auto& of_run : rows) validation.rows.insert(validation.rows.end(), of_run.begin(), of_run.end());
  return validation;
}

/// Whether the bar was cleared. A bar that nothing was measured against is not.
Exit judged(const Validation& validation, double percent) {
  const std::optional<double> mape = summarise(validation.rows).step_time.mape;
  if (mape && *mape <= percent) return Exit::done;
  print_note(mape ? fmt::format("the mean error, {:.2f}%, is above {}%", *mape, percent)
                  : fmt::format("no step time could be compared with the bar of {}%", percent));
  return Exit::answered_no;
}

Exit run(const Options& options) {
  const ValidationFormat& format = chosen("format", options.format, validation_formats());
  const std::vector<std::string> paths = options.inputs.files();
  if (paths.empty()) throw UserError("validate needs the PATH of a file or folder with reference runs");

  const Validation validation = replay(load_reference_runs(paths, options.inputs.overrides()));
  if (options.out.empty()) {
    print_result(format.write(validation, {.quiet = options.quiet, .colour = wants_colour(stdout)}));
  } else {
    write_file_atomically(options.out, format.write(validation, {.quiet = options.quiet, .colour = false}));
  }
  return options.fail_above ? judged(validation, *options.fail_above) : Exit::done;
}

}  // namespace

Action add_validate(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "PATH", Inputs::Count::many, "Files or folders of reference runs");
  app.add_option("--format", options->format, names_of(validation_formats()))
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--fail-above", options->fail_above, "Exit 1 when the mean error of the step time is larger")
      ->type_name("PERCENT");
  app.add_option("--out", options->out, "Write to a file instead of standard output")->type_name("FILE");
  app.add_flag("--quiet", options->quiet, "The summary without the list of the largest errors");
  app.footer(R"(Examples:
  stepcast validate scenarios/published
  stepcast validate scenarios/published/korthikanti-2022.yaml --format json
  stepcast validate my-runs/ --fail-above 10
  stepcast validate scenarios/published --format html --out accuracy.html)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
