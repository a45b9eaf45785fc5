#include <cmath>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/files.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/input/sweep_reader.hpp"
#include "simulator/predict.hpp"
#include "simulator/search/search.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  std::string gpus;
  std::string mode = "weak";
  bool optimise = false;
  std::string out;
  std::string format = "text";
};

struct Name {
  std::string_view name;
};
constexpr Name formats[] = {{"text"}, {"json"}, {"csv"}, {"svg"}};
constexpr Name modes[] = {{"weak"}, {"strong"}};

/// "8:16384": every power of two times the first, up to the last.
std::vector<std::int64_t> sizes_of(const std::string& text) {
  const std::size_t colon = text.find(':');
  std::int64_t first = 0, last = 0;
  try {
    if (colon == std::string::npos) throw std::invalid_argument(text);
    first = std::stoll(text.substr(0, colon));
    last = std::stoll(text.substr(colon + 1));
  } catch (const std::exception&) {
    throw UserError("--gpus " + text + ": write FIRST:LAST, as in 8:16384");
  }
  if (first < 1 || last < first || last > 10'000'000)
    throw UserError("--gpus " + text + ": from at least 1, up to at most 10,000,000");
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = first; size <= last; size *= 2) sizes.push_back(size);
  return sizes;
}

struct Point {
  std::int64_t gpus = 0;
  std::string problem;
  Report report;
  ParallelPlan plan;
  double efficiency = 0;  ///< throughput per GPU, of the smallest size's
};

/// The job on so many GPUs: model-parallel degrees stay, replicas follow. @return a reason when it cannot be
std::string resize(Job& job, std::int64_t gpus, bool weak) {
  ParallelPlan& plan = job.plan;
  const std::int64_t replica = std::int64_t{plan.tensor_parallel} * plan.context_parallel * plan.pipeline_parallel;
  const std::int64_t before = job.cluster.gpus;
  job.cluster.gpus = gpus;
  job.cluster.gpus_per_node = static_cast<int>(std::min<std::int64_t>(gpus, job.cluster.gpus_per_node));
  if (weak) {
    const std::int64_t scaled = plan.global_batch * gpus / before;
    const std::int64_t unit = plan.microbatch * std::max<std::int64_t>(1, gpus / replica);
    plan.global_batch = std::max<std::int64_t>(1, scaled / unit) * unit;
  }
  if (gpus % replica != 0) return fmt::format("{} GPUs do not divide by a replica's {}", gpus, replica);
  plan.data_parallel = static_cast<int>(gpus / replica);
  if (plan.global_batch % (plan.microbatch * plan.data_parallel) != 0) {
    return fmt::format("a batch of {} does not divide by {} replicas", plan.global_batch, plan.data_parallel);
  }
  return "";
}

/// The best plan of the default space on so many GPUs.
std::string optimise(Job& job) {
  Sweep sweep = default_sweep(job);
  SearchOptions options;
  options.top = 1;
  const SearchResult found = search(sweep, options);
  if (found.best.empty()) return "nothing fits";
  job.plan = sweep.variants[0].plan(found.best[0].id);
  complete(job.plan, job);
  return "";
}

Point point_of(const Job& base, std::int64_t gpus, const Options& options) {
  Point point;
  point.gpus = gpus;
  Job job = base;
  point.problem = resize(job, gpus, options.mode == "weak");
  if (options.optimise) point.problem = optimise(job);
  if (!point.problem.empty()) return point;
  point.plan = job.plan;
  point.report = predict(job);
  if (!point.report.feasible) point.problem = point.report.infeasible_reason;
  return point;
}

std::string plan_text(const ParallelPlan& p) {
  return fmt::format("TP {} PP {}{} DP {}, microbatch {}, {}", p.tensor_parallel, p.pipeline_parallel,
                     p.virtual_stages > 1 ? fmt::format(" x {}", p.virtual_stages) : "", p.data_parallel, p.microbatch,
                     p.recompute);
}

