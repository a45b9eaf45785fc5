#pragma once
/// The output formats, one file each: a new one is a function here and a row in formats.cpp.

#include <span>
#include <string>
#include <string_view>

#include "simulator/base/files.hpp"
#include "simulator/execution/timeline.hpp"
#include "simulator/report/report.hpp"

namespace stepcast {

struct ReportStyle {
  bool explain = false;  ///< operators, every stage, every assumption
  bool colour = false;   ///< terminal escapes; only the text format has them
};

/// A page for people, at most 100 columns, the answer first.
std::string text_report(const Report& report, const ReportStyle& style = {});
/// The keys of the command-line contract; SI units, shares as fractions, null for what is not known.
std::string json_report(const Report& report, const ReportStyle& style = {});
/// A header and one row: the JSON report's scalars, the same columns whatever the report.
std::string csv_report(const Report& report, const ReportStyle& style = {});
/// The JSON report as a binary stepcast.v1.Report (report.proto).
std::string proto_report(const Report& report, const ReportStyle& style = {});

/// A timeline as Chrome trace events (JSON), which Perfetto and chrome://tracing open: a process per simulated rank, a
/// thread per stream, an arrow from each send to its receive.
void chrome_trace(const Timeline& timeline, const Sink& sink);

/// The same in Perfetto's protobuf format (perfetto.proto), with names stored once and counters of link use.
void perfetto_trace(const Timeline& timeline, const Sink& sink);

struct ReportFormat {
  std::string_view name;
  std::string_view description;
  std::string (*write)(const Report&, const ReportStyle&);
};
std::span<const ReportFormat> report_formats();

struct TraceFormat {
  std::string_view name;
  std::string_view description;
  std::string_view ending;  ///< of a file's name that asks for it
  void (*write)(const Timeline&, const Sink&);
};
std::span<const TraceFormat> trace_formats();

}  // namespace stepcast
