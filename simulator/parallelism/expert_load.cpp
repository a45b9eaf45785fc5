#include "simulator/parallelism/expert_load.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <vector>

#include "simulator/engine/expected_slowest.hpp"

namespace stepcast {

std::optional<double> zipf_exponent(std::string_view load) {
  constexpr std::string_view prefix = "zipf-";
  if (!load.starts_with(prefix)) return std::nullopt;
  load.remove_prefix(prefix.size());
  double exponent = 0;
  const auto [end, error] = std::from_chars(load.data(), load.data() + load.size(), exponent);
  const bool whole = error == std::errc() && end == load.data() + load.size();
  if (!whole || !(exponent >= 0) || exponent > 10) return std::nullopt;
  return exponent;
}

namespace {

double busiest_over_mean(const std::vector<double>& ranks) {
  const double sum = std::accumulate(ranks.begin(), ranks.end(), 0.0);
  return *std::max_element(ranks.begin(), ranks.end()) * static_cast<double>(ranks.size()) / sum;
}

}  // namespace

double expert_imbalance(const ParallelPlan& plan, std::int64_t experts, double rows) {
  const auto n = static_cast<std::size_t>(plan.expert_parallel);
  if (n == 1) return 1;
  std::vector<double> ranks(n, 0);
  if (!plan.expert_histogram.empty()) {
    const std::size_t of_a_rank = plan.expert_histogram.size() / n;
    for (std::size_t e = 0; e < plan.expert_histogram.size(); ++e) ranks[e / of_a_rank] += plan.expert_histogram[e];
    return busiest_over_mean(ranks);
  }
  if (const auto exponent = zipf_exponent(plan.expert_load)) {
    for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e) {
      ranks[e % n] += std::pow(static_cast<double>(e + 1), -*exponent);
    }
    return busiest_over_mean(ranks);
  }
  return 1 + expected_slowest(static_cast<double>(n)) / std::sqrt(rows);
}

}  // namespace stepcast
