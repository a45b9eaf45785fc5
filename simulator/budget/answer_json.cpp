#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/budget/answer_formats.hpp"
#include "simulator/report/csv_field.hpp"

namespace stepcast {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json of(const TrainingSize& size) { return {{"parameters", size.parameters}, {"tokens", size.tokens}}; }

Json of(const Distribution& d) {
  return {{"mean", d.mean},      {"deviation", d.deviation},
          {"lowest", d.lowest},  {"p5", d.p5},
          {"p10", d.p10},        {"p50", d.p50},
          {"p90", d.p90},        {"p95", d.p95},
          {"highest", d.highest}};
}

Json of(const ParallelPlan& p) {
  return {{"tensor_parallel", p.tensor_parallel},
          {"sequence_parallel", p.sequence_parallel},
          {"context_parallel", p.context_parallel},
          {"expert_parallel", p.expert_parallel},
          {"pipeline_parallel", p.pipeline_parallel},
          {"virtual_stages", p.virtual_stages},
          {"schedule", p.schedule},
          {"data_parallel", p.data_parallel},
          {"zero", p.zero},
          {"microbatch", p.microbatch},
          {"global_batch", p.global_batch},
          {"sequence_length", p.sequence_length},
          {"recompute", p.recompute}};
}

Json of(const Architecture& m) {
  Json shape{
      {"layers", m.layers},     {"hidden", m.hidden},    {"heads", m.heads}, {"kv_heads", m.kv_heads},
      {"head_dim", m.head_dim}, {"ffn", or_null(m.ffn)}, {"vocab", m.vocab}, {"tied_embeddings", m.tied_embeddings}};
  if (m.moe) {
    shape["moe"] = {{"experts", m.moe->experts},
                    {"top_k", m.moe->top_k},
                    {"expert_ffn", m.moe->expert_ffn},
                    {"shared_experts", m.moe->shared_experts},
                    {"moe_layers", m.moe->moe_layers}};
  }
  return shape;
}

Json of(const PacedPhase& phase) {
  const auto& interval = phase.report.interval;
  return {{"tokens", phase.phase.tokens},
          {"sequence_length", phase.phase.sequence_length},
          {"batch_tokens", phase.batch_tokens},
          {"steps", phase.steps()},
          {"step_time_s", phase.report.step_time.si()},
          {"step_time_interval_s", interval ? Json{interval->first.si(), interval->second.si()} : Json()},
          {"mfu", phase.report.mfu},
          {"memory_bytes", phase.report.memory.peak().si()},
          {"plan", of(phase.job.plan)}};
}

Json calendar(const ClusterAnswer& run) {
  const CampaignOutcome& c = run.campaign;
  Json parts = Json::object();
  for (const CampaignTimePart& part : parts_of_campaign) parts[part.key] = (c.time.*part.time).si();
  return {
      {"days", of(c.days)},
      {"histogram", {{"from", c.histogram.from}, {"width", c.histogram.width}, {"counts", c.histogram.counts}}},
      {"days_of_step_interval",
       run.days_of_step_interval ? Json{run.days_of_step_interval->first, run.days_of_step_interval->second} : Json()},
      {"goodput", c.goodput},
      {"expected_goodput", c.expected_goodput},
      {"seconds", std::move(parts)},
      {"failures", of(c.failures)},
      {"mean_time_between_failures_s", c.mean_time_between_failures.si()},
      {"checkpoint",
       {{"bytes", run.checkpoint.size.si()},
        {"interval_s", c.checkpoint_interval.si()},
        {"interval_steps", c.checkpoint_steps},
        {"stall_s", run.checkpoint.stall.si()},
        {"write_s", run.checkpoint.write.si()},
        {"load_s", run.checkpoint.load.si()}}},
      {"spare_nodes", c.spare_nodes},
      {"recommended_spare_nodes", c.recommended_spares},
      {"trials", c.trials}};
}

Json of(const ClusterAnswer& run) {
  Json json{{"cluster", run.name}, {"gpus", run.gpus}, {"feasible", run.problem.empty()}};
  json["infeasible_reason"] = run.problem.empty() ? Json() : Json(run.problem);
  json["possible_instead"] = run.possible;
  json["parameters"] = run.parameters;
  json["active_parameters"] = run.active_parameters;
  json["wanted"] = of(run.wanted);
  json["tokens"] = run.tokens;
  json["model"] = run.model.layers > 0 ? of(run.model) : Json();
  json["flops"] = run.compute.si();
  json["loss"] = or_null(run.loss);
  json["repeated"] = run.repeated
                         ? Json{{"unique_tokens", run.repeated->unique}, {"worth_new_tokens", run.repeated->worth_new}}
                         : Json();
  if (!run.problem.empty()) return json;
  json["flops_with_attention"] = run.compute_with_attention.si();
  json["mfu"] = run.mfu;
  json["phases"] = Json::array();
  for (const PacedPhase& phase : run.pace.phases) json["phases"].push_back(of(phase));
  json["calendar"] = calendar(run);
  json["gpus_held"] = run.gpus_held;
  json["gpu_hours"] = run.gpu_hours;
  json["dollars"] = or_null(run.dollars());
  if (run.bill) {
    Json& parts = json["bill"] = Json::object();
    for (const Bill::Part& part : run.bill->parts) parts[part.name] = part.amount.usd();
  }
  json["energy"] = {{"power_per_gpu_w", run.power_per_gpu.si()},
                    {"gpus_j", run.energy.gpus.si()},
                    {"nodes_j", run.energy.nodes.si()},
                    {"facility_j", run.energy.facility.si()},
                    {"tonnes_co2e", run.energy.tonnes_co2e}};
  if (run.life) {
    json["life"] = {{"training_flops", run.life->training.si()},
                    {"inference_flops", run.life->inference.si()},
                    {"training_dollars", run.life->training_dollars},
                    {"inference_dollars", run.life->inference_dollars}};
  }
  json["sizes"] = Json::array();
  for (const ClusterAnswer::Size& size : run.sizes) {
    json["sizes"].push_back({{"gpus", size.gpus},
                             {"infeasible_reason", size.problem.empty() ? Json() : Json(size.problem)},
                             {"step_time_s", size.step_time.si()},
                             {"mfu", size.mfu},
                             {"days", size.days},
                             {"gpu_hours", size.gpu_hours},
                             {"dollars", or_null(size.dollars)}});
  }
  return json;
}

constexpr const char* kinds[] = {"none", "flops", "gpu_hours", "dollars", "days", "loss"};

}  // namespace

