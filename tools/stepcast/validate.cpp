#include <atomic>
#include <cstdio>
#include <memory>

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include "simulator/predict.hpp"
#include "simulator/report/validation.hpp"
#include "simulator/resolve.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  std::string format = "text";
  std::optional<double> fail_above;
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

ValidationRow row_of(const ReferenceEntry& entry, Metric metric) {
  ValidationRow row;
  row.id = entry.id;
  row.file = entry.file;
  if (const auto& reference = entry.job.reference) {
    row.source_title = reference->title;
    row.confidence = reference->confidence;
  }
  row.gpu = entry.job.cluster.gpu.name;
  row.framework = entry.job.framework.name;
  row.metric = metric;
  return row;
}

ValidationRow step_time_row(const ReferenceEntry& entry, const Report& report) {
  ValidationRow row = row_of(entry, Metric::step_time);
  const Reference& reference = *entry.job.reference;
  row.published = reference.measured.step_time_s;
  if (report.has_time()) row.predicted = report.step_time.si();
  if (report.interval) row.interval = {report.interval->first.si(), report.interval->second.si()};
  if (!reference.suspect.empty()) {
    row.status = ValidationStatus::suspect;
    row.reason = reference.suspect;
  } else if (!report.feasible) {
    row.status = ValidationStatus::infeasible_predicted;
    row.reason = report.infeasible_reason;
  }
  return row;
}

/// Every kind of measured memory is compared with the predicted peak.
ValidationRow memory_row(const ReferenceEntry& entry, const Report& report) {
  ValidationRow row = row_of(entry, Metric::memory);
  const Reference& reference = *entry.job.reference;
  row.published = reference.measured.memory_gib;
  if (report.memory.peak() > Bytes{}) row.predicted = report.memory.peak() / 1.0_GiB;
  if (!reference.suspect.empty()) {
    row.status = ValidationStatus::suspect;
    row.reason = reference.suspect;
  } else if (!row.predicted) {
    row.status = ValidationStatus::infeasible_predicted;
    row.reason = report.infeasible_reason;
  }
  return row;
}

ValidationRow out_of_memory_row(const ReferenceEntry& entry, const Report& report) {
  ValidationRow row = memory_row(entry, report);
  const bool agreed = !report.memory.fits();
  row.status = agreed ? ValidationStatus::oom_agreed : ValidationStatus::oom_missed;
  row.reason = agreed ? report.infeasible_reason : "published as out of memory";
  return row;
}

/// Why a run cannot be compared; empty: it can.
std::string incomparable(const Job& job, const Measured& measured) {
  if (!measured.step_time_s && !measured.memory_gib && !measured.out_of_memory) return "nothing was measured";
  return unsupported_reason(resolve(job));
}

/// What a reference run says of us: a row for each thing that was measured.
std::vector<ValidationRow> rows_of(const ReferenceEntry& entry) {
  const Measured measured = entry.job.reference ? entry.job.reference->measured : Measured{};
  if (const std::string reason = incomparable(entry.job, measured); !reason.empty()) {
    ValidationRow row = row_of(entry, measured.step_time_s ? Metric::step_time : Metric::memory);
    row.published = measured.step_time_s ? measured.step_time_s : measured.memory_gib;
    row.status = ValidationStatus::unsupported;
    row.reason = reason;
    return {row};
  }
  const Report report = predict(entry.job);
  if (measured.out_of_memory) return {out_of_memory_row(entry, report)};
  std::vector<ValidationRow> rows;
  if (measured.step_time_s) rows.push_back(step_time_row(entry, report));
  if (measured.memory_gib) rows.push_back(memory_row(entry, report));
  return rows;
}

Validation replay(const std::vector<ReferenceEntry>& entries) {
  std::vector<std::vector<ValidationRow>> rows(entries.size());
  Progress progress(entries.size());
  oneapi::tbb::parallel_for(std::size_t{0}, entries.size(), [&](std::size_t i) {
    try {
      rows[i] = rows_of(entries[i]);
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
  print_result(format.write(validation, {.quiet = options.quiet, .colour = wants_colour(stdout)}));
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
  app.add_flag("--quiet", options->quiet, "The summary without the list of the largest errors");
  app.footer(R"(Examples:
  stepcast validate scenarios/published
  stepcast validate scenarios/published/korthikanti-2022.yaml --format json
  stepcast validate my-runs/ --fail-above 10)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
