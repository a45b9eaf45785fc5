#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/text_table.hpp"
#include "simulator/predict.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  double percent = 10;
  std::string format = "text";
};

/// One resource of a cluster or of the batch, and what more of it is.
struct Resource {
  std::string_view name;
  void (*more)(Job& job, double factor);
};

constexpr Resource resources[] = {
    {"matrix FLOP/s",
     [](Job& job, double factor) {
       for (auto& [precision, peak] : job.cluster.gpu.peak) peak.value = peak.value * factor;
     }},
    {"HBM bandwidth",
     [](Job& job, double factor) {
       job.cluster.gpu.hbm_bandwidth.value = job.cluster.gpu.hbm_bandwidth.value * factor;
     }},
    {"NVLink bandwidth",
     [](Job& job, double factor) {
       job.cluster.node.intra.bandwidth.value = job.cluster.node.intra.bandwidth.value * factor;
     }},
    {"NIC bandwidth",
     [](Job& job, double factor) {
       job.cluster.fabric.nic.bandwidth.value = job.cluster.fabric.nic.bandwidth.value * factor;
     }},
    {"shorter latencies",
     [](Job& job, double factor) {
       for (LinkTier* link : {&job.cluster.node.intra, &job.cluster.fabric.nic}) {
         link->latency.value = link->latency.value / factor;
         link->launch.value = link->launch.value / factor;
       }
     }},
    {"faster host",
     [](Job& job, double factor) {
       Framework& f = job.framework;
       for (auto* time : {&f.host_time_per_layer_forward, &f.host_time_per_layer_backward, &f.host_time_per_step,
                          &f.host_time_per_moe_operator, &f.p2p_sync}) {
         time->value = time->value / factor;
       }
     }},
    {"memory of a GPU",
     [](Job& job, double factor) { job.cluster.gpu.memory.value = job.cluster.gpu.memory.value * factor; }},
    {"batch",
     [](Job& job, double factor) {
       const std::int64_t unit = job.plan.microbatch * job.plan.data_parallel;
       const auto units = static_cast<double>(job.plan.global_batch / unit);
       job.plan.global_batch = unit * std::max<std::int64_t>(1, std::llround(units * factor));
     }},
};

Exit run(const Options& options) {
  chosen("format", options.format, answer_formats);
  const Job job = load_job(options.inputs.one_file("SCENARIO"), options.inputs.overrides());
  const Report base = predict(job);
  if (!base.has_time()) {
    print_note("the plan cannot run: " + base.infeasible_reason);
    return Exit::answered_no;
  }
  TextTable rows({{fmt::format("{:+g}% of", options.percent)},
                  {"step", Align::right},
                  {"throughput", Align::right},
                  {"memory free", Align::right},
                  {""}});
  nlohmann::ordered_json json{{"schema_version", 1},
                              {"scenario", base.scenario},
                              {"percent", options.percent},
                              {"step_time_s", base.step_time.si()}};
  std::string csv = "resource,step_time_s,throughput_change_percent,memory_free_bytes\n";
  const auto free = [](const Report& report) { return Bytes(report.memory.capacity.si() - report.memory.peak().si()); };
  rows.add_row({"(as it is)", to_text(base.step_time), "", to_text(free(base)), ""});
  for (const Resource& resource : resources) {
    Job other = job;
    resource.more(other, 1 + options.percent / 100);
    const Report report = predict(other);
    const double change = 100 * (report.tokens_per_s / base.tokens_per_s - 1);
    std::string note;
    if (resource.name == "batch" && other.plan.global_batch == job.plan.global_batch)
      note = "the batch is too small to change by that";
    else if (resource.name == "batch")
      note = fmt::format("{} sequences", other.plan.global_batch);
    rows.add_row({std::string(resource.name), to_text(report.step_time), fmt::format("{:+.2f}%", change),
                  to_text(free(report)), note});
    json["resources"][std::string(resource.name)] = {{"step_time_s", report.step_time.si()},
                                                     {"throughput_change_percent", change},
                                                     {"memory_free_bytes", free(report).si()}};
    csv += fmt::format("{},{},{},{}\n", resource.name, report.step_time.si(), change, free(report).si());
  }
  if (options.format == "json") print_result(json.dump(2) + "\n");
  if (options.format == "csv") print_result(csv);
  if (options.format == "text") print_result(base.scenario + "\n\n" + rows.to_string());
  return Exit::done;
}

}  // namespace

Action add_sensitivity(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIO", Inputs::Count::one, "A scenario, or FILE#RUN for one run of a reference file");
  app.add_option("--percent", options->percent, "How much more of each")
      ->capture_default_str()
      ->check(CLI::Range(-90.0, 1000.0));
  app.add_option("--format", options->format, names_of(answer_formats))->type_name("FORMAT")->capture_default_str();
  app.footer(R"(Examples:
  stepcast sensitivity scenarios/quickstart.yaml               what 10% more of each resource would buy
  stepcast sensitivity scenarios/quickstart.yaml --percent -20  and what 20% less would cost)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
