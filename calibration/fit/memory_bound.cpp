/// Bandwidth, ramp and floor of kernels that HBM binds (simulator/kernels/memory_bound.cpp).
///
/// Kernels of different operators reach different shares of the bandwidth, which is how well they were written and no
/// property of the GPU: each operator of each library has one free ratio, and the fitted bandwidth is that of copies, else
/// of additions, else the middle of all. Benchmarks that repeat on the same buffers (`warm`) find in the L2 what that can
/// hold of them, which gives its speed.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "calibration/fit/fit.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {
namespace {

constexpr std::size_t fewest_points = 8;
constexpr std::size_t few_points = 120;
constexpr std::size_t fewest_widths = 4;

struct Sample {
  MemoryBound work;
  std::string op;
  std::size_t source = 0;  ///< operator and library
  double time = 0;
  bool held_out = false;
  double weight = 1;
};

constexpr const char* beyond_l2 = "above twice the L2";
struct SizeClass {
  const char* name;
  double above, upto;  // MB
};
constexpr SizeClass classes[] = {{"above 100 MB", 100, 1e30}, {"10-100 MB", 10, 100},      {"1-10 MB", 1, 10},
                                 {"below 1 MB", 0, 1},        {"all above 1 MB", 1, 1e30}, {beyond_l2, 0, 1e30}};

}  // namespace

