#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/text_table.hpp"
#include "simulator/predict.hpp"
#include "simulator/report/parts_of_time.hpp"
#include "simulator/search/plan_keys.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  std::string format = "text";
};

std::string signed_text(Seconds time) { return (time.si() < 0 ? "-" : "+") + to_text(Seconds(std::abs(time.si()))); }

/// What the two jobs do not have in common, by the keys of the scenario.
std::vector<std::array<std::string, 3>> differences(const Job& a, const Job& b) {
  std::vector<std::array<std::string, 3>> found;
  const auto add = [&](const std::string& name, const std::string& one, const std::string& other) {
    if (one != other) found.push_back({name, one.empty() ? "(framework)" : one, other.empty() ? "(framework)" : other});
  };
  add("model", a.model.name, b.model.name);
  add("gpu", a.cluster.gpu.name, b.cluster.gpu.name);
  add("gpus", std::to_string(a.cluster.gpus), std::to_string(b.cluster.gpus));
  add("fabric", a.cluster.fabric.name, b.cluster.fabric.name);
  add("framework", a.framework.name, b.framework.name);
  add("data_parallel", std::to_string(a.plan.data_parallel), std::to_string(b.plan.data_parallel));
  for (const PlanKey& key : plan_keys()) add(std::string(key.name), text_of(a.plan, key), text_of(b.plan, key));
  return found;
}

std::string text_of(const Job& job_a, const Job& job_b, const Report& a, const Report& b) {
  std::string text = fmt::format("A  {}\nB  {}\n\n", a.scenario, b.scenario);
  TextTable differ({{"differ in"}, {"A", Align::right}, {"B", Align::right}});
  for (const auto& [name, one, other] : differences(job_a, job_b)) differ.add_row({name, one, other});
  if (!differ.empty()) text += differ.to_string() + "\n";
  TextTable rows({{"of the busiest stage"}, {"A", Align::right}, {"B", Align::right}, {"B - A", Align::right}});
  for (const PartOfTime& part : parts_of_time) {
    const Seconds one = a.breakdown.*part.time, other = b.breakdown.*part.time;
    if (one.si() == 0 && other.si() == 0) continue;
    rows.add_row({std::string(part.label), to_text(one), to_text(other), signed_text(other - one)});
  }
  rows.add_row({"step", to_text(a.step_time), to_text(b.step_time), signed_text(b.step_time - a.step_time)});
  text += rows.to_string() + "\n";
  TextTable rates({{""}, {"A", Align::right}, {"B", Align::right}, {"B / A", Align::right}});
  const auto rate = [&](const std::string& name, double one, double other, const std::string& x, const std::string& y) {
    rates.add_row({name, x, y, fmt::format("{:.3f}", other / one)});
  };
  rate("tokens/s", a.tokens_per_s, b.tokens_per_s, number_text(a.tokens_per_s, 4), number_text(b.tokens_per_s, 4));
  rate("tokens/s per GPU", a.tokens_per_s_per_gpu, b.tokens_per_s_per_gpu, number_text(a.tokens_per_s_per_gpu, 4),
       number_text(b.tokens_per_s_per_gpu, 4));
  rate("MFU", a.mfu, b.mfu, percent_text(a.mfu), percent_text(b.mfu));
  rate("memory", a.memory.peak().si(), b.memory.peak().si(), to_text(a.memory.peak()), to_text(b.memory.peak()));
  text += rates.to_string() + "\n";
  // Why: the part that accounts for most of the difference, in the time of one GPU for a token.
  const double share_a = static_cast<double>(a.gpus) / static_cast<double>(a.tokens_per_step);
  const double share_b = static_cast<double>(b.gpus) / static_cast<double>(b.tokens_per_step);
  const bool b_wins = b.tokens_per_s_per_gpu > a.tokens_per_s_per_gpu;
  const PartOfTime* most = nullptr;
  double saved = 0;
  for (const PartOfTime& part : parts_of_time) {
    const double one = (a.breakdown.*part.time).si() * share_a, other = (b.breakdown.*part.time).si() * share_b;
    const double gain = b_wins ? one - other : other - one;
    if (gain > saved) most = &part, saved = gain;
  }
  const double ratio =
      b_wins ? b.tokens_per_s_per_gpu / a.tokens_per_s_per_gpu : a.tokens_per_s_per_gpu / b.tokens_per_s_per_gpu;
  if (most != nullptr) {
    text += fmt::format("{} has {:.1f}% more throughput from each GPU, most of it from less {}", b_wins ? "B" : "A",
                        100 * (ratio - 1), most->label);
    text += fmt::format(" ({} a step of A's size)\n", to_text(Seconds(saved / share_a)));
  }
  return text;
}

Exit run(const Options& options) {
  chosen("format", options.format, answer_formats);
  const std::vector<std::string> files = options.inputs.files();
  if (files.size() != 2) throw UserError(fmt::format("compare takes two scenarios, A and B; {} given", files.size()));
  const Job one = load_job(files[0], options.inputs.overrides()),
            other = load_job(files[1], options.inputs.overrides());
  const Report a = predict(one), b = predict(other);
  for (const Report* report : {&a, &b}) {
    if (report->has_time()) continue;
    print_note(fmt::format("{} cannot run: {}", report->scenario, report->infeasible_reason));
    return Exit::answered_no;
  }
  if (options.format == "text") {
    print_result(text_of(one, other, a, b));
    return Exit::done;
  }
  nlohmann::ordered_json json{{"schema_version", 1}, {"a", a.scenario}, {"b", b.scenario}};
  std::string csv = "part,a_s,b_s\n";
  for (const PartOfTime& part : parts_of_time) {
    json["breakdown"][std::string(part.label)] = {(a.breakdown.*part.time).si(), (b.breakdown.*part.time).si()};
    csv += fmt::format("{},{},{}\n", part.label, (a.breakdown.*part.time).si(), (b.breakdown.*part.time).si());
  }
  csv += fmt::format("step,{},{}\n", a.step_time.si(), b.step_time.si());
  json["step_time_s"] = {a.step_time.si(), b.step_time.si()};
  json["tokens_per_s"] = {a.tokens_per_s, b.tokens_per_s};
  json["mfu"] = {a.mfu, b.mfu};
  json["memory_bytes"] = {a.memory.peak().si(), b.memory.peak().si()};
  for (const auto& [name, x, y] : differences(one, other)) json["differences"][name] = {x, y};
  print_result(options.format == "json" ? json.dump(2) + "\n" : csv);
  return Exit::done;
}

}  // namespace

Action add_compare(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIOS", Inputs::Count::many, "Two scenarios, A and B");
  app.add_option("--format", options->format, names_of(answer_formats))->type_name("FORMAT")->capture_default_str();
  app.footer(R"(Examples:
  stepcast compare scenarios/quickstart.yaml scenarios/published/korthikanti-2022.yaml#kort-t5-175b-full
  stepcast compare A.yaml B.yaml --format json)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
