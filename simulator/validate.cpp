#include "simulator/validate.hpp"

#include "simulator/predict.hpp"
#include "simulator/resolve.hpp"

namespace stepcast {
namespace {

struct Entry {
  const Job& job;
  const std::string& file;
  const std::string& id;
};

ValidationRow row_of(const Entry& entry, Metric metric) {
  ValidationRow row;
  row.id = entry.id;
  row.file = entry.file;
  if (const auto& reference = entry.job.reference) {
    row.source_title = reference->title;
    row.confidence = reference->confidence;
  }
  row.traits = traits_of(entry.job);
  row.metric = metric;
  return row;
}

ValidationRow step_time_row(const Entry& entry, const Report& report, const LearnedErrors& learned) {
  ValidationRow row = row_of(entry, Metric::step_time);
  const Reference& reference = *entry.job.reference;
  row.published = reference.measured.step_time_s;
  if (report.has_time()) row.predicted = report.step_time.si();
  if (report.has_time()) {
    if (const auto interval = learned.interval(row.traits, source_of(row)))
      row.interval = {*row.predicted * interval->low, *row.predicted * interval->high};
  }
  if (!reference.suspect.empty()) {
    row.status = ValidationStatus::suspect;
    row.reason = reference.suspect;
  } else if (!report.feasible) {
    row.status = ValidationStatus::infeasible_predicted;
    row.reason = report.infeasible_reason;
  }
  return row;
}

/// What the kind of measurement sees of the prediction; one that does not say is what the framework's own log prints.
Bytes seen_by(const std::string& stated, const std::string& logged, const MemoryUse& memory) {
  const std::string& kind = stated.empty() ? logged : stated;
  if (kind == "allocated" || kind == "active") return memory.allocated();
  return kind == "reserved" ? memory.reserved() : memory.peak();
}

ValidationRow memory_row(const Entry& entry, const Report& report) {
  ValidationRow row = row_of(entry, Metric::memory);
  const Reference& reference = *entry.job.reference;
  row.published = reference.measured.memory_gib;
  if (report.memory.peak() > Bytes{}) {
    const std::string& logged = *entry.job.framework.memory_log;
    row.predicted = seen_by(reference.measured.memory_kind, logged, report.memory) / 1.0_GiB;
  }
  if (!reference.suspect.empty()) {
    row.status = ValidationStatus::suspect;
    row.reason = reference.suspect;
  } else if (!row.predicted) {
    row.status = ValidationStatus::infeasible_predicted;
    row.reason = report.infeasible_reason;
  }
  return row;
}

ValidationRow out_of_memory_row(const Entry& entry, const Report& report) {
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

}  // namespace

std::vector<ValidationRow> compare_with_measurement(const Job& job, const std::string& file, const std::string& id,
                                                    const LearnedErrors& learned) {
  const Entry entry{job, file, id};
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
  if (measured.step_time_s) rows.push_back(step_time_row(entry, report, learned));
  if (measured.memory_gib) rows.push_back(memory_row(entry, report));
  return rows;
}

}  // namespace stepcast
