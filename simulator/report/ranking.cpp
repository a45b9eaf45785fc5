#include "simulator/report/ranking.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include <fmt/format.h>

namespace stepcast {
namespace {

constexpr std::size_t fewest_runs = 6;

struct Rates {
  double measured = 0, predicted = 0;  ///< tokens/s
};

double tau_b(const std::vector<Rates>& runs) {
  double agree = 0, measured_apart = 0, predicted_apart = 0;  // pairs
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double m = runs[i].measured - runs[j].measured, p = runs[i].predicted - runs[j].predicted;
      if (m != 0) ++measured_apart;
      if (p != 0) ++predicted_apart;
      if (m != 0 && p != 0) agree += (m > 0) == (p > 0) ? 1 : -1;
    }
  }
  const double scale = std::sqrt(measured_apart * predicted_apart);
  return scale > 0 ? agree / scale : 0;
}

double lost_by_the_best(const std::vector<Rates>& runs) {
  const auto by_measured = [](const Rates& a, const Rates& b) { return a.measured < b.measured; };
  const auto by_predicted = [](const Rates& a, const Rates& b) { return a.predicted < b.predicted; };
  const double best = std::max_element(runs.begin(), runs.end(), by_measured)->measured;
  return 1 - std::max_element(runs.begin(), runs.end(), by_predicted)->measured / best;
}

}  // namespace

std::vector<RankedSweep> ranked_sweeps(const std::vector<ValidationRow>& rows) {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<Rates>> sweeps;
  for (const ValidationRow& row : rows) {
    if (row.metric != Metric::step_time || row.status != ValidationStatus::ok || !row.error_percent()) continue;
    const RunTraits& t = row.traits;
    sweeps[{source_of(row), fmt::format("{}, {} x {}", t.model, t.gpus, t.gpu), t.framework}].push_back(
        {t.tokens_per_step / *row.published, t.tokens_per_step / *row.predicted});
  }
  std::vector<RankedSweep> ranked;
  for (const auto& [key, runs] : sweeps) {
    if (runs.size() < fewest_runs) continue;
    ranked.push_back(
        {std::get<0>(key), std::get<1>(key), static_cast<int>(runs.size()), tau_b(runs), lost_by_the_best(runs)});
  }
  return ranked;
}

}  // namespace stepcast
