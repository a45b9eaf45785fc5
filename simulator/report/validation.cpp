#include "simulator/report/validation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include <fmt/format.h>

namespace stepcast {
namespace {

/// Errors gathered by the name of a group.
using Gathered = std::map<std::string, std::vector<double>>;

ErrorGroups summarise_groups(const Gathered& gathered) {
  ErrorGroups groups;
  for (const auto& [name, errors] : gathered) groups[name] = summarise_errors(errors);
  return groups;
}

constexpr Grouping grouping_table[] = {
    {"GPU", "by_gpu", [](const ValidationRow& row) { return row.traits.gpu; }, &ValidationSummary::by_gpu},
    {"framework", "by_framework", [](const ValidationRow& row) { return row.traits.framework; },
     &ValidationSummary::by_framework},
    {"model", "by_model", [](const ValidationRow& row) { return row.traits.model_family; },
     &ValidationSummary::by_model},
    {"parallelism", "by_parallelism", [](const ValidationRow& row) { return row.traits.parallelism; },
     &ValidationSummary::by_parallelism},
    {"cluster", "by_size", [](const ValidationRow& row) { return size_class(row.traits.gpus); },
     &ValidationSummary::by_size},
    {"source", "by_source", [](const ValidationRow& row) { return source_of(row); }, &ValidationSummary::by_source},
};

}  // namespace

std::string source_of(const ValidationRow& row) { return std::filesystem::path(row.file).stem().string(); }

std::span<const Grouping> groupings() { return grouping_table; }

std::string_view name_of(Metric metric) { return metric == Metric::step_time ? "step_time_s" : "memory_gib"; }

std::string_view name_of(ValidationStatus status) {
  constexpr std::array<std::string_view, 6> names{"ok",         "unsupported", "suspect", "infeasible-predicted",
                                                  "oom-agreed", "oom-missed"};
  return names[static_cast<std::size_t>(status)];
}

std::optional<double> ValidationRow::error_percent() const {
  if (!published || !predicted || !(*published > 0)) return std::nullopt;
  return 100 * (*predicted / *published - 1);
}

std::optional<bool> ValidationRow::covered() const {
  if (!published || !interval) return std::nullopt;
  return interval->first <= *published && *published <= interval->second;
}

std::string error_text(const std::optional<double>& percent) {
  return percent ? fmt::format("{:.1f}%", *percent) : "-";
}
std::string signed_error_text(const std::optional<double>& percent) {
  return percent ? fmt::format("{:+.1f}%", *percent) : "-";
}

ErrorSummary summarise_errors(const std::vector<double>& errors_percent) {
  ErrorSummary summary;
  const std::size_t n = errors_percent.size();
  if (n == 0) return summary;

  std::vector<double> sizes;
  for (double error : errors_percent) sizes.push_back(std::abs(error));
  std::sort(sizes.begin(), sizes.end());
  const auto mean = [n](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(n);
  };
  const std::size_t nearest_rank = (9 * n + 9) / 10;  // ceil(0.9 n), without rounding errors

  summary.runs = static_cast<int>(n);
  summary.mape = mean(sizes);
  summary.median = (sizes[(n - 1) / 2] + sizes[n / 2]) / 2;
  summary.p90 = sizes[nearest_rank - 1];
  summary.max = sizes.back();
  summary.bias = mean(errors_percent);
  return summary;
}

ValidationSummary summarise(const std::vector<ValidationRow>& rows) {
  std::vector<double> step_time, memory, suspect;
  std::vector<Gathered> gathered(groupings().size());
  int covered = 0, with_interval = 0;
  std::set<std::pair<std::string, std::string>> counted;
  ValidationSummary summary;

  for (const ValidationRow& row : rows) {
    if (counted.insert({row.file, row.id}).second) {
      ++summary.count[row.status];
      if (row.status == ValidationStatus::unsupported) ++summary.unsupported_by_reason[row.reason];
    }
    const std::optional<double> error = row.error_percent();
    if (!error) continue;
    if (row.metric == Metric::memory) {
      if (row.status == ValidationStatus::ok) memory.push_back(*error);
    } else if (row.status == ValidationStatus::suspect) {
      suspect.push_back(*error);
    } else if (row.status == ValidationStatus::ok) {
      step_time.push_back(*error);
      for (std::size_t g = 0; g < gathered.size(); ++g) gathered[g][groupings()[g].group_of(row)].push_back(*error);
      if (row.covered()) {
        ++with_interval;
        covered += *row.covered();
      }
    }
  }

  summary.step_time = summarise_errors(step_time);
  if (with_interval > 0) summary.interval_coverage = static_cast<double>(covered) / with_interval;
  for (std::size_t g = 0; g < gathered.size(); ++g) summary.*groupings()[g].groups = summarise_groups(gathered[g]);
  summary.memory = summarise_errors(memory);
  summary.suspect = summarise_errors(suspect);
  return summary;
}

}  // namespace stepcast
