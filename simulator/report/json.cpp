#include "simulator/report/json_tree.hpp"
#include "simulator/report/operator_text.hpp"

namespace stepcast {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json memory_tree(const MemoryUse& m) {
  return {{"peak_bytes", m.peak().si()},
          {"capacity_bytes", m.capacity.si()},
          {"parameters", m.parameters.si()},
          {"gradients", m.gradients.si()},
          {"optimizer", m.optimizer.si()},
          {"activations", m.activations.si()},
          {"buffers", m.buffers.si()},
          {"other", m.other().si()},
          {"allocated_bytes", m.allocated().si()},
          {"reserved_bytes", m.reserved().si()}};
}

Json breakdown_tree(const Breakdown& b) {
  return {{"compute", b.compute.si()},
          {"tp_comm_exposed", b.tp_comm_exposed.si()},
          {"cp_comm_exposed", b.cp_comm_exposed.si()},
          {"ep_comm_exposed", b.ep_comm_exposed.si()},
          {"dp_comm_exposed", b.dp_comm_exposed.si()},
          {"pp_comm_exposed", b.pp_comm_exposed.si()},
          {"bubble", b.bubble.si()},
          {"optimizer", b.optimizer.si()},
          {"host_other", b.host_other.si()}};
}

Json stage_tree(const StageReport& s, bool timed) {
  return {{"stage", s.stage},
          {"contents", s.contents},
          {"layers", s.layers},
          {"parameters", s.parameters},
          {"microbatches_in_flight", s.microbatches_in_flight},
          {"breakdown", timed ? breakdown_tree(s.breakdown) : Json(nullptr)},
          {"memory", memory_tree(s.memory)}};
}

Json published_tree(const Reference& reference, const std::optional<double>& error) {
  const Measured& m = reference.measured;
  return {{"step_time_s", or_null(m.step_time_s)},
          {"step_time_from", or_null(m.step_time_from)},
          {"error_percent", or_null(error)},
          {"tokens_per_s_per_gpu", or_null(m.tokens_per_s_per_gpu)},
          {"tflops_per_gpu", or_null(m.tflops_per_gpu)},
          {"mfu", or_null(m.mfu)},
          {"hfu", or_null(m.hfu)},
          {"memory_gib", or_null(m.memory_gib)},
          {"memory_kind", or_null(m.memory_kind)},
          {"out_of_memory", m.out_of_memory},
          {"title", reference.title},
          {"where", reference.where},
          {"confidence", reference.confidence},
          {"suspect", or_null(reference.suspect)}};
}

Json disturbances_tree(const Report& report) {
  Json tree{{"undisturbed_s", report.undisturbed->si()},
            {"cost_s", (report.step_time - *report.undisturbed).si()},
            {"stragglers", Json::array()}};
  for (const Report::Straggler& straggler : report.stragglers) {
    tree["stragglers"].push_back({{"rank", straggler.rank},
                                  {"stage", straggler.stage},
                                  {"node", straggler.node},
                                  {"kept_waiting_s", straggler.kept_waiting.si()}});
  }
  return tree;
}

Json anchor_tree(const Anchor& anchor) {
  Json tree{{"constants", Json::array()}, {"runs", Json::array()}};
  for (const Anchor::Constant& c : anchor.constants) {
    tree["constants"].push_back(
        {{"name", c.name}, {"multiplier", c.multiplier}, {"least", c.low}, {"most", c.high}, {"informed", c.informed}});
  }
  for (const Anchor::Run& r : anchor.runs) {
    tree["runs"].push_back(
        {{"name", r.name}, {"measured_s", r.measured.si()}, {"before_s", r.before.si()}, {"after_s", r.after.si()}});
  }
  return tree;
}

Json advice_tree(const Advice& advice) {
  return {{"change", advice.change},          {"setting", advice.setting}, {"saved_bytes", advice.saved.si()},
          {"peak_bytes", advice.memory.si()}, {"fits", advice.fits},       {"step_time_s", advice.step_time.si()},
          {"step_time_cost", advice.cost}};
}

Json memory_timeline_tree(const MemoryTimeline& memory) {
  Json tree{{"rank", memory.rank},
            {"stage", memory.stage},
            {"most_bytes", memory.most.si()},
            {"most_at_s", memory.fullest.si()},
            {"pass", or_null(memory.pass)},
            {"microbatch", memory.microbatch},
            {"block", memory.block},
            {"operator", memory.op},
            {"samples", Json::array()}};
  for (const auto& [time, bytes] : memory.samples) tree["samples"].push_back({time.si(), bytes.si()});
  return tree;
}

Json steps_tree(const Report::Steps& steps) {
  return {{"count", steps.count},           {"fastest_s", steps.fastest.si()}, {"mean_s", steps.mean.si()},
          {"p50_s", steps.p50.si()},        {"p95_s", steps.p95.si()},         {"p99_s", steps.p99.si()},
          {"slowest_s", steps.slowest.si()}};
}

}  // namespace

