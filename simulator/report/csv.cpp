#include "simulator/report/csv_field.hpp"
#include "simulator/report/json_tree.hpp"

namespace stepcast {
namespace {

struct Column {
  const char* name;
  const char* place;  ///< JSON pointer into the JSON report; the field is empty where it is null or absent
};

constexpr Column columns[] = {
    {"schema_version", "/schema_version"},
    {"scenario", "/scenario"},
    {"feasible", "/feasible"},
    {"infeasible_reason", "/infeasible_reason"},
    {"step_time_s", "/step_time_s"},
    {"step_time_low_s", "/step_time_interval_s/0"},
    {"step_time_high_s", "/step_time_interval_s/1"},
    {"published_step_time_s", "/published/step_time_s"},
    {"error_percent", "/published/error_percent"},
    {"tokens_per_s", "/tokens_per_s"},
    {"tokens_per_s_per_gpu", "/tokens_per_s_per_gpu"},
    {"model_tflops_per_gpu", "/model_tflops_per_gpu"},
    {"mfu", "/mfu"},
    {"hfu", "/hfu"},
    {"flops_convention", "/flops_convention"},
    {"mfu_peak_tflops", "/mfu_peak_tflops"},
    {"bubble_fraction", "/bubble_fraction"},
    {"memory_peak_bytes", "/memory/peak_bytes"},
    {"memory_capacity_bytes", "/memory/capacity_bytes"},
    {"memory_parameters", "/memory/parameters"},
    {"memory_gradients", "/memory/gradients"},
    {"memory_optimizer", "/memory/optimizer"},
    {"memory_activations", "/memory/activations"},
    {"memory_buffers", "/memory/buffers"},
    {"memory_other", "/memory/other"},
    {"breakdown_compute", "/breakdown/compute"},
    {"breakdown_tp_comm_exposed", "/breakdown/tp_comm_exposed"},
    {"breakdown_cp_comm_exposed", "/breakdown/cp_comm_exposed"},
    {"breakdown_ep_comm_exposed", "/breakdown/ep_comm_exposed"},
    {"breakdown_dp_comm_exposed", "/breakdown/dp_comm_exposed"},
    {"breakdown_pp_comm_exposed", "/breakdown/pp_comm_exposed"},
    {"breakdown_bubble", "/breakdown/bubble"},
    {"breakdown_optimizer", "/breakdown/optimizer"},
    {"breakdown_host_other", "/breakdown/host_other"},
    {"simulation_executor", "/simulation/executor"},
    {"simulation_fold", "/simulation/fold"},
    {"simulation_events", "/simulation/events"},
    {"simulation_wall_s", "/simulation/wall_s"},
};

std::string field(const nlohmann::ordered_json& tree, const char* place) {
  const nlohmann::ordered_json::json_pointer pointer(place);
  if (!tree.contains(pointer)) return "";
  const auto& value = tree.at(pointer);
  if (value.is_null()) return "";
  return value.is_string() ? csv_field(value.get<std::string>()) : value.dump();
}

}  // namespace

std::string csv_report(const Report& report, const ReportStyle& style) {
  const auto tree = json_tree(report, style);
  std::string header, row;
  for (const Column& column : columns) {
    const char* separator = header.empty() ? "" : ",";
    header += separator;
    header += column.name;
    row += separator;
    row += field(tree, column.place);
  }
  return header + "\n" + row + "\n";
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace stepcast
