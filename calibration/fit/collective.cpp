/// Launch, latency, efficiency and ramp of one tier of links (simulator/collectives/collective_time.hpp), from NCCL's times.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "calibration/fit/fit.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/collectives/collective_time.hpp"

namespace stepcast {
namespace {

constexpr std::size_t fewest_points = 12;

struct Sample {
  CollectiveKind kind;
  Bytes size;
  GroupShape group;
  double time = 0;
  bool held_out = false;
  double weight = 1;
};

struct SizeClass {
  const char* name;
  double above, upto;  // MB
};
constexpr SizeClass classes[] = {
    {"above 64 MB", 64, 1e30}, {"1-64 MB", 1, 64}, {"below 1 MB", 0, 1}, {"all above 1 MB", 1, 1e30}};

/// The operations that the model has.
const std::map<std::string, CollectiveKind>& kinds() {
  static const std::map<std::string, CollectiveKind> table{{"all_reduce", CollectiveKind::all_reduce},
                                                           {"all_gather", CollectiveKind::all_gather},
                                                           {"reduce_scatter", CollectiveKind::reduce_scatter}};
  return table;
}

std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 0;
  for (const char c : text) hash = hash * 131 + static_cast<unsigned char>(c);
  return hash;
}

}  // namespace

Fit fit_links(const std::vector<Measurement>& measurements, const Cluster& base, Tier which,
              const FitOptions& options) {
  const bool network = which == Tier::network;
  const std::string tier_name = network ? "nic" : "intra";
  Fit fit;
  std::map<std::string, int> left_out;
  std::vector<Sample> samples;
  std::set<std::string> sources, curves;
  for (const Measurement& measurement : measurements) {
    const auto* point = std::get_if<CollectivePoint>(&measurement.point);
    if (point == nullptr) {
      ++left_out[fmt::format("of kind '{}'", kind_of(measurement.point))];
      continue;
    }
    const auto kind = kinds().find(point->op);
    if (kind == kinds().end()) {
      ++left_out[point->op + ", which these constants do not serve"];
    } else if ((point->nodes > 1) != network) {
      ++left_out[network ? "inside one node" : "over several nodes"];
    } else if (point->bytes > 0 && point->ranks > 1) {
      const std::string curve =
          fmt::format("{} {} {} {}", measurement.source, point->op, point->ranks, measurement.library);
      curves.insert(curve);
      Sample sample{kind->second,
                    Bytes(double(point->bytes)),
                    {point->ranks, point->ranks / point->nodes},
                    measurement.time_us * 1e-6,
                    false,
                    1};
      // Size by size: what one log says of its other sizes is what the owner of a cluster has.
      sample.held_out = names_source(options.held_out_source, measurement.library) ||
                        is_held_out(hash_of(curve), static_cast<std::uint64_t>(point->bytes), options.seed, 0.25);
      const double megabytes = double(point->bytes) * 1e-6;
      sample.weight = megabytes > 64 ? 2 : megabytes > 1 ? 1.5 : megabytes > 0.06 ? 0.7 : 0.3;
      if (!sample.held_out) sources.insert(measurement.source.empty() ? measurement.library : measurement.source);
      samples.push_back(sample);
    }
  }
  for (const auto& [reason, count] : left_out)
    fit.notes.push_back(fmt::format("{} measurements are not fitted: {}", count, reason));
  if (samples.size() < fewest_points)
    throw UserError(fmt::format("too few collectives {} to fit: {}; {} are needed",
                                network ? "over several nodes" : "inside one node", samples.size(), fewest_points));

  Cluster cluster = base;
  LinkTier& tier = network ? cluster.fabric.nic : cluster.node.intra;
  const auto log_error = [&](const Sample& sample) {
    cluster.gpus = sample.group.ranks;
    cluster.gpus_per_node = static_cast<int>(sample.group.per_domain);
    return std::log(collective_time(sample.kind, sample.size, sample.group, cluster).si() / sample.time);
  };
  const std::vector<Unknown> unknowns{{"efficiency", 0.05, 1.6, tier.efficiency},
                                      {"latency", 0, network ? 60e-6 : 10e-6, tier.latency->si()},
                                      {"launch", 0, 60e-6, tier.launch->si()},
                                      {"half_size", 0, 64e6, tier.half_size->si()}};
  const auto set = [&](const std::vector<double>& values) {
    tier.efficiency.value = values[0];
    tier.latency.value = Seconds(values[1]);
    tier.launch.value = Seconds(values[2]);
    tier.half_size.value = Bytes(values[3]);
  };
  const auto objective = [&](const std::vector<double>& values) {
    set(values);
    return fitted_error(samples, log_error);
  };
  std::vector<double> best = minimise(objective, unknowns, {3000, 800}, options.seed);
  for (double& value : best) value = rounded(value, 3);
  set(best);

  for (const auto& [op, kind] : kinds()) {
    for (const SizeClass& size : classes) {
      std::vector<double> errors;
      for (const Sample& sample : samples) {
        const double megabytes = sample.size.si() * 1e-6;
        if (sample.held_out && sample.kind == kind && megabytes > size.above && megabytes <= size.upto)
          errors.push_back(log_error(sample));
      }
      if (!errors.empty()) fit.rows.push_back({op, "a quarter of the sizes", size.name, summary_of(errors), {}});
    }
  }
  std::vector<double> held_out;
  std::size_t fitted = 0;
  for (const Sample& sample : samples) {
    if (sample.held_out)
      held_out.push_back(log_error(sample));
    else
      ++fitted;
    fit.points.push_back(
        {"collective", sample.time * 1e6, sample.time * 1e6 * std::exp(log_error(sample)), sample.held_out});
  }
  std::string names;
  for (const std::string& source : sources) names += (names.empty() ? "" : ", ") + source;
  const std::string source = fmt::format("{} measurements of {} curves ({}); held-out sizes: mean {:.0f}%", fitted,
                                         curves.size(), names, 100 * summary_of(held_out).mean);
  fit.numbers = {{tier_name + ".efficiency", fmt::format("{:.3g}", best[0]), source},
                 {tier_name + ".latency", fmt::format("{:.3g} us", best[1] * 1e6), source},
                 {tier_name + ".launch", fmt::format("{:.3g} us", best[2] * 1e6), source},
                 {tier_name + ".half_size", fmt::format("{:.3g} MB", best[3] * 1e-6), source}};
  return fit;
}

}  // namespace stepcast
