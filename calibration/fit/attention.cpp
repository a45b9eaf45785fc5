/// Speeds of fused attention kernels (simulator/kernels/attention.cpp), one set a generation of kernel.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "calibration/fit/fit.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/kernels/kernel_time.hpp"

namespace stepcast {
namespace {

constexpr std::size_t fewest_points = 12;
constexpr std::size_t few_points = 120;

using Kernel = AttentionProfile::Kernel;

struct Sample {
  AttentionKernel attention;
  double time = 0;
  std::string source;
  bool held_out = false;
  bool source_held_out = false;
  double weight = 1;
  double gflop() const { return attention.flops().si() * 1e-9; }
};

/// A constant of the kernel, by its path below the kernel.
struct Field {
  Unknown unknown;
  Sourced<double>* number;
};

/// What the fitted measurements of one direction hold.
struct Coverage {
  bool any = false, causal = false, full = false;
  bool near_64 = false, near_128 = false, near_256 = false;
};

struct SizeClass {
  const char* name;
  double above, upto;
};
constexpr SizeClass classes[] = {{"above 100 GFLOP", 100, 1e30},
                                 {"10-100 GFLOP", 10, 100},
                                 {"below 10 GFLOP", 0, 10},
                                 {"all above 10 GFLOP", 10, 1e30}};

class KernelFit {
 public:
  KernelFit(const std::string& name, const std::vector<const Measurement*>& measurements, Gpu& gpu,
            const FitOptions& options)
      : name_(name), gpu_(gpu), options_(options) {
    if (measurements.size() < fewest_points)
      throw UserError(fmt::format("too few attention measurements of kernel '{}' to fit: {}; {} are needed", name,
                                  measurements.size(), fewest_points));
    std::map<std::string, double> weight_of_source;
    for (const Measurement* measurement : measurements) {
      const AttentionPoint& point = std::get<AttentionPoint>(measurement->point);
      Sample sample;
      AttentionKernel& a = sample.attention;
      a.sequences = double(point.batch);
      a.heads = double(point.heads);
      a.kv_heads = double(point.kv_heads);
      a.query_length = double(point.query_length);
      a.key_length = double(point.key_length);
      a.head_dim_qk = a.head_dim_v = double(point.head_dim);
      a.causal = point.causal;
      a.backward = point.backward;
      a.kernel = name_;
      a.precision = point.precision == "fp16" ? Precision::fp16 : Precision::bf16;
      sample.time = measurement->time_us * 1e-6;
      const bool whole_source = names_source(options.held_out_source, measurement->library);
      // The heads and the batch are a family; of few measurements every shape is one.
      const bool few = measurements.size() < few_points;
      sample.source = measurement->library;
      sample.source_held_out = whole_source;
      sample.held_out =
          whole_source ||
          is_held_out(static_cast<std::uint64_t>(point.heads * 1000 + point.kv_heads),
                      static_cast<std::uint64_t>(
                          point.head_dim * 1000 + point.batch +
                          (few ? 1'000'000 * (4 * point.key_length + 2 * point.causal + point.backward) : 0)),
                      options.seed, few ? 0.25 : 0.5);
      const double g = sample.gflop();
      sample.weight = g > 10 ? 3 : g > 1 ? 1 : 0.2;
      samples_.push_back(sample);
      if (sample.held_out) continue;
      ++fitted_;
      weight_of_source[measurement->library] += sample.weight;
      const double blocks = double(point.batch * point.heads) * std::ceil(double(point.query_length) / 128);
      fewest_blocks_ = std::min(fewest_blocks_, blocks);
      most_blocks_ = std::max(most_blocks_, blocks);
      Coverage& has = has_[point.backward ? 1 : 0];
      has.any = true;
      has.causal |= point.causal;
      has.full |= !point.causal;
      has.near_64 |= point.head_dim <= 64;
      has.near_256 |= point.head_dim >= 192;
      has.near_128 |= point.head_dim > 64 && point.head_dim < 192;
    }
    if (fitted_ == 0)
      throw UserError(
          fmt::format("nothing is left of attention kernel '{}' to fit once the hold-out is set apart", name));
    for (const auto& [source, weight] : weight_of_source) sources_ += (sources_.empty() ? "" : ", ") + source;
    // Every source counts alike, however many shapes it has.
    for (Sample& sample : samples_)
      if (!sample.held_out) sample.weight /= weight_of_source.at(sample.source);
  }

