#pragma once
/// Max-min fairness the plain way, to hold the engine against: at every start and end all rates are worked out anew by
/// progressive filling, over all flows and links. And flows at random, from a seed.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "simulator/engine/flows.hpp"

namespace stepcast::slow_flows {

/// Rates of flows over these paths: the tightest link fixes the rate of its flows, again and again.
inline std::vector<double> fair_rates(std::span<const BytesPerSecond> links,
                                      const std::vector<std::span<const LinkId>>& paths) {
  std::vector<double> left(links.size()), rates(paths.size(), -1);
  for (std::size_t link = 0; link < links.size(); ++link) left[link] = links[link].si();
  for (;;) {
    std::vector<double> open(links.size(), 0);
    for (std::size_t flow = 0; flow < paths.size(); ++flow) {
      if (rates[flow] >= 0) continue;
      for (LinkId link : paths[flow]) ++open[link];
    }
    std::size_t tightest = links.size();
    for (std::size_t link = 0; link < links.size(); ++link) {
      if (open[link] == 0) continue;
      if (tightest == links.size() || left[link] / open[link] < left[tightest] / open[tightest]) tightest = link;
    }
    if (tightest == links.size()) return rates;
    const double share = left[tightest] / open[tightest];
    for (std::size_t flow = 0; flow < paths.size(); ++flow) {
      if (rates[flow] >= 0 || std::ranges::find(paths[flow], static_cast<LinkId>(tightest)) == paths[flow].end())
        continue;
      rates[flow] = share;
      for (LinkId link : paths[flow]) left[link] -= share;
    }
  }
}

/// When each flow ends, in seconds.
inline std::vector<double> run(std::span<const BytesPerSecond> links, std::span<const FlowSpec> flows) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> begins(flows.size()), left(flows.size()), ends(flows.size(), infinity);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    begins[i] = flows[i].start.seconds().si() + flows[i].latency.si();
    left[i] = flows[i].size.si();
    if (left[i] == 0 || flows[i].path.empty()) ends[i] = begins[i];
  }
  double now = 0;
  for (;;) {
    std::vector<std::size_t> moving;
    std::vector<std::span<const LinkId>> paths;
    double next = infinity;
    for (std::size_t i = 0; i < flows.size(); ++i) {
      if (ends[i] < infinity) continue;
      if (begins[i] > now) {
        next = std::min(next, begins[i]);
      } else {
        moving.push_back(i);
        paths.push_back(flows[i].path);
      }
    }
    if (moving.empty() && next == infinity) return ends;
    const std::vector<double> rates = fair_rates(links, paths);
    for (std::size_t m = 0; m < moving.size(); ++m) next = std::min(next, now + left[moving[m]] / rates[m]);
    for (std::size_t m = 0; m < moving.size(); ++m) {
      left[moving[m]] -= rates[m] * (next - now);
      if (left[moving[m]] <= rates[m] * 1e-13) ends[moving[m]] = next;
    }
    now = next;
  }
}

/// Links, and flows over them with their paths.
struct Case {
  std::vector<BytesPerSecond> links;
  std::vector<std::vector<LinkId>> paths;
  std::vector<FlowSpec> flows;
};

inline double uniform(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 0.5) / 9007199254740992.0;
}
inline double exponential(std::mt19937_64& random) { return -std::log(uniform(random)); }

/// Hosts with an up and a down link of 50 GB/s each, 1 us from host to host; flows of 4 MB on average between random
/// hosts, at random times that load the links to `load`; zero: all at once.
inline Case between_hosts(std::uint32_t hosts, std::size_t flows, double load, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Case made;
  made.links.assign(2 * hosts, 50.0_GBps);
  made.paths.resize(flows);
  double start = 0;
  for (std::size_t i = 0; i < flows; ++i) {
    const auto from = static_cast<std::uint32_t>(random() % hosts);
    const auto to = static_cast<std::uint32_t>((from + 1 + random() % (hosts - 1)) % hosts);
    made.paths[i] = {2 * from, 2 * to + 1};
    if (load > 0) start += exponential(random) * 4e6 / (load * hosts * 50e9);
    made.flows.push_back(
        {to_ticks(Seconds(start)), made.paths[i], Bytes(std::ceil(4e6 * exponential(random))), 1.0_us});
  }
  return made;
}

/// Links of unlike capacities and paths of up to five of them, often the same path; starts in bunches.
inline Case over_any_links(std::uint32_t links, std::size_t flows, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Case made;
  for (std::uint32_t i = 0; i < links; ++i)
    made.links.push_back(BytesPerSecond(1e9 * static_cast<double>(1 + random() % 9)));
  made.paths.resize(flows);
  for (std::size_t i = 0; i < flows; ++i) {
    if (i > 0 && random() % 4 == 0) {
      made.paths[i] = made.paths[random() % i];
    } else {
      const std::size_t length = random() % 6;
      while (made.paths[i].size() < std::min<std::size_t>(length, links)) {
        const auto link = static_cast<LinkId>(random() % links);
        if (std::ranges::find(made.paths[i], link) != made.paths[i].end()) continue;
        made.paths[i].insert(made.paths[i].end(), random() % 4 == 0 ? 2 : 1, link);  // now and then twice
      }
    }
    const double start = static_cast<double>(random() % 8) * 1e-3 + (random() % 2 == 0 ? 0 : uniform(random) * 1e-3);
    const double size = random() % 16 == 0 ? 0 : 1e6 * static_cast<double>(1 + random() % 5);
    made.flows.push_back(
        {to_ticks(Seconds(start)), made.paths[i], Bytes(size), Seconds(1e-6 * static_cast<double>(random() % 3))});
  }
  return made;
}

}  // namespace stepcast::slow_flows
