#include "simulator/report/json_tree.hpp"
#include "simulator/report/roofline.hpp"

namespace stepcast {
namespace {

using Json = nlohmann::ordered_json;

Json roofs_tree(const Roofs& roofs) {
  Json matrix = Json::array();
  for (const Roofs::MatrixUnits& units : roofs.matrix)
    matrix.push_back({{"precision", units.precision},
                      {"peak_flops_per_s", units.peak.si()},
                      {"sustained_flops_per_s", units.sustained.si()}});
  return {{"matrix_units", matrix},
          {"hbm_bytes_per_s", roofs.hbm.si()},
          {"hbm_sustained_bytes_per_s", roofs.hbm_sustained.si()},
          {"ridge_flops_per_byte", roofs.ridge()}};
}

}  // namespace

std::string roofline_json(const Report& report, const ReportStyle&) {
  Json tree = {{"schema_version", 1},
               {"scenario", report.scenario},
               {"feasible", report.feasible},
               {"infeasible_reason", report.infeasible_reason.empty() ? Json(nullptr) : Json(report.infeasible_reason)},
               {"step_time_s", report.has_time() ? Json(report.step_time.si()) : Json(nullptr)},
               {"busiest_stage", report.busiest_stage},
               {"roofs", roofs_tree(report.roofs)},
               {"time_by_bound_s", Json::object()},
               {"leans_on", report.leans_on},
               {"operators", Json::array()}};
  for (const auto& [bound, time] : time_by_bound(report, report.busiest_stage))
    tree["time_by_bound_s"][bound] = time.si();
  for (const RooflineBlock& block : roofline_blocks(report))
    for (const RooflinePass& pass : block.passes)
      for (const OperatorTime* op : pass.operators) tree["operators"].push_back(operator_tree(*op, report));
  return tree.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace stepcast