  Fit run() {
    Kernel& kernel = gpu_.attention.kernels.at(name_);
    std::vector<Field> fields;
    const auto unknown = [&](bool has, std::string label, double low, double high, Sourced<double>& number) {
      if (has) fields.push_back({{std::move(label), low, high, number.value}, &number});
    };
    for (const bool backward : {false, true}) {
      AttentionProfile::Pass& pass = backward ? kernel.backward : kernel.forward;
      const Coverage& has = has_[backward ? 1 : 0];
      const std::string of = backward ? "backward." : "forward.";
      unknown(has.any, of + "fraction", 0.05, 1, pass.fraction);
      unknown(has.full, of + "half_length", 0, 4000, pass.half_length);
      unknown(has.causal, of + "causal_half_length", 0, 8000, pass.causal_half_length);
      // Relative to 128: without it they cannot be told from the fractions.
      unknown(has.near_64 && has.near_128, of + "head_dim_64_factor", 0.3, 1.2, pass.head_dim_64_factor);
      unknown(has.near_256 && has.near_128, of + "head_dim_256_factor", 0.3, 1.5, pass.head_dim_256_factor);
    }
    // What the last blocks cost shows in launches of few blocks beside launches of many.
    unknown(most_blocks_ > 4 * fewest_blocks_, "tail_blocks", 0, 8, kernel.tail_blocks);

    std::vector<Unknown> unknowns;
    for (const Field& field : fields) unknowns.push_back(field.unknown);
    const auto objective = [&](const std::vector<double>& values) {
      for (std::size_t i = 0; i < fields.size(); ++i) fields[i].number->value = values[i];
      return fitted_error(samples_, [&](const Sample& sample) { return log_error(sample); });
    };
    const std::vector<double> best = minimise(objective, unknowns, {4000, 2000}, options_.seed);
    for (std::size_t i = 0; i < fields.size(); ++i) fields[i].number->value = rounded(best[i], 3);

    Fit fit;
    for (const bool backward : {false, true}) {
      const std::string what = fmt::format("attention {} {}", name_, backward ? "backward" : "forward");
      for (const bool whole_source : {false, true}) {
        const std::string held_out = whole_source ? "source " + options_.held_out_source : "families";
        for (const SizeClass& size : classes) {
          std::vector<double> errors;
          for (const Sample& sample : samples_)
            if (sample.held_out && sample.source_held_out == whole_source && sample.attention.backward == backward &&
                sample.gflop() > size.above && sample.gflop() <= size.upto)
              errors.push_back(log_error(sample));
          if (!errors.empty()) fit.rows.push_back({what, held_out, size.name, summary_of(errors), {}});
        }
      }
    }
    std::string error;
    for (const HoldOutRow& row : fit.rows)
      if (row.size_class == std::string("all above 10 GFLOP") && row.held_out == "families")
        error += fmt::format("; held-out above 10 GFLOP {}: mean {:.1f}%", row.what.substr(row.what.rfind(' ') + 1),
                             100 * row.formula.mean);
    for (const Sample& sample : samples_)
      fit.points.push_back(
          {"attention", sample.time * 1e6, sample.time * 1e6 * std::exp(log_error(sample)), sample.held_out});
    const std::string source = fmt::format("{} measurements ({}){}", fitted_, sources_, error);
    for (const Field& field : fields)
      fit.numbers.push_back({fmt::format("attention.kernels.{}.{}", name_, field.unknown.name),
                             fmt::format("{:.3g}", field.number->value), source});
    return fit;
  }

 private:
  double log_error(const Sample& sample) const {
    return std::log(attention_time(sample.attention, gpu_).time.si() / sample.time);
  }

  const std::string& name_;
  Gpu& gpu_;
  const FitOptions& options_;
  std::vector<Sample> samples_;
  std::size_t fitted_ = 0;
  std::string sources_;
  Coverage has_[2];                                                                   ///< forward, backward
  double fewest_blocks_ = std::numeric_limits<double>::infinity(), most_blocks_ = 0;  ///< of a launch
};

}  // namespace

Fit fit_attention(const std::vector<const Measurement*>& measurements, Gpu& gpu, const FitOptions& options) {
  std::map<std::string, std::vector<const Measurement*>> kernels;
  for (const Measurement* measurement : measurements)
    kernels[std::get<AttentionPoint>(measurement->point).kernel].push_back(measurement);
  Fit fit;
  for (const auto& [name, points] : kernels) {
    if (gpu.attention.kernels.count(name) == 0) {
      std::string known;
      for (const auto& [kernel, profile] : gpu.attention.kernels) known += (known.empty() ? "" : ", ") + kernel;
      fit.notes.push_back(fmt::format("{} measurements of attention kernel '{}' are not fitted: {} has {}",
                                      points.size(), name, gpu.name, known));
      continue;
    }
    if (options.note) options.note("attention " + name);
    fit.add(KernelFit(name, points, gpu, options).run());
  }
  return fit;
}

}  // namespace stepcast
