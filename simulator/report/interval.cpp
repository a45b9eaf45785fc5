#include "simulator/report/interval.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "simulator/base/csv.hpp"
#include "simulator/base/files.hpp"

namespace stepcast {
namespace {

constexpr std::size_t fewest_sources = 3;
constexpr std::size_t fewest_runs = 20;
constexpr double tail = 0.05;      // outside on either side
constexpr double coverage = 0.90;  // of a source left out
constexpr std::int64_t far_larger = 2;

using Alike = bool (*)(const RunTraits&, const RunTraits&);

bool framework_and_gpu(const RunTraits& a, const RunTraits& b) { return a.framework == b.framework && a.gpu == b.gpu; }
bool framework_and_generation(const RunTraits& a, const RunTraits& b) {
  return a.framework == b.framework && a.generation == b.generation;
}
bool family_and_generation(const RunTraits& a, const RunTraits& b) {
  return a.framework_family == b.framework_family && a.generation == b.generation;
}
bool family(const RunTraits& a, const RunTraits& b) { return a.framework_family == b.framework_family; }
bool generation(const RunTraits& a, const RunTraits& b) { return a.generation == b.generation; }
bool anything(const RunTraits&, const RunTraits&) { return true; }

/// On one node or across nodes: most nodes have eight GPUs.
bool is_large(const RunTraits& t) { return t.gpus > 8; }

/// Runs that are alike.
struct Circle {
  Alike alike;
  bool same_size;  ///< both on few GPUs, or both on many
  std::string (*name)(const RunTraits&);
};

std::string framework_and_gpu_name(const RunTraits& t) { return t.framework + " on " + t.gpu; }
std::string framework_and_generation_name(const RunTraits& t) { return t.framework + " on " + t.generation + " GPUs"; }
std::string family_and_generation_name(const RunTraits& t) {
  return t.framework_family + " frameworks on " + t.generation + " GPUs";
}
std::string family_name(const RunTraits& t) { return t.framework_family + " frameworks on all GPUs"; }
std::string generation_name(const RunTraits& t) { return "all frameworks on " + t.generation + " GPUs"; }
std::string anything_name(const RunTraits&) { return "all frameworks and GPUs"; }

/// From the most alike to the least.
constexpr Circle circles[] = {
    {framework_and_gpu, true, framework_and_gpu_name},
    {framework_and_generation, true, framework_and_generation_name},
    {family_and_generation, true, family_and_generation_name},
    {framework_and_gpu, false, framework_and_gpu_name},
    {framework_and_generation, false, framework_and_generation_name},
    {family_and_generation, false, family_and_generation_name},
    {family, true, family_name},
    {generation, true, generation_name},
    {anything, false, anything_name},
};
constexpr std::size_t widest = std::size(circles) - 1;

bool is_in(const Circle& circle, const RunTraits& a, const RunTraits& b) {
  return circle.alike(a, b) && (!circle.same_size || is_large(a) == is_large(b));
}

struct Weighted {
  double value = 0, weight = 0;
};

/// The smallest value that at least `share` of the weight does not exceed. @pre sorted by value
double quantile(const std::vector<Weighted>& sorted, double share) {
  double total = 0, so_far = 0;
  for (const Weighted& w : sorted) total += w.weight;
  for (const Weighted& w : sorted) {
    so_far += w.weight;
    if (so_far >= share * total) return w.value;
  }
  return sorted.back().value;
}

}  // namespace

std::optional<LearnedErrors::Quantiles> LearnedErrors::quantiles(const RunTraits& traits, const std::string& without,
                                                                 std::size_t from) const {
  for (std::size_t c = from; c < std::size(circles); ++c) {
    std::vector<std::size_t> runs_of(sources_.size()), members;
    Quantiles q;
    for (std::size_t i = 0; i < residuals_.size(); ++i) {
      const RunResidual& residual = residuals_[i];
      if (!is_in(circles[c], residual.traits, traits) || residual.source == without) continue;
      members.push_back(i);
      ++runs_of[source_at_[i]];
      q.largest = std::max(q.largest, residual.traits.gpus);
    }
    const auto sources = runs_of.size() - static_cast<std::size_t>(std::count(runs_of.begin(), runs_of.end(), 0U));
    if (members.size() < fewest_runs || sources < fewest_sources) continue;
    std::vector<Weighted> ratios;
    for (std::size_t i : members)
      ratios.push_back({residuals_[i].log_ratio, 1 / std::sqrt(static_cast<double>(runs_of[source_at_[i]]))});
    std::sort(ratios.begin(), ratios.end(), [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
    q.low = quantile(ratios, tail);
    q.middle = quantile(ratios, 0.5);
    q.high = quantile(ratios, 1 - tail);
    q.runs = static_cast<int>(members.size());
    q.sources = static_cast<int>(sources);
    q.circle = c;
    return q;
  }
  return std::nullopt;
}

std::string LearnedErrors::beyond(const RunTraits& traits, const std::string& without, const Quantiles& q) const {
  if (traits.gpus > far_larger * q.largest)
    return fmt::format("{} GPUs, where the largest of these has {}", traits.gpus, q.largest);
  const bool gpu_is_known = std::any_of(residuals_.begin(), residuals_.end(), [&](const RunResidual& r) {
    return r.source != without && r.traits.gpu == traits.gpu;
  });
  return gpu_is_known ? "" : "a " + traits.gpu + ", which none of these has";
}

/// How far an interval has to be stretched from its median to reach a ratio.
double LearnedErrors::Quantiles::stretch_to(double log_ratio) const {
  if (std::min(0.0, middle) <= log_ratio && log_ratio <= std::max(0.0, middle)) return 0;  // always inside
  const double away = log_ratio - middle;
  const double reach = away >= 0 ? high - middle : low - middle;
  return reach == 0 ? std::numeric_limits<double>::infinity() : away / reach;
}

LearnedErrors::LearnedErrors(std::vector<RunResidual> residuals) : residuals_(std::move(residuals)) {
  for (const RunResidual& r : residuals_) {
    const auto found = std::find(sources_.begin(), sources_.end(), r.source);
    source_at_.push_back(static_cast<std::size_t>(found - sources_.begin()));
    if (found == sources_.end()) sources_.push_back(r.source);
  }
  struct Learned {
    std::optional<Quantiles> alike, all;
  };
  using Key = std::tuple<std::string, std::string, std::string, bool>;  // runs alike in these have the same circle
  std::map<Key, Learned> learned;
  std::vector<Weighted> needed;
  for (const RunResidual& r : residuals_) {
    const Key key{r.source, r.traits.framework, r.traits.gpu, is_large(r.traits)};
    auto found = learned.find(key);
    if (found == learned.end())
      found =
          learned.emplace(key, Learned{quantiles(r.traits, r.source, 0), quantiles(r.traits, r.source, widest)}).first;
    const auto& [alike, all] = found->second;
    if (!alike) continue;
    double stretch = alike->stretch_to(r.log_ratio);
    if (all && !beyond(r.traits, r.source, *alike).empty()) stretch = std::min(stretch, all->stretch_to(r.log_ratio));
    needed.push_back({stretch, 1});
  }
  if (needed.empty()) return;
  std::sort(needed.begin(), needed.end(), [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  stretch_ = std::max(1.0, quantile(needed, coverage));
}

std::string LearnedErrors::source_of_run(const RunTraits& traits, double published_s) const {
  constexpr double digits = 1e-3;  // the table holds five
  for (const RunResidual& run : residuals_) {
    if (run.traits.gpu == traits.gpu && run.traits.gpus == traits.gpus &&
        std::abs(run.published_s / published_s - 1) < digits) {
      return run.source;
    }
  }
  return "";
}

bool LearnedErrors::has_source(const std::string& name) const {
  return std::any_of(residuals_.begin(), residuals_.end(), [&](const RunResidual& r) { return r.source == name; });
}

std::optional<LearnedInterval> LearnedErrors::interval(const RunTraits& traits, const std::string& without) const {
  const std::optional<Quantiles> q = quantiles(traits, without, 0);
  if (!q) return std::nullopt;
  const auto low_of = [this](const Quantiles& of) { return of.middle + stretch_ * (of.low - of.middle); };
  const auto high_of = [this](const Quantiles& of) { return of.middle + stretch_ * (of.high - of.middle); };
  double low = low_of(*q), high = high_of(*q);
  LearnedInterval interval;
  interval.runs = q->runs;
  interval.sources = q->sources;
  interval.alike = circles[q->circle].name(traits);
  if (circles[q->circle].same_size)
    interval.alike += is_large(traits) ? ", more than 8 of them" : ", at most 8 of them";
  interval.beyond = beyond(traits, without, *q);
  if (!interval.beyond.empty()) {
    // What is known of no run like it cannot be surer than what is known of runs in general.
    if (const auto of_all = quantiles(traits, without, widest)) {
      low = std::min(low, low_of(*of_all));
      high = std::max(high, high_of(*of_all));
    }
  }
  interval.low = std::exp(std::min(low, 0.0));  // the prediction itself is always inside
  interval.high = std::exp(std::max(high, 0.0));
  return interval;
}

void add_interval(const LearnedErrors& learned, const RunTraits& traits, const std::string& without, Report& report) {
  if (!report.has_time()) return;
  const std::optional<LearnedInterval> interval = learned.interval(traits, without);
  if (!interval) return;
  report.interval = {report.step_time * interval->low, report.step_time * interval->high};
  report.interval_from =
      fmt::format("{} published runs of {} sources: {}", interval->runs, interval->sources, interval->alike);
  if (learned.has_source(without)) report.interval_from += fmt::format("; {} left out", without);
  if (!interval->beyond.empty()) report.interval_from += "; wider, for it is about " + interval->beyond;
}

std::vector<RunResidual> read_residuals(const std::string& path) {
  const CsvTable table(path, read_file(path));
  table.require({"file", "gpu", "generation", "framework", "framework_family", "gpus", "metric", "published",
                 "predicted", "status"},
                "a table of `stepcast validate --format csv`");
  std::vector<RunResidual> residuals;
  for (const CsvRow& row : table.rows()) {
    if (row.text("status") != "ok" || row.text("metric") != "step_time_s") continue;
    RunResidual residual;
    residual.source = std::filesystem::path(row.text("file")).stem().string();
    residual.traits.framework = row.text("framework");
    residual.traits.framework_family = row.text("framework_family");
    residual.traits.gpu = row.text("gpu");
    residual.traits.generation = row.text("generation");
    residual.traits.gpus = row.count("gpus");
    residual.published_s = row.positive("published");
    residual.log_ratio = std::log(residual.published_s / row.positive("predicted"));
    residuals.push_back(std::move(residual));
  }
  return residuals;
}

}  // namespace stepcast
