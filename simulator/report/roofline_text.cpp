#include <algorithm>

#include <fmt/format.h>

#include "simulator/base/text_table.hpp"
#include "simulator/report/operator_text.hpp"
#include "simulator/report/page.hpp"
#include "simulator/report/roofline.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

constexpr std::size_t name_width = 27;
constexpr int bar_width = 50;

std::string heading(const Report& r, const Paint& paint) {
  std::string name = wrapped("", r.scenario);
  name.pop_back();
  return paint.strong(name) + "\n" + labelled("model", r.model_name) + labelled("cluster", r.cluster_text) +
         labelled("plan", r.plan_text) + labelled("framework", r.framework_name);
}

std::string roofs(const Report& r, const Paint& paint) {
  std::string page = title(paint, "What one GPU could reach at most");
  for (const Roofs::MatrixUnits& units : r.roofs.matrix)
    page += labelled("tensor cores", fmt::format("{} in {}; its largest tiles sustain {}", to_text(units.peak),
                                                 units.precision, to_text(units.sustained)));
  page += labelled("HBM", fmt::format("{}; large elementwise kernels sustain {}", to_text(r.roofs.hbm),
                                      to_text(r.roofs.hbm_sustained)));
  return page + labelled("ridge", fmt::format("{} FLOP per byte: below it an operator waits for HBM, above it for the "
                                              "tensor cores",
                                              number_text(r.roofs.ridge())));
}

std::string bounds(const Report& r, const Paint& paint) {
  std::string page = title(
      paint, fmt::format("What the operators of stage {} wait for (step {})", r.busiest_stage, to_text(r.step_time)));
  for (const auto& [bound, time] : time_by_bound(r, r.busiest_stage)) {
    const double share = time / r.step_time;
    page += fmt::format("  {}{:>9}{:>8}  {}\n", padded(bound, 22), to_text(time), percent_text(share),
                        paint.bar(bar(share, bar_width)));
  }
  return page;
}

/// "Layer, on stage 3, which has 12: 91.2% of its step"
std::string block_title(const Report& r, const RooflineBlock& block) {
  Seconds sum;
  for (const RooflinePass& pass : block.passes)
    for (const OperatorTime* op : pass.operators) sum += op->total();
  std::string text = block.name == "step" ? "Once a step" : block.name;
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  text += fmt::format(", stage {}", block.stage);
  if (block.name == "layer") {
    for (const StageReport& stage : r.per_stage)
      if (stage.stage == block.stage) text += fmt::format(" with {} of them", number_text(stage.layers));
  }
  return text + fmt::format(": {} of the step", percent_text(sum / r.step_time));
}

std::string intensity_text(const OperatorTime& op) {
  return op.flops > 0 && op.bytes > Bytes{} ? number_text(op.intensity()) : "-";
}

std::string share_text(const OperatorTime& op, const Roofs& roofs) {
  const auto share = share_of_roof(op, roofs.hbm);
  return share ? fmt::format("{:.0f}%", 100 * *share) : "-";
}

/// How long each operator takes, and why.
std::string times(const Report& r, const RooflineBlock& block) {
  TextTable table({{"time"},
                   {"each", Align::right},
                   {"step", Align::right},
                   {"FLOP/byte", Align::right},
                   {"reaches", Align::right},
                   {"roof", Align::right},
                   {"bound by"},
                   {"time from"}});
  for (const RooflinePass& pass : block.passes) {
    table.add_row({pass_text(pass.pass), "", "", "", "", "", "", ""});
    for (const OperatorTime* op : pass.operators)
      table.add_row({shortened("  " + op->name, name_width), to_text(op->each), percent_text(op->total() / r.step_time),
                     intensity_text(*op), reaches_text(*op), share_text(*op, r.roofs), op->bound, op->basis});
  }
  return indented(table.to_string());
}

/// What each operator does.
std::string work(const RooflineBlock& block) {
  TextTable table({{"work"}, {"shape"}, {"FLOPs", Align::right}, {"bytes", Align::right}, {"count", Align::right}});
  for (const RooflinePass& pass : block.passes) {
    table.add_row({pass_text(pass.pass), "", "", "", ""});
    for (const OperatorTime* op : pass.operators)
      table.add_row({shortened("  " + op->name, name_width), op->flops > 0 ? op->shape : "",
                     op->flops > 0 ? to_text(Flops(op->flops)) : "-", to_text(op->bytes), count_text(op->count)});
  }
  return indented(table.to_string());
}

std::string notes(const Report& r) {
  std::string page = "\n";
  page +=
      wrapped("  - ", "step: share of the step time, of all executions on that stage; with the gap to the next kernel");
  page += wrapped("  - ", "roof: what it reaches of the tensor cores' peak in its precision, or of HBM's bandwidth");
  page += wrapped("  - ",
                  "communication runs beside kernels where the framework overlaps it: its share is not all exposed");
  if (!r.leans_on.empty()) page += wrapped("  - ", leans_on_text(r.leans_on));
  return page;
}

}  // namespace

std::string roofline_text(const Report& report, const ReportStyle& style) {
  const Paint paint(style.colour);
  if (!report.has_time()) return paint.bad("Cannot run: ") + wrapped("", report.infeasible_reason);
  std::string page = heading(report, paint) + roofs(report, paint) + bounds(report, paint);
  for (const RooflineBlock& block : roofline_blocks(report))
    page += title(paint, block_title(report, block)) + times(report, block) + "\n" + work(block);
  return page + notes(report);
}

}  // namespace stepcast
