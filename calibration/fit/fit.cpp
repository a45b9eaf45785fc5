#include "calibration/fit/fit.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace stepcast {
namespace {

/// Times of one shape by one library that differ by more are no repeats of one measurement.
constexpr double contradiction = 2.0;

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::uint64_t mixed(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// Of this GPU or of the relative that was named, and each shape once per library.
std::vector<const Measurement*> checked(const std::vector<Measurement>& measurements, const Gpu& base,
                                        const FitOptions& options) {
  std::map<std::string, const Measurement*> seen;
  std::vector<const Measurement*> kept;
  for (const Measurement& measurement : measurements) {
    const std::string& gpu = measurement.gpu;
    if (!gpu.empty() && gpu != base.name && gpu != options.relative_gpu)
      throw UserError(
          fmt::format("measurements of {} ({}) are no measurements of {}; --relative {} takes them for shapes "
                      "and layouts, but not for speed",
                      gpu, measurement.source, base.name, gpu));
    const auto [found, is_new] = seen.emplace(key_of(measurement), &measurement);
    if (!is_new) {
      const double a = found->second->time_us;
      const double b = measurement.time_us;
      if (std::max(a, b) > contradiction * std::min(a, b))
        throw UserError(fmt::format("two files contradict each other: {} us ({}) and {} us ({}) for the same {}", a,
                                    found->second->source, b, measurement.source, found->first));
      continue;
    }
    kept.push_back(&measurement);
  }
  return kept;
}

bool any_named(const std::vector<const Measurement*>& measurements, const std::string& source) {
  return std::any_of(measurements.begin(), measurements.end(),
                     [&](const Measurement* m) { return names_source(source, m->library); });
}

}  // namespace

void Fit::add(Fit other) {
  append(numbers, other.numbers);
  append(surfaces, other.surfaces);
  append(rows, other.rows);
  append(ratios, other.ratios);
  append(points, other.points);
  append(notes, other.notes);
}

bool is_held_out(std::uint64_t family_a, std::uint64_t family_b, std::uint64_t seed, double share) {
  const std::uint64_t hash = mixed(mixed(mixed(seed) ^ family_a) ^ family_b);
  return static_cast<double>(hash >> 11) * 0x1p-53 < share;
}

bool names_source(const std::string& named, const std::string& library) {
  return !named.empty() && library.compare(0, named.size(), named) == 0;
}

double rounded(double value, int digits) {
  if (value == 0) return 0;
  const double scale = std::pow(10.0, digits - 1 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

Gpu at_burst_speed(Gpu gpu) {
  for (auto& [precision, profile] : gpu.gemm) profile.sustained.value = 1;
  gpu.sustained_power = gpu.power_limit;
  return gpu;
}

Fit fit_gpu(const std::vector<Measurement>& measurements, const Gpu& base, const FitOptions& options) {
  const std::vector<const Measurement*> all = checked(measurements, base, options);
  for (const auto& [option, source] :
       {std::pair("--hold-out", &options.held_out_source), std::pair("--reference", &options.reference_source)}) {
    if (source->empty() || any_named(all, *source)) continue;
    std::vector<std::string> libraries;
    for (const Measurement* m : all)
      if (std::find(libraries.begin(), libraries.end(), m->library) == libraries.end()) libraries.push_back(m->library);
    throw UserError(std::string(option) + ": " + unknown_name("source", *source, libraries));
  }

  std::map<Precision, std::vector<const Measurement*>> gemms;
  std::vector<const Measurement*> attention, memory;
  std::map<std::string, int> others;
  for (const Measurement* measurement : all) {
    if (const auto* gemm = std::get_if<GemmPoint>(&measurement->point)) {
      const auto found = std::find(precision_names.begin(), precision_names.end(), gemm->precision);
      CHECK(found != precision_names.end(), "a measurement's precision is one of ours");
      auto precision = static_cast<Precision>(found - precision_names.begin());
      if (precision == Precision::fp16) precision = Precision::bf16;  // one profile serves both
      gemms[precision].push_back(measurement);
    } else if (std::holds_alternative<AttentionPoint>(measurement->point)) {
      attention.push_back(measurement);
    } else if (std::holds_alternative<MemoryPoint>(measurement->point)) {
      memory.push_back(measurement);
    } else {
      ++others[std::string(kind_of(measurement->point))];
    }
  }

  Gpu gpu = at_burst_speed(base);
  Fit fit;
  for (const auto& [precision, points] : gemms) {
    if (base.peak.find(precision) == base.peak.end())
      throw UserError(fmt::format("{} has no {} matrix units: its profile has no peak rate for them", base.name,
                                  name_of(precision)));
    fit.add(fit_gemm(points, gpu, precision, options));
  }
  if (!attention.empty()) fit.add(fit_attention(attention, gpu, options));
  if (!memory.empty()) fit.add(fit_memory_bound(memory, gpu, options));
  for (const auto& [kind, count] : others)
    fit.notes.push_back(fmt::format("{} measurements of kind '{}' are not fitted here", count, kind));
  if (fit.numbers.empty()) throw UserError("nothing to fit: no GEMM, attention or memory measurements in these files");
  return fit;
}

}  // namespace stepcast