/// Where the time goes besides computing: the largest part.
std::string largest_loss(const Report& report) {
  const Breakdown& b = report.breakdown;
  const std::pair<const char*, Seconds> losses[] = {{"tensor-parallel comm", b.tp_comm_exposed},
                                                    {"context-parallel comm", b.cp_comm_exposed},
                                                    {"expert-parallel comm", b.ep_comm_exposed},
                                                    {"data-parallel comm", b.dp_comm_exposed},
                                                    {"pipeline comm", b.pp_comm_exposed},
                                                    {"bubble", b.bubble},
                                                    {"optimizer", b.optimizer},
                                                    {"host", b.host_other}};
  const auto* most = std::max_element(std::begin(losses), std::end(losses),
                                      [](const auto& x, const auto& y) { return x.second < y.second; });
  return fmt::format("{} {}", most->first, percent_text(most->second / report.step_time));
}

std::string csv_text(const std::vector<Point>& points) {
  std::string text =
      "gpus,step_time_s,tokens_per_s,tokens_per_s_per_gpu,mfu,efficiency,compute_s,tp_comm_s,cp_comm_s,ep_comm_s,dp_"
      "comm_s,"
      "pp_comm_s,bubble_s,optimizer_s,host_s,global_batch,problem\n";
  for (const Point& p : points) {
    const Breakdown& b = p.report.breakdown;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},\"{}\"\n", p.gpus, p.report.step_time.si(),
                        p.report.tokens_per_s, p.report.tokens_per_s_per_gpu, p.report.mfu, p.efficiency,
                        b.compute.si(), b.tp_comm_exposed.si(), b.cp_comm_exposed.si(), b.ep_comm_exposed.si(),
                        b.dp_comm_exposed.si(), b.pp_comm_exposed.si(), b.bubble.si(), b.optimizer.si(),
                        b.host_other.si(), p.plan.global_batch, p.problem);
  }
  return text;
}

/// Throughput over GPUs, both by powers of two, beside what perfect scaling of the smallest size would be.
std::string svg_text(const std::vector<Point>& points, const std::string& title) {
  std::vector<const Point*> good;
  for (const Point& p : points) {
    if (p.problem.empty()) good.push_back(&p);
  }
  constexpr double width = 640, height = 420, left = 80, right = 20, top = 40, bottom = 50;
  const double x0 = std::log2(static_cast<double>(good.front()->gpus)),
               x1 = std::max(x0 + 1, std::log2(static_cast<double>(good.back()->gpus)));
  const double first = good.front()->report.tokens_per_s;
  double low = std::log2(first), high = low;
  for (const Point* p : good) {
    low = std::min(low, std::log2(p->report.tokens_per_s));
    high = std::max({high, std::log2(p->report.tokens_per_s),
                     std::log2(first * static_cast<double>(p->gpus) / static_cast<double>(good.front()->gpus))});
  }
  high = std::max(high, low + 1);
  const auto x = [&](double gpus) { return left + (std::log2(gpus) - x0) / (x1 - x0) * (width - left - right); };
  const auto y = [&](double rate) {
    return height - bottom - (std::log2(rate) - low) / (high - low) * (height - top - bottom);
  };
  std::string escaped;
  for (const char c : title) escaped += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n<text x=\"{2}\" y=\"22\" font-size=\"15\">{3}</text>\n",
      width, height, left, escaped);
  std::string ideal, actual;
  for (const Point* p : good) {
    const double gpus = static_cast<double>(p->gpus), rate = p->report.tokens_per_s;
    const double perfect = first * gpus / static_cast<double>(good.front()->gpus);
    ideal += fmt::format("{:.1f},{:.1f} ", x(gpus), y(perfect));
    actual += fmt::format("{:.1f},{:.1f} ", x(gpus), y(rate));
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#eee\"/><text x=\"{0:.1f}\" y=\"{3}\" "
        "text-anchor=\"middle\">{4}</text>\n",
        x(gpus), top, height - bottom, height - bottom + 18, count_text(gpus));
    svg += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"#1f5fa8\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"end\" fill=\"#1f5fa8\">{}</text>\n",
        x(gpus), y(rate), x(gpus) - 6, y(rate) - 6, percent_text(p->report.mfu));
  }
  svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"#999\" stroke-dasharray=\"5 4\"/>\n", ideal);
  svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>\n", actual);
  for (const double rate : {std::exp2(low), std::exp2(high)}) {
    svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", left - 8, y(rate) + 4,
                       number_text(rate));
  }
  svg += fmt::format(
      "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">GPUs</text><text x=\"14\" y=\"{}\" transform=\"rotate(-90 14 "
      "{})\" "
      "text-anchor=\"middle\">tokens/s; MFU at each point; dashed: perfect scaling</text>\n</svg>\n",
      width / 2, height - 10, height / 2, height / 2);
  return svg;
}

