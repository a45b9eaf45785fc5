#include "simulator/cluster/placement.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "simulator/base/error.hpp"

namespace stepcast {

int Cluster::domain_gpus() const {
  return node.domain_gpus > node.gpus ? node.domain_gpus : std::max(1, gpus_per_node);
}

GroupShape group_shape(const Cluster& cluster, std::int64_t ranks, std::int64_t stride) {
  const std::int64_t domain = cluster.domain_gpus();
  if (cluster.gpus <= domain) return {ranks, ranks};
  const std::int64_t per_domain = stride >= domain ? 1 : std::max<std::int64_t>(1, domain / stride);
  return {ranks, std::min(ranks, per_domain)};
}

bool distance_crosses_network(const Cluster& cluster, std::int64_t stride) { return stride >= cluster.domain_gpus(); }

namespace {

/// Cuts `text` at each `separator`.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::int64_t rank_number(std::string_view text, std::string_view list) {
  std::int64_t rank = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || rank < 0) {
    throw UserError("ranks are a list such as 0-63 or 0,8,16, not '" + std::string(list) + "'");
  }
  return rank;
}

struct DimensionName {
  std::string_view name;
  RankDimension dimension;
};
constexpr DimensionName dimension_names[] = {{"tp", RankDimension::tensor},
                                             {"cp", RankDimension::context},
                                             {"ep", RankDimension::expert},
                                             {"dp", RankDimension::data},
                                             {"pp", RankDimension::pipeline}};

}  // namespace

std::vector<RankRange> parse_ranks(std::string_view text, std::int64_t gpus) {
  std::vector<RankRange> ranges;
  for (const std::string_view part : split(text, ',')) {
    const std::size_t dash = part.find('-');
    const std::int64_t first = rank_number(part.substr(0, dash), text);
    const std::int64_t last = dash == std::string_view::npos ? first : rank_number(part.substr(dash + 1), text);
    if (last < first) throw UserError("ranks " + std::string(part) + " run backwards");
    if (last >= gpus) {
      throw UserError("rank " + std::to_string(last) + " is beyond the cluster's " + std::to_string(gpus) +
                      " GPUs: the last is " + std::to_string(gpus - 1));
    }
    ranges.push_back({first, last});
  }
  std::sort(ranges.begin(), ranges.end(), [](RankRange a, RankRange b) { return a.first < b.first; });
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first > ranges[i - 1].last) continue;
    throw UserError("rank " + std::to_string(ranges[i].first) + " is named twice");
  }
  return ranges;
}

GroupShape group_shape(const Cluster& cluster, std::span<const RankRange> ranks) {
  const std::int64_t domain = cluster.domain_gpus();
  std::int64_t count = 0, domains = 0, newest = -1;
  for (const RankRange& range : ranks) {
    count += range.count();
    const std::int64_t first = std::max(range.first / domain, newest + 1);
    newest = range.last / domain;
    domains += std::max<std::int64_t>(0, newest - first + 1);
  }
  return {count, domains > 0 ? (count + domains - 1) / domains : 1};
}

RankOrder parse_rank_order(std::string_view text) {
  if (text == "megatron" || text == "torchtitan") text = "tp-cp-ep-dp-pp";
  RankOrder order;
  for (const std::string_view name : split(text, '-')) {
    const auto* found = std::find_if(std::begin(dimension_names), std::end(dimension_names),
                                     [&](const DimensionName& known) { return known.name == name; });
    if (found == std::end(dimension_names)) {
      throw UserError(unknown_name("dimension of a rank order", name, {"tp", "cp", "ep", "dp", "pp"}));
    }
    const auto& named = order.fastest_first;
    if (std::find(named.begin(), named.end(), found->dimension) != named.end()) {
      throw UserError("the rank order '" + std::string(text) + "' names " + std::string(name) + " twice");
    }
    order.fastest_first.push_back(found->dimension);
  }
  return order;
}

Placement::Placement(const RankOrder& order, const Degrees& degrees) : degrees_(degrees) {
  std::int64_t stride = 1;
  for (const RankDimension dimension : order.fastest_first) {
    strides_[static_cast<std::size_t>(dimension)] = stride;
    stride *= degree(dimension);
  }
  for (const DimensionName& known : dimension_names) {
    std::int64_t& missing = strides_[static_cast<std::size_t>(known.dimension)];
    if (missing > 0) continue;
    if (degree(known.dimension) != 1) {
      throw UserError("the rank order leaves out " + std::string(known.name) + ", whose degree is " +
                      std::to_string(degree(known.dimension)));
    }
    missing = stride;
  }
}

std::int64_t Placement::ranks() const {
  std::int64_t product = 1;
  for (const std::int64_t degree : degrees_) product *= degree;
  return product;
}

std::int64_t Placement::place(std::int64_t rank, RankDimension dimension) const {
  return rank / stride(dimension) % degree(dimension);
}

std::vector<std::int64_t> Placement::members(std::int64_t rank, Dimensions along) const {
  for (const RankDimension dimension : along) rank -= place(rank, dimension) * stride(dimension);
  std::vector<std::int64_t> members{rank};
  for (const RankDimension dimension : along) {
    const std::size_t so_far = members.size();
    for (std::int64_t place = 1; place < degree(dimension); ++place)
      for (std::size_t i = 0; i < so_far; ++i) members.push_back(members[i] + place * stride(dimension));
  }
  std::sort(members.begin(), members.end());
  return members;
}

std::vector<std::int64_t> Placement::first_ranks(Dimensions along) const {
  std::vector<std::int64_t> firsts;
  for (std::int64_t rank = 0; rank < ranks(); ++rank) {
    const bool first = std::all_of(along.begin(), along.end(), [&](RankDimension d) { return place(rank, d) == 0; });
    if (first) firsts.push_back(rank);
  }
  return firsts;
}

GroupShape Placement::shape(const Cluster& cluster, Dimensions along) const {
  // Dimensions that follow one another are one; of each, the places that one domain has room for.
  std::vector<RankDimension> sorted(along.begin(), along.end());
  std::sort(sorted.begin(), sorted.end(), [&](auto a, auto b) { return stride(a) < stride(b); });
  GroupShape whole{1, 1};
  for (std::size_t i = 0; i < sorted.size();) {
    const std::int64_t step = stride(sorted[i]);
    std::int64_t count = 1;
    for (; i < sorted.size() && (degree(sorted[i]) == 1 || stride(sorted[i]) == step * count); ++i)
      count *= degree(sorted[i]);
    const GroupShape part = group_shape(cluster, count, step);
    whole = {whole.ranks * part.ranks, whole.per_domain * part.per_domain};
  }
  return whole;
}

}  // namespace stepcast
