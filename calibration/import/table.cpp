#include <algorithm>

#include <fmt/format.h>

#include "calibration/import/importer.hpp"
#include "simulator/base/files.hpp"

namespace stepcast {
namespace {

constexpr std::size_t largest_table = std::size_t{1} << 30;

/// Times of one shape that differ by more are no repeats of one measurement. Collectives are not held to it: nccl-tests'
/// small messages do scatter that much.
constexpr double contradiction = 2.0;

struct Device {
  std::string_view part;  ///< of the device's name, lower case
  std::string_view gpu;
};
constexpr Device devices[] = {
    {"a100-sxm4-40gb", "a100-40gb-sxm"},
    {"a100-sxm4-80gb", "a100-80gb-sxm"},
    {"a100-pcie", "a100-80gb-pcie"},
    {"a100_pcie", "a100-80gb-pcie"},
    {"h100-sxm", "h100-80gb-sxm"},
    {"h100 80gb hbm3", "h100-80gb-sxm"},
    {"h100-pcie", "h100-80gb-pcie"},
    {"h100 pcie", "h100-80gb-pcie"},
    {"h800", "h800-80gb-sxm"},
    {"gb200", "gb200-186gb"},
    {"gb300", "gb300"},
    {"h200", "h200-141gb-sxm"},
    {"b200", "b200-180gb-sxm"},
    {"mi300x", "mi300x-192gb"},
    {"v100-sxm2-16gb", "v100-16gb-sxm"},
    {"v100-sxm", "v100-32gb-sxm"},
    {"a100", "a100-80gb-sxm"},
    {"h100", "h100-80gb-sxm"},
};

/// A second row of the same: the pair of line and time is kept until the median is taken.
struct Repeats {
  std::size_t index;
  std::vector<std::pair<double, int>> times;
};

bool contradictory(const Measurement& measurement, const Repeats& repeats) {
  return repeats.times.back().first > contradiction * repeats.times.front().first &&
         !std::holds_alternative<CollectivePoint>(measurement.point);
}

void take_median(Measurement& measurement, Repeats& repeats, const std::string& path) {
  if (repeats.times.size() < 2) return;
  const auto& [fastest, fast_line] = repeats.times.front();
  const auto& [slowest, slow_line] = repeats.times.back();
  if (contradictory(measurement, repeats))
    throw UserError({path, std::max(fast_line, slow_line), 0},
                    fmt::format("contradicts line {}: {} us and {} us for the same {}", std::min(fast_line, slow_line),
                                fastest, slowest, key_of(measurement)) +
                        "; --drop-contradictions leaves such shapes out");
  measurement.time_us = repeats.times[repeats.times.size() / 2].first;
  measurement.time_us_min = fastest;
  measurement.repeats = static_cast<std::int64_t>(repeats.times.size());
  if (auto* collective = std::get_if<CollectivePoint>(&measurement.point)) {
    const double was = collective->algbw;
    collective->algbw = static_cast<double>(collective->bytes) / measurement.time_us * 1e-3;
    collective->busbw = was > 0 ? collective->busbw * collective->algbw / was : 0;
  }
}

}  // namespace

std::string gpu_preset_of(std::string_view device) {
  std::string name(device);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const Device& known : devices)
    if (name.find(known.part) != std::string::npos) return std::string(known.gpu);
  return {};
}

void name_gpu(Measurement& measurement, const ImportOptions& options) {
  measurement.gpu = gpu_preset_of(measurement.device);
  if (measurement.gpu.empty()) measurement.gpu = options.gpu;
}

std::span<const Importer> importers() {
  static constexpr Importer rows[] = {
      {"nccl-tests", "what all_reduce_perf, all_gather_perf, ... print (also of rccl-tests)", import_nccl_tests},
      {"vidur", "Vidur's linear layers and memory-bound operators: CSV by m, n, k or num_tokens, width", import_vidur},
      {"aiconfigurator", "NVIDIA aiconfigurator's sweeps: CSV of GEMMs and of prefill attention",
       import_aiconfigurator},
      {"simumax", "SimuMax' measured GEMMs in three layouts: CSV", import_simumax},
      {"cudnn-frontend", "cuDNN front end's attention and norm benchmarks: CSV", import_cudnn_frontend},
      {"superbench", "SuperBench's copies between host and device: CSV", import_superbench},
  };
  return rows;
}

ImportedFiles import_files(const Importer& importer, const std::vector<std::string>& paths,
                           const ImportOptions& options) {
  ImportedFiles all;
  std::map<std::string, std::string> first_place;
  for (const std::string& path : paths) {
    Imported imported = importer.read(path, read_file(path, largest_table), options);
    for (const auto& [reason, rows] : imported.left_out) all.left_out[reason] += rows;

    std::map<std::string, Repeats> seen;
    const std::size_t begin = all.measurements.size();
    for (ImportedRow& row : imported.rows) {
      if (!options.gpu.empty() && row.measurement.gpu != options.gpu) {  // one table may hold several
        ++all.left_out["GPU " + row.measurement.gpu];
        continue;
      }
      const std::string key = key_of(row.measurement);
      const auto [found, is_new] = seen.try_emplace(key, Repeats{all.measurements.size(), {}});
      found->second.times.emplace_back(row.measurement.time_us, row.line);
      if (!is_new) {
        ++all.merged;
        continue;
      }
      const auto [earlier, first] = first_place.emplace(key, fmt::format("{}:{}", path, row.line));
      if (!first)
        throw UserError(
            {path, row.line, 0},
            fmt::format("measured before, at {}: import the two into files of their own ({})", earlier->second, key));
      all.measurements.push_back(std::move(row.measurement));
    }
    std::vector<std::size_t> dropped;
    for (auto& [key, repeats] : seen) {
      std::sort(repeats.times.begin(), repeats.times.end());
      if (options.drop_contradictions && contradictory(all.measurements[repeats.index], repeats))
        dropped.push_back(repeats.index);
      else
        take_median(all.measurements[repeats.index], repeats, path);
    }
    std::sort(dropped.rbegin(), dropped.rend());
    for (const std::size_t index : dropped)
      all.measurements.erase(all.measurements.begin() + static_cast<std::ptrdiff_t>(index));
    if (!dropped.empty()) all.left_out["shapes whose times contradict one another"] += static_cast<int>(dropped.size());
    if (all.measurements.size() == begin) {
      std::string why;
      for (const auto& [reason, rows] : all.left_out) why += fmt::format("; {} rows left out: {}", rows, reason);
      throw UserError(path + ": no measurement in this file" + why);
    }
  }
  return all;
}

}  // namespace stepcast