Fit fit_memory_bound(const std::vector<const Measurement*>& measurements, Gpu& gpu, const FitOptions& options) {
  if (measurements.size() < fewest_points)
    throw UserError(
        fmt::format("too few memory measurements to fit: {}; {} are needed", measurements.size(), fewest_points));
  if (options.note) options.note("memory-bound kernels");
  std::vector<Sample> samples;
  std::map<std::string, std::size_t> source_index;
  std::vector<std::string> sources;
  std::set<std::string> libraries, ops;
  std::size_t fitted = 0;
  bool any_warm = false;
  std::map<std::string, std::set<std::int64_t>> widths;  // of an operator
  for (const Measurement* measurement : measurements) {
    const MemoryPoint& point = std::get<MemoryPoint>(measurement->point);
    if (point.width) widths[point.op].insert(*point.width);
  }
  for (const Measurement* measurement : measurements) {
    const MemoryPoint& point = std::get<MemoryPoint>(measurement->point);
    Sample sample;
    sample.work = {Bytes(static_cast<double>(point.bytes)), 1, point.warm.value_or(false)};
    any_warm |= sample.work.warm;
    sample.op = point.op;
    const auto [found, is_new] = source_index.emplace(point.op + " by " + measurement->library, sources.size());
    if (is_new) sources.push_back(found->first);
    sample.source = found->second;
    sample.time = measurement->time_us * 1e-6;
    std::uint64_t op = 0;
    for (const char c : point.op) op = op * 131 + static_cast<unsigned char>(c);
    // A width is a family; a size, of what has no width or only a few.
    const bool by_width = point.width && widths[point.op].size() >= fewest_widths;
    const auto family = static_cast<std::uint64_t>(by_width ? *point.width : point.bytes);
    sample.held_out = names_source(options.held_out_source, measurement->library) ||
                      is_held_out(op, family, options.seed, measurements.size() < few_points ? 0.25 : 0.5);
    const double megabytes = static_cast<double>(point.bytes) * 1e-6;
    sample.weight = megabytes > 10 ? 3 : megabytes > 1 ? 1 : 0.2;
    if (!sample.held_out) {
      ++fitted;
      libraries.insert(measurement->library);
    }
    ops.insert(point.op);
    samples.push_back(sample);
  }
  // Every operator of every library counts alike, however many sizes it has.
  std::vector<double> weight_of(sources.size(), 0);
  for (const Sample& sample : samples)
    if (!sample.held_out) weight_of[sample.source] += sample.weight;
  for (Sample& sample : samples)
    if (!sample.held_out) sample.weight /= weight_of[sample.source];

  if (fitted == 0) throw UserError("nothing is left of the memory measurements to fit once the hold-out is set apart");

  MemoryBoundProfile& profile = gpu.memory_bound;
  std::vector<double> log_ratio(sources.size(), 0);
  const auto log_error = [&](const Sample& sample) {
    return std::log(memory_time(sample.work, gpu).time.si() / sample.time) + log_ratio[sample.source];
  };
  std::string reference;
  for (const char* op : {"copy", "residual_add"})
    if (reference.empty() && ops.count(op) != 0) reference = op;
  // The median over each source's large kernels, less that of the reference.
  const auto settle = [&] {
    std::fill(log_ratio.begin(), log_ratio.end(), 0.0);
    std::vector<std::vector<std::pair<double, double>>> of_source(sources.size());
    for (const Sample& sample : samples)
      if (!sample.held_out) of_source[sample.source].emplace_back(-log_error(sample), sample.weight);
    double sum = 0, count = 0;
    for (std::size_t s = 0; s < sources.size(); ++s) {
      log_ratio[s] = of_source[s].empty() ? 0 : weighted_median(of_source[s]);
      const bool counts = reference.empty() || sources[s].compare(0, reference.size() + 4, reference + " by ") == 0;
      if (counts && !of_source[s].empty()) sum += log_ratio[s], ++count;
    }
    for (double& ratio : log_ratio) ratio -= count > 0 ? sum / count : 0;
  };
  std::vector<Unknown> unknowns{{"bandwidth_fraction", 0.2, 1.0, profile.bandwidth_fraction},
                                {"ramp_time", 0, 10e-6, profile.ramp_time->si()},
                                {"floor_time", 0, 15e-6, profile.floor_time->si()}};
  if (any_warm) unknowns.push_back({"l2_speedup", 1, 4, profile.l2_speedup});
  const auto set = [&](const std::vector<double>& values) {
    profile.bandwidth_fraction.value = values[0];
    profile.ramp_time.value = Seconds(values[1]);
    profile.floor_time.value = Seconds(values[2]);
    if (any_warm) profile.l2_speedup.value = values[3];
  };
  const auto objective = [&](const std::vector<double>& values) {
    set(values);
    settle();
    return fitted_error(samples, log_error);
  };
  std::vector<double> best = minimise(objective, unknowns, {600, 400}, options.seed);
  for (double& value : best) value = rounded(value, 3);
  set(best);
  settle();

  Fit fit;
  const auto add_rows = [&](const std::string& what, const std::string* op) {
    for (const SizeClass& size : classes) {
      const double above = size.name == beyond_l2 ? 2e-6 * gpu.l2->si() : size.above;
      std::vector<double> errors;
      for (const Sample& sample : samples) {
        const double megabytes = sample.work.bytes.si() * 1e-6;
        if (sample.held_out && (op == nullptr || sample.op == *op) && megabytes > above && megabytes <= size.upto)
          errors.push_back(log_error(sample));
      }
      if (!errors.empty()) fit.rows.push_back({what, "families", size.name, summary_of(errors), {}});
    }
  };
  for (const std::string& op : ops) add_rows("memory " + op, &op);
  add_rows("memory", nullptr);
  std::string error;
  for (const HoldOutRow& row : fit.rows)
    if (row.what == "memory" && row.size_class == std::string("all above 1 MB"))
      error = fmt::format("; held-out above 1 MB: mean {:.1f}%", 100 * row.formula.mean);
  std::string names;
  for (const std::string& library : libraries) names += (names.empty() ? "" : ", ") + library;
  const std::string source = fmt::format("{} measurements ({}){}", fitted, names, error);
  fit.numbers = {{"memory_bound.bandwidth_fraction", fmt::format("{:.3g}", best[0]), source},
                 {"memory_bound.ramp_time", fmt::format("{:.3g} us", best[1] * 1e6), source},
                 {"memory_bound.floor_time", fmt::format("{:.3g} us", best[2] * 1e6), source}};
  if (any_warm) fit.numbers.push_back({"memory_bound.l2_speedup", fmt::format("{:.3g}", best[3]), source});
  for (std::size_t s = 0; s < sources.size(); ++s) {
    std::size_t n = 0;
    for (const Sample& sample : samples) n += sample.source == s;
    fit.ratios.push_back({"memory", sources[s], n, std::exp(log_ratio[s]), false});
  }
  for (const Sample& sample : samples)
    fit.points.push_back(
        {"memory", sample.time * 1e6, sample.time * 1e6 * std::exp(log_error(sample)), sample.held_out});
  return fit;
}

}  // namespace stepcast