Json operator_tree(const OperatorTime& op, const Report& report) {
  return {{"block", op.block},
          {"stage", op.stage},
          {"name", op.name},
          {"pass", op.pass},
          {"shape", op.shape},
          {"bound", op.bound},
          {"basis", op.basis},
          {"count", op.count},
          {"each_s", op.each.si()},
          {"total_s", op.total().si()},
          {"share_of_step", report.has_time() ? Json(op.total() / report.step_time) : Json(nullptr)},
          {"flops", op.flops},
          {"bytes", op.bytes.si()},
          {"flops_per_byte", op.intensity()},
          {"share_of_roof", or_null(share_of_roof(op, report.roofs.hbm))}};
}

nlohmann::ordered_json json_tree(const Report& report, const ReportStyle& style) {
  const bool timed = report.has_time();
  const auto when_timed = [timed](double value) { return timed ? Json(value) : Json(nullptr); };

  Json tree = {
      {"schema_version", 1},
      {"scenario", report.scenario},
      {"feasible", report.feasible},
      {"infeasible_reason", or_null(report.infeasible_reason)},
      {"step_time_s", when_timed(report.step_time.si())},
      {"step_time_interval_s", nullptr},
      {"step_time_interval_from", or_null(report.interval_from)},
      {"tokens_per_s", when_timed(report.tokens_per_s)},
      {"tokens_per_s_per_gpu", when_timed(report.tokens_per_s_per_gpu)},
      {"model_tflops_per_gpu", when_timed(report.model_tflops_per_gpu)},
      {"mfu", when_timed(report.mfu)},
      {"hfu", when_timed(report.hfu)},
      {"flops_convention", report.flops_convention},
      {"mfu_by_convention", report.mfu_by_convention},
      {"hfu_by_convention", report.hfu_by_convention},
      {"mfu_peak_tflops", report.mfu_peak / 1.0_TFLOPS},
      {"bubble_fraction", when_timed(report.bubble_fraction)},
      {"memory", memory_tree(report.memory)},
      {"breakdown", timed ? breakdown_tree(report.breakdown) : Json(nullptr)},
      {"per_stage", Json::array()},
      {"leans_on", report.leans_on},
      {"assumed", report.assumed},
      {"defaults_taken", report.defaults_taken},
      {"simulation",
       {{"executor", report.simulation.executor},
        {"fold", report.simulation.folded},
        {"jitter", report.simulation.jitter},
        {"ranks", report.simulation.ranks},
        {"instructions", report.simulation.instructions},
        {"events", report.simulation.events},
        {"wall_s", report.simulation.wall_s}}},
  };
  if (report.interval) tree["step_time_interval_s"] = {report.interval->first.si(), report.interval->second.si()};
  for (const StageReport& stage : report.per_stage) tree["per_stage"].push_back(stage_tree(stage, timed));
  if (report.undisturbed) tree["disturbances"] = disturbances_tree(report);
  if (report.steps) tree["steps"] = steps_tree(*report.steps);
  for (const MemoryTimeline& memory : report.memory_over_time) {
    tree["memory_over_time"].push_back(memory_timeline_tree(memory));
  }
  for (const Advice& advice : report.advice) tree["advice"].push_back(advice_tree(advice));
  if (style.explain && !report.critical_path.empty()) {
    tree["critical_path"] = Json::array();
    for (const Report::PathPart& part : report.critical_path) {
      tree["critical_path"].push_back({{"rank", part.rank},
                                       {"stage", part.stage},
                                       {"what", part.what},
                                       {"start_s", part.start.si()},
                                       {"time_s", part.time.si()}});
    }
  }
  if (report.anchor) tree["anchor"] = anchor_tree(*report.anchor);
  if (report.reference) tree["published"] = published_tree(*report.reference, report.error_percent());
  if (style.explain) {
    tree["operators"] = Json::array();
    for (const OperatorTime& op : report.operators)
      if (op.stage == report.busiest_stage) tree["operators"].push_back(operator_tree(op, report));
  }
  return tree;
}

std::string json_report(const Report& report, const ReportStyle& style) {
  // A name may hold any bytes; what is not UTF-8 is replaced, so that the document always parses.
  return json_tree(report, style).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace stepcast