Exit run(const Options& options) {
  chosen("format", options.format, formats);
  chosen("mode", options.mode, modes);
  if (options.gpus.empty()) throw UserError("--gpus FIRST:LAST is missing, as in --gpus 8:16384");
  const std::vector<std::int64_t> sizes = sizes_of(options.gpus);
  const Job base = load_job(options.inputs.one_file("SCENARIO"), options.inputs.overrides());
  std::vector<Point> points;
  for (const std::int64_t gpus : sizes) points.push_back(point_of(base, gpus, options));
  double first = 0;
  for (Point& point : points) {
    if (!point.problem.empty()) continue;
    if (first == 0) first = point.report.tokens_per_s_per_gpu;
    point.efficiency = point.report.tokens_per_s_per_gpu / first;
  }
  if (first == 0) {
    print_note(fmt::format("nothing runs on {} to {} GPUs: {}", sizes.front(), sizes.back(), points.back().problem));
    return Exit::answered_no;
  }
  const std::string title = fmt::format("{}: {} scaling", base.name, options.mode);
  std::string text;
  if (options.format == "csv") {
    text = csv_text(points);
  } else if (options.format == "svg") {
    text = svg_text(points, title);
  } else if (options.format == "json") {
    nlohmann::ordered_json json{{"schema_version", 1},
                                {"scenario", base.name},
                                {"mode", options.mode},
                                {"points", nlohmann::ordered_json::array()}};
    for (const Point& p : points) {
      nlohmann::ordered_json row{{"gpus", p.gpus}, {"feasible", p.problem.empty()}};
      if (!p.problem.empty()) row["problem"] = p.problem;
      if (p.problem.empty()) {
        row.update({{"step_time_s", p.report.step_time.si()},
                    {"tokens_per_s", p.report.tokens_per_s},
                    {"mfu", p.report.mfu},
                    {"efficiency", p.efficiency},
                    {"global_batch", p.plan.global_batch},
                    {"plan", plan_text(p.plan)}});
      }
      json["points"].push_back(row);
    }
    text = json.dump(2) + "\n";
  } else {
    TextTable rows({{"GPUs", Align::right},
                    {"batch", Align::right},
                    {"step", Align::right},
                    {"tokens/s", Align::right},
                    {"MFU", Align::right},
                    {"efficiency", Align::right},
                    {"largest loss"},
                    {"plan"}});
    for (const Point& p : points) {
      if (!p.problem.empty()) {
        rows.add_row({count_text(static_cast<double>(p.gpus)), "", "", "", "", "", p.problem, ""});
        continue;
      }
      rows.add_row({count_text(static_cast<double>(p.gpus)), count_text(static_cast<double>(p.plan.global_batch)),
                    to_text(p.report.step_time), number_text(p.report.tokens_per_s, 4), percent_text(p.report.mfu),
                    percent_text(p.efficiency), largest_loss(p.report), plan_text(p.plan)});
    }
    text = title + "\n\n" + rows.to_string();
  }
  if (options.out.empty()) {
    print_result(text);
  } else {
    write_file_atomically(options.out, text);
  }
  return Exit::done;
}

}  // namespace

Action add_scale(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIO", Inputs::Count::one, "A scenario, or FILE#RUN for one run of a reference file");
  app.add_option("--gpus", options->gpus, "Sizes: FIRST:LAST, doubling")->type_name("FIRST:LAST");
  app.add_option("--mode", options->mode, "weak: the batch grows with the GPUs; strong: it stays")
      ->capture_default_str();
  app.add_flag("--optimise", options->optimise,
               "The best plan at each size, instead of the scenario's with more replicas");
  app.add_option("--format", options->format, names_of(formats))->type_name("FORMAT")->capture_default_str();
  app.add_option("--out", options->out, "Write to a file")->type_name("FILE");
  app.footer(R"(Examples:
  stepcast scale scenarios/quickstart.yaml --gpus 64:16384
  stepcast scale scenarios/gpt3-175b-1024-a100.yaml --gpus 64:4096 --mode strong --optimise
  stepcast scale scenarios/quickstart.yaml --gpus 64:4096 --format svg --out scaling.svg)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