std::string answer_json(const Answer& answer, const AnswerStyle&) {
  Json json{{"schema_version", 1}, {"name", answer.name}};
  json["budget"] = {{"kind", kinds[static_cast<std::size_t>(answer.budget.kind)]}, {"amount", answer.budget.amount}};
  json["law"] = answer.law;
  json["best"] = answer.best;
  json["clusters"] = Json::array();
  for (const ClusterAnswer& run : answer.clusters) json["clusters"].push_back(of(run));
  json["laws"] = Json::array();
  for (const LawAnswer& law : answer.laws) {
    Json said{{"name", law.name},
              {"parameters", law.size.parameters},
              {"tokens", law.size.tokens},
              {"loss", or_null(law.loss)}};
    said["parameters_interval"] = law.range ? Json{law.range->parameters.first, law.range->parameters.second} : Json();
    said["tokens_interval"] = law.range ? Json{law.range->tokens.first, law.range->tokens.second} : Json();
    said["confidence"] = law.range ? Json(law.range->confidence) : Json();
    said["beyond_fit"] = law.beyond;
    json["laws"].push_back(std::move(said));
  }
  json["iso_flop"] = Json::array();
  for (const IsoFlopPoint& point : answer.iso_flop) {
    json["iso_flop"].push_back(
        {{"parameters", point.size.parameters}, {"tokens", point.size.tokens}, {"loss", point.loss}});
  }
  json["over_training"] = Json();
  if (answer.over_training) {
    json["over_training"] = {{"penalty_nats", answer.over_training->penalty},
                             {"extra_compute", answer.over_training->extra_compute},
                             {"best", of(answer.over_training->best)},
                             {"cheapest", of(answer.over_training->cheapest)}};
  }
  json["what_if"] = Json::array();
  for (const WhatIf& line : answer.what_if) {
    json["what_if"].push_back({{"change", line.change},
                               {"infeasible_reason", line.problem.empty() ? Json() : Json(line.problem)},
                               {"parameters", line.parameters},
                               {"tokens", line.tokens},
                               {"loss", or_null(line.loss)},
                               {"days", line.days},
                               {"dollars", or_null(line.dollars)}});
  }
  json["assumed"] = answer.assumed;
  json["wall_s"] = answer.seconds;
  return json.dump(2) + "\n";
}

std::string answer_csv(const Answer& answer, const AnswerStyle&) {
  std::string text =
      "cluster,gpus,feasible,parameters,active_parameters,tokens,flops,loss,mfu,step_time_s,days_mean,days_p10,days_"
      "p90,goodput,"
      "gpu_hours,dollars,energy_j,tonnes_co2e,infeasible_reason\n";
  for (const ClusterAnswer& run : answer.clusters) {
    const std::string loss = run.loss ? fmt::format("{}", *run.loss) : "";
    text += fmt::format("{},{},{},{},{},{},{},{},", csv_field(run.name), run.gpus, run.problem.empty(), run.parameters,
                        run.active_parameters, run.tokens, run.compute.si(), loss);
    if (run.problem.empty()) {
      const CampaignOutcome& c = run.campaign;
      text += fmt::format("{},{},{},{},{},{},{},{},{},{},\n", run.mfu, run.pace.main().report.step_time.si(),
                          c.days.mean, c.days.p10, c.days.p90, c.goodput, run.gpu_hours,
                          run.dollars() ? fmt::format("{}", *run.dollars()) : "", run.energy.facility.si(),
                          run.energy.tonnes_co2e);
    } else {
      text += fmt::format(",,,,,,,,,,{}\n", csv_field(run.problem));
    }
  }
  return text;
}

}  // namespace stepcast
