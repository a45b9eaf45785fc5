#include "simulator/units/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "simulator/base/text_table.hpp"
#include "simulator/report/formats.hpp"
#include "simulator/report/operator_text.hpp"
#include "simulator/report/page.hpp"
#include "simulator/report/parts_of_time.hpp"
#include "simulator/workload/flops.hpp"

namespace stepcast {
namespace {

constexpr std::size_t answer_width = 50;  // between a label and the published figure beside it
constexpr std::size_t bar_label_width = 22;
constexpr int bar_width = 50;
constexpr std::size_t contents_width = 44;
constexpr std::size_t operator_width = 18;
constexpr std::size_t shape_width = 34;
constexpr std::size_t basis_width = 28;
constexpr std::size_t users_width = 56;
constexpr std::size_t short_list = 8;  // assumptions on a page without --explain
constexpr std::size_t short_stages = 16;

struct MemoryPart {
  const char* label;
  Bytes size;
};

std::array<MemoryPart, 8> parts_of(const MemoryUse& m) {
  return {{{"parameters", m.parameters},
           {"gradients", m.gradients},
           {"optimizer", m.optimizer},
           {"activations", m.activations},
           {"buffers", m.buffers},
           {"fragmentation", m.reserved() - m.allocated()},
           {"communicators", m.communicators},
           {"CUDA context", m.context}}};
}

/// Step times are compared with published ones, which have up to four digits.
std::string step_text(Seconds time) {
  return time >= 1.0_s ? number_text(time.si(), 4) + " s" : number_text(time / 1.0_ms, 4) + " ms";
}

std::string parameters_text(double count) {
  return count >= 1e9 ? number_text(count / 1e9) + " billion" : number_text(count / 1e6) + " million";
}

/// A published step time with the digits that it was published with, four at most.
std::string published_text(double seconds) {
  std::string digits = number_text(seconds, 4);
  if (digits.find('.') != std::string::npos) {
    digits.erase(digits.find_last_not_of('0') + 1);
    if (digits.back() == '.') digits.pop_back();
  }
  return digits + " s";
}

std::string use_text(const MemoryUse& m) {
  return fmt::format("{} of {} GiB", number_text(m.peak() / 1.0_GiB), number_text(m.capacity / 1.0_GiB));
}

std::string heading(const Report& r, const Paint& paint) {
  std::string model = r.model_name;
  if (r.model_parameters > 0) model += fmt::format(", {} parameters", parameters_text(r.model_parameters));
  if (r.active_parameters > 0 && r.active_parameters < r.model_parameters) {
    model += fmt::format(", {} active", parameters_text(r.active_parameters));
  }
  if (r.trained_parameters > 0 && r.trained_parameters < r.model_parameters) {
    model += fmt::format(", {} trained", parameters_text(r.trained_parameters));
  }
  std::string name = wrapped("", r.scenario);
  name.pop_back();
  return paint.strong(name) + "\n" + labelled("model", model) + labelled("cluster", r.cluster_text) +
         labelled("plan", r.plan_text) + labelled("framework", r.framework_name);
}

/// One of the figures that a reader came for, and the published one beside it.
std::string answer(const Paint& paint, const char* label, const std::string& value, const std::string& published = "") {
  const std::string begin = "  " + padded(label, label_width);
  if (published.empty()) return begin + paint.strong(value) + "\n";
  const std::size_t blanks = padded(value, answer_width).size() - value.size();
  return begin + paint.strong(value) + std::string(std::max(blanks, std::size_t{2}), ' ') + published + "\n";
}

std::string published_share(const std::optional<double>& share) {
  return share ? "published " + percent_text(*share) : "";
}

std::string answers(const Report& r, const Paint& paint) {
  const Measured measured = r.reference ? r.reference->measured : Measured{};
  std::string published_time;
  if (const auto error = r.error_percent())
    published_time = fmt::format("published {}, {:+.1f}%", published_text(*measured.step_time_s), *error);
  std::string published_memory;
  if (measured.memory_gib)
    published_memory = fmt::format("published {} GiB {}", number_text(*measured.memory_gib), measured.memory_kind);

  std::string page = "\n";
  if (r.has_time()) {
    std::string time = step_text(r.step_time);
    if (r.interval)
      time += fmt::format("  ({} to {}, 90%)", step_text(r.interval->first), step_text(r.interval->second));
    page += answer(paint, "step time", time, published_time);
    if (!r.interval_from.empty())
      page += paint.faint(indented(wrapped(padded("", label_width) + "interval from ", r.interval_from)));
    page +=
        answer(paint, "MFU", fmt::format("{} of {} ({})", percent_text(r.mfu), to_text(r.mfu_peak), r.flops_convention),
               published_share(measured.mfu));
    page += answer(paint, "HFU", percent_text(r.hfu) + " (executed)", published_share(measured.hfu));
    page += answer(
        paint, "throughput",
        fmt::format("{} tokens/s, {} per GPU", count_text(r.tokens_per_s), number_text(r.tokens_per_s_per_gpu, 4)),
        measured.tokens_per_s_per_gpu
            ? fmt::format("published {} per GPU", number_text(*measured.tokens_per_s_per_gpu, 4))
            : "");
    page += answer(
        paint, "model FLOPs", fmt::format("{} TFLOP/s per GPU", number_text(r.model_tflops_per_gpu)),
        measured.tflops_per_gpu ? fmt::format("published {} TFLOP/s", number_text(*measured.tflops_per_gpu)) : "");
  }
  if (r.memory.peak() > Bytes{})
    page += answer(paint, "memory", fmt::format("{} on the worst stage ({})", use_text(r.memory), r.memory_stage),
                   published_memory);
  return page;
}

/// What the user's own runs moved, and how well they are met.
std::string anchor_text(const Anchor& anchor, const Paint& paint) {
  TextTable constants({{"constant"}, {"moved", Align::right}, {"could be", Align::right}});
  for (const Anchor::Constant& c : anchor.constants)
    constants.add_row({c.name, c.informed ? fmt::format("x {:.3f}", c.multiplier) : "unseen by these runs",
                       fmt::format("{:.2f} to {:.2f}", c.low, c.high)});
  TextTable runs({{"run"},
                  {"measured", Align::right},
                  {"before", Align::right},
                  {"error", Align::right},
                  {"anchored", Align::right},
                  {"error", Align::right}});
  for (const Anchor::Run& r : anchor.runs)
    runs.add_row({shortened(r.name, 44), to_text(r.measured), to_text(r.before),
                  fmt::format("{:+.1f}%", 100 * (r.before / r.measured - 1)), to_text(r.after),
                  fmt::format("{:+.1f}%", 100 * (r.after / r.measured - 1))});
  return title(paint, "Anchored on measured runs") + indented(constants.to_string()) + "\n" +
         indented(runs.to_string());
}

std::string bar_line(const Paint& paint, const char* label, double share, const std::string& amount) {
  return fmt::format("  {}{:>9}{:>8}  {}\n", padded(label, bar_label_width), amount, percent_text(share),
                     paint.bar(bar(share, bar_width)));
}

std::string where_the_time_goes(const Report& r, const Paint& paint) {
  std::string page = title(paint, fmt::format("Where the time goes (stage {}, the busiest)", r.busiest_stage));
  for (const PartOfTime& part : parts_of_time) {
    const Seconds time = r.breakdown.*part.time;
    if (time > Seconds{}) page += bar_line(paint, part.label, time / r.step_time, to_text(time));
  }
  return page;
}

std::string where_the_memory_goes(const Report& r, const Paint& paint) {
  const Bytes scale = std::max(r.memory.capacity, r.memory.peak());
  std::string page = title(paint, fmt::format("Memory of one GPU (stage {}, the fullest)", r.memory_stage));
  for (const MemoryPart& part : parts_of(r.memory)) {
    if (part.size > Bytes{}) page += bar_line(paint, part.label, part.size / scale, to_text(part.size));
  }
  const Bytes left = r.memory.capacity - r.memory.peak();
  if (left > Bytes{}) page += bar_line(paint, "free", left / scale, to_text(left));
  return page;
}

/// A row of columns, one an equal stretch of the step: the most that the rank holds in it, of the device's memory.
std::string curve(const MemoryTimeline& memory, Seconds step, Bytes capacity, std::size_t columns) {
  static constexpr std::array<const char*, 9> eighths{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<Bytes> most(columns);
  for (std::size_t i = 0; i < memory.samples.size(); ++i) {
    const Seconds until = i + 1 < memory.samples.size() ? memory.samples[i + 1].first : step;
    const auto column = [&](Seconds time) {
      return std::min(columns - 1, static_cast<std::size_t>(time / step * static_cast<double>(columns)));
    };
    for (std::size_t c = column(memory.samples[i].first); c <= column(until); ++c) {
      most[c] = std::max(most[c], memory.samples[i].second);
    }
  }
  std::string drawn;
  for (Bytes bytes : most) drawn += eighths[static_cast<std::size_t>(std::lround(8 * std::min(1.0, bytes / capacity)))];
  return drawn;
}

/// "backward of microbatch 0, layer linear_fc1"
std::string moment_text(const MemoryTimeline& memory) {
  const std::string what = memory.block == memory.op ? memory.block : memory.block + " " + memory.op;
  if (memory.microbatch < 0) return what;
  return fmt::format("{} of microbatch {}, {}", memory.pass, memory.microbatch, what);
}

std::string memory_over_time(const Report& r, const Paint& paint) {
  if (r.memory_over_time.empty()) return "";
  constexpr std::size_t columns = 28;
  TextTable table({{"stage", Align::right},
                   {fmt::format("of {} over the step", to_text(r.memory.capacity))},
                   {"at first", Align::right},
                   {"most", Align::right},
                   {"at", Align::right},
                   {"in"}});
  std::map<int, const MemoryTimeline*> fullest;  // one rank stands for its stage
  for (const MemoryTimeline& own : r.memory_over_time) {
    const MemoryTimeline*& most = fullest[own.stage];
    if (most == nullptr || own.most > most->most) most = &own;
  }
  for (const auto& [stage, own] : fullest) {
    table.add_row({std::to_string(stage), curve(*own, r.step_time, r.memory.capacity, columns),
                   to_text(own->samples.front().second), to_text(own->most), to_text(own->fullest), moment_text(*own)});
  }
  return title(paint, "Tensors over the step (most: when for the first time)") + indented(table.to_string());
}

std::string advice(const Report& r, const Paint& paint) {
  if (r.advice.empty()) return "";
  TextTable table({{"change"},
                   {"saves", Align::right},
                   {"memory", Align::right},
                   {"fits"},
                   {"step time", Align::right},
                   {"cost", Align::right},
                   {"setting"}});
  for (const Advice& row : r.advice) {
    table.add_row({row.change, to_text(row.saved), to_text(row.memory), row.fits ? "yes" : "no",
                   step_text(row.step_time), fmt::format("{:+.1f}%", 100 * row.cost), row.setting});
  }
  return title(paint,
               r.feasible ? "What takes less memory, one change each" : "What may make it fit, one change each") +
         indented(table.to_string());
}

/// Everything but waiting in the pipeline.
double busy_share(const Breakdown& b) {
  const Seconds total = b.total();
  return total > Seconds{} ? (total - b.bubble) / total : 0;
}

std::string stages(const Report& r, const ReportStyle& style, const Paint& paint) {
  if (r.per_stage.size() < 2) return "";
  TextTable table({{"stage", Align::right},
                   {"contents"},
                   {"parameters", Align::right},
                   {"in flight", Align::right},
                   {"memory", Align::right},
                   {"busy", Align::right}});
  const std::size_t shown = style.explain ? r.per_stage.size() : std::min(r.per_stage.size(), short_stages);
  for (std::size_t i = 0; i < shown; ++i) {
    const StageReport& s = r.per_stage[i];
    table.add_row({std::to_string(s.stage), shortened(joined_with_counts(s.contents), contents_width),
                   parameters_text(s.parameters), number_text(s.microbatches_in_flight), to_text(s.memory.peak()),
                   r.has_time() ? percent_text(busy_share(s.breakdown)) : "-"});
  }
  std::string page = title(paint, "Stages (in flight: microbatches held at the peak; busy: not in the bubble)");
  page += indented(table.to_string());
  if (shown < r.per_stage.size()) page += fmt::format("  ... and {} more: --explain\n", r.per_stage.size() - shown);
  return page;
}

std::string stage_times(const Report& r, const Paint& paint) {
  std::vector<PartOfTime> shown;
  for (const PartOfTime& part : parts_of_time) {
    const auto has_time = [&](const StageReport& s) { return s.breakdown.*part.time > Seconds{}; };
    if (std::any_of(r.per_stage.begin(), r.per_stage.end(), has_time)) shown.push_back(part);
  }
  std::vector<TextTable::Column> columns{{"stage", Align::right}};
  for (const PartOfTime& part : shown) columns.push_back({part.column, Align::right});
  TextTable table(columns);
  for (const StageReport& s : r.per_stage) {
    std::vector<std::string> row{std::to_string(s.stage)};
    for (const PartOfTime& part : shown) row.push_back(to_text(s.breakdown.*part.time));
    table.add_row(row);
  }
  return title(paint, "Where each stage's time goes") + indented(table.to_string());
}

/// Who counts so: a convention's description reads "formula: users".
std::string users_of(const std::string& convention) {
  const FlopsConvention* found = find_flops_convention(convention);
  if (found == nullptr) return convention == "executed" ? "what this run executes, in matrix units" : "";
  const std::size_t colon = found->description.find(": ");
  const auto users = colon == std::string_view::npos ? found->description : found->description.substr(colon + 2);
  return shortened(users, users_width);
}

std::string conventions(const Report& r, const Paint& paint) {
  TextTable table({{"FLOPs counted as"}, {"MFU", Align::right}, {"HFU", Align::right}, {"used by"}});
  std::map<std::string, double> all = r.mfu_by_convention;
  all.insert(r.hfu_by_convention.begin(), r.hfu_by_convention.end());
  const auto share = [](const std::map<std::string, double>& shares, const std::string& name) {
    const auto found = shares.find(name);
    return found == shares.end() ? "" : percent_text(found->second);
  };
  for (const auto& [name, ignored] : all)
    table.add_row({name, share(r.mfu_by_convention, name), share(r.hfu_by_convention, name), users_of(name)});
  if (table.empty()) return "";
  return title(paint, "The same step in every FLOP convention (formulas: stepcast list flops)") +
         indented(table.to_string());
}

/// "203 TFLOP/s, 65%" or "1.45 TB/s".
std::string rate_text(const OperatorTime& op, const Roofs& roofs) {
  const auto share = share_of_roof(op, roofs.hbm);
  return reaches_text(op) + (share && counts_flops(op) ? fmt::format(", {:.0f}%", 100 * *share) : "");
}

std::string operators(const Report& r, const Paint& paint) {
  TextTable table({{"operator"},
                   {"pass"},
                   {"count", Align::right},
                   {"each", Align::right},
                   {"total", Align::right},
                   {"step", Align::right},
                   {"reaches", Align::right},
                   {"bound by"}});
  TextTable shapes({{"operator"}, {"shape"}, {"time from"}});
  for (const OperatorTime& op : r.operators) {
    if (op.stage != r.busiest_stage) continue;
    table.add_row({shortened(op.name, operator_width), pass_text(op.pass), count_text(op.count), to_text(op.each),
                   to_text(op.total()), r.has_time() ? percent_text(op.total() / r.step_time) : "-",
                   rate_text(op, r.roofs), op.bound});
    shapes.add_row({fmt::format("{} {}", op.name, pass_text(op.pass)), shortened(op.shape, shape_width),
                    shortened(op.basis, basis_width)});
  }
  if (table.empty()) return "";
  return title(paint, fmt::format("Operators of stage {} in one step", r.busiest_stage)) + indented(table.to_string()) +
         "\n" + indented(shapes.to_string());
}

std::string leans_on(const Report& r, const ReportStyle& style, const Paint& paint) {
  std::vector<std::string> items;
  if (!r.leans_on.empty()) items.push_back(leans_on_text(r.leans_on));
  items.insert(items.end(), r.assumed.begin(), r.assumed.end());
  for (const std::string& value : r.defaults_taken) items.push_back("default: " + value);
  if (items.empty()) return "";
  const std::size_t shown = style.explain ? items.size() : std::min(items.size(), short_list);
  std::string page = title(paint, "What this leans on");
  for (std::size_t i = 0; i < shown; ++i) page += wrapped("  - ", items[i]);
  if (shown < items.size()) page += fmt::format("  ... and {} more: --explain\n", items.size() - shown);
  return page;
}

/// How steps differ, and who keeps whom waiting.
std::string disturbances(const Report& r, const Paint& paint) {
  std::string page;
  if (r.steps) {
    page += title(paint, fmt::format("{} simulated steps", r.steps->count));
    TextTable table({{"fastest", Align::right},
                     {"mean", Align::right},
                     {"p50", Align::right},
                     {"p95", Align::right},
                     {"p99", Align::right},
                     {"slowest", Align::right}});
    table.add_row({step_text(r.steps->fastest), step_text(r.steps->mean), step_text(r.steps->p50),
                   step_text(r.steps->p95), step_text(r.steps->p99), step_text(r.steps->slowest)});
    page += indented(table.to_string());
  }
  if (!r.undisturbed) return page;
  page += title(paint, "What faults and spread of speed cost");
  page += fmt::format("  {} of {}: without them the step takes {}\n", to_text(r.step_time - *r.undisturbed),
                      step_text(r.step_time), step_text(*r.undisturbed));
  if (r.stragglers.empty()) return page;
  TextTable table({{"last to come", Align::right},
                   {"node", Align::right},
                   {"stage", Align::right},
                   {"kept others waiting", Align::right}});
  for (const Report::Straggler& straggler : r.stragglers) {
    table.add_row({fmt::format("rank {}", straggler.rank), std::to_string(straggler.node),
                   std::to_string(straggler.stage), to_text(straggler.kept_waiting)});
  }
  return page + indented(table.to_string());
}

/// By what it is spent on and by whom: the path itself has hundreds of stretches.
std::string critical_path(const Report& r, const Paint& paint) {
  if (r.critical_path.empty()) return "";
  std::map<std::string, Seconds> by_work;
  std::map<std::int64_t, std::pair<int, Seconds>> by_rank;
  for (const Report::PathPart& part : r.critical_path) {
    by_work[part.what] += part.time;
    auto& [stage, time] = by_rank[part.rank];
    stage = part.stage;
    time += part.time;
  }
  std::vector<std::pair<std::string, Seconds>> works(by_work.begin(), by_work.end());
  std::stable_sort(works.begin(), works.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::pair<std::int64_t, std::pair<int, Seconds>>> ranks(by_rank.begin(), by_rank.end());
  std::stable_sort(ranks.begin(), ranks.end(),
                   [](const auto& a, const auto& b) { return a.second.second > b.second.second; });
  std::string page = title(paint, fmt::format("Critical path: {} stretches through {} of the simulated ranks",
                                              r.critical_path.size(), ranks.size()));
  for (const auto& [what, time] : works) page += bar_line(paint, what.c_str(), time / r.step_time, to_text(time));
  constexpr std::size_t shown = 8;
  TextTable table({{"rank", Align::right}, {"stage", Align::right}, {"on the path", Align::right}});
  for (std::size_t i = 0; i < std::min(shown, ranks.size()); ++i) {
    table.add_row(
        {std::to_string(ranks[i].first), std::to_string(ranks[i].second.first), to_text(ranks[i].second.second)});
  }
  return page + "\n" + indented(table.to_string());
}

/// How it was reckoned; not how long that took, so that the same run prints the same page.
std::string simulated(const Report& r, const Paint& paint) {
  const Report::Simulation& s = r.simulation;
  if (s.executor.empty()) return "";
  const auto count = [](std::int64_t n) { return count_text(static_cast<double>(n)); };
  return "\n" +
         paint.faint(fmt::format("{} executor: {} {} ranks, {} instructions, {} events", s.executor, count(s.ranks),
                                 s.folded ? "representative" : "simulated", count(s.instructions), count(s.events))) +
         "\n";
}

}  // namespace

std::string text_report(const Report& report, const ReportStyle& style) {
  const Paint paint(style.colour);
  std::string page;
  if (!report.feasible) page += paint.bad("Cannot run: ") + wrapped("", report.infeasible_reason) + "\n";
  page += heading(report, paint) + answers(report, paint);
  if (report.anchor) page += anchor_text(*report.anchor, paint);
  if (report.has_time()) page += where_the_time_goes(report, paint);
  if (report.memory.peak() > Bytes{}) page += where_the_memory_goes(report, paint);
  page += memory_over_time(report, paint) + advice(report, paint);
  page += stages(report, style, paint);
  if (style.explain && report.has_time()) page += stage_times(report, paint);
  page += disturbances(report, paint) + critical_path(report, paint);
  if (report.has_time()) page += conventions(report, paint);
  if (style.explain) page += operators(report, paint);
  return page + leans_on(report, style, paint) + simulated(report, paint);
}

}  // namespace stepcast
