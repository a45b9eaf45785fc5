#pragma once
/// How predictions compare with what was measured: rows, one a run and metric, and their summary.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simulator/report/traits.hpp"

namespace stepcast {

enum class Metric { step_time, memory };

/// suspect: predicted, but the measurement itself is doubted; infeasible_predicted: it ran, and we say that it cannot;
/// oom_agreed, oom_missed: published as out of memory, and we say so too, or not.
enum class ValidationStatus { ok, unsupported, suspect, infeasible_predicted, oom_agreed, oom_missed };

std::string_view name_of(Metric metric);            ///< step_time_s | memory_gib
std::string_view name_of(ValidationStatus status);  ///< ok | unsupported | ... as in the JSON contract

struct ValidationRow {
  std::string id;
  std::string file;
  std::string source_title;
  RunTraits traits;
  Metric metric = Metric::step_time;
  std::optional<double> published;  ///< seconds or GiB
  std::optional<double> predicted;
  std::optional<std::pair<double, double>> interval;  ///< of the prediction
  ValidationStatus status = ValidationStatus::ok;
  std::string reason;      ///< why it is unsupported, suspect or infeasible
  std::string confidence;  ///< exact | inferred

  /// Signed; absent when either number is.
  std::optional<double> error_percent() const;
  /// Whether the interval holds the published value; absent without an interval.
  std::optional<bool> covered() const;
};

/// The source that a row is from: its file's name without folder and ending.
std::string source_of(const ValidationRow& row);

/// Errors of a group of rows, in percent; all absent when there are none.
struct ErrorSummary {
  int runs = 0;
  std::optional<double> mape;    ///< mean of |error|
  std::optional<double> median;  ///< of |error|; the mean of the middle two of an even number
  std::optional<double> p90;     ///< of |error|, nearest rank: the smallest that at least 90% of the rows do not exceed
  std::optional<double> max;     ///< of |error|
  std::optional<double> bias;    ///< mean of the signed error
};

using ErrorGroups = std::map<std::string, ErrorSummary>;

struct ValidationSummary {
  ErrorSummary step_time;                       ///< rows with status ok
  std::optional<double> interval_coverage;      ///< share of those with an interval that it covers
  ErrorGroups by_gpu, by_source, by_framework;  ///< source: the file's name without folder and ending
  ErrorGroups by_model, by_parallelism, by_size;
  ErrorSummary memory;
  ErrorSummary suspect;                   ///< step times of doubted measurements
  std::map<ValidationStatus, int> count;  ///< of runs: every one counts once, whatever its metrics
  std::map<std::string, int> unsupported_by_reason;
};

/// A way to group runs, and where a row belongs in it.
struct Grouping {
  std::string_view name;  ///< heading of its table
  std::string_view key;   ///< in the JSON summary
  std::string (*group_of)(const ValidationRow&);
  ErrorGroups ValidationSummary::*groups;
};
std::span<const Grouping> groupings();

/// "7.1%"; "-" when there is none.
std::string error_text(const std::optional<double>& percent);
std::string signed_error_text(const std::optional<double>& percent);

ErrorSummary summarise_errors(const std::vector<double>& errors_percent);
ValidationSummary summarise(const std::vector<ValidationRow>& rows);

struct Validation {
  std::vector<ValidationRow> rows;
};

struct ValidationStyle {
  bool quiet = false;  ///< the tables alone, without the list of the largest errors
  bool colour = false;
};

std::string validation_text(const Validation& validation, const ValidationStyle& style = {});
std::string validation_json(const Validation& validation, const ValidationStyle& style = {});
std::string validation_csv(const Validation& validation, const ValidationStyle& style = {});
std::string validation_svg(const Validation& validation, const ValidationStyle& style = {});
std::string validation_html(const Validation& validation, const ValidationStyle& style = {});

struct ValidationFormat {
  std::string_view name;
  std::string_view description;
  std::string (*write)(const Validation&, const ValidationStyle&);
};
std::span<const ValidationFormat> validation_formats();

}  // namespace stepcast
