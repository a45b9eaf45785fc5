#include "simulator/report/formats.hpp"

namespace stepcast {
namespace {

constexpr ReportFormat report_table[] = {
    {"text", "a page for people: the answer first, then where the time and the memory go", text_report},
    {"json", "every figure, SI units; the keys are a contract", json_report},
    {"csv", "a header and one row of the scalar figures", csv_report},
    {"proto", "the JSON report as a binary stepcast.v1.Report (simulator/report/report.proto)", proto_report},
};

constexpr TraceFormat trace_table[] = {
    {"chrome-trace", "predict --trace FILE.json: Chrome trace events; open it at ui.perfetto.dev", ".json",
     chrome_trace},
    {"perfetto-trace", "predict --trace FILE.perfetto-trace: a tenth of the size; open it at ui.perfetto.dev",
     ".perfetto-trace", perfetto_trace},
};

}  // namespace

std::span<const ReportFormat> report_formats() { return report_table; }
std::span<const TraceFormat> trace_formats() { return trace_table; }

}  // namespace stepcast
