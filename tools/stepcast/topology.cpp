#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "simulator/report/topology_report.hpp"
#include "simulator/units/text.hpp"
#include "tools/stepcast/cluster_option.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  ClusterOption cluster;
  std::string group, ranks, degrees, order = "megatron", format = "text";
  std::int64_t size = 0, stride = 0;
};

using enum RankDimension;

/// The dimensions along which a kind of group lies, in which of the two grids, and how its members lie when no degrees
/// are given: next to each other in an NVLink domain, or one in each node.
struct GroupName {
  std::string_view name;
  std::vector<RankDimension> along;
  bool of_experts;
  bool neighbours;
};
const GroupName group_names[] = {
    {"tensor_parallel", {tensor}, false, true},    {"context_parallel", {context}, false, true},
    {"expert_parallel", {expert}, true, true},     {"data_parallel", {context, data}, false, false},
    {"expert_data_parallel", {data}, true, false}, {"pipeline_parallel", {pipeline}, false, false}};

struct Format {
  std::string_view name;
  std::string (*write)(const Topology&, const TopologySummary&);
};
constexpr Format topology_formats[] = {{"text", topology_text}, {"json", topology_json}, {"dot", topology_dot}};

using Ranks = std::vector<std::int64_t>;

// --- groups ------------------------------------------------------------------------------------------------------

struct DegreeName {
  std::string_view name;
  std::int64_t value = 0;  ///< zero: not given
};

/// "tp=8,pp=4"; data parallelism is what the others leave of the GPUs.
Placement placement_of(const Options& options, bool of_experts, std::int64_t gpus) {
  DegreeName tp{"tp"}, cp{"cp"}, ep{"ep"}, etp{"etp"}, dp{"dp"}, pp{"pp"};
  std::string_view text = options.degrees;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = std::min(part.find('='), part.size());
    DegreeName* found = nullptr;
    for (DegreeName* known : {&tp, &cp, &ep, &etp, &dp, &pp})
      if (known->name == part.substr(0, equals)) found = known;
    if (found == nullptr)
      throw UserError(unknown_name("degree", part.substr(0, equals), {"tp", "cp", "ep", "etp", "dp", "pp"}));
    const std::string_view number = part.substr(std::min(equals + 1, part.size()));
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), found->value);
    if (error != std::errc() || end != number.data() + number.size() || found->value < 1 || found->value > gpus)
      throw UserError(fmt::format("--degrees: {} is a number from 1 to {}, not '{}'", found->name, gpus, number));
  }
  for (DegreeName* one : {&tp, &cp, &ep, &pp}) one->value = std::max<std::int64_t>(1, one->value);
  if (etp.value == 0) etp.value = tp.value;
  const auto left = [&](std::initializer_list<std::int64_t> degrees) {
    std::int64_t rest = gpus;
    for (const std::int64_t degree : degrees) {
      if (rest % degree != 0) throw UserError(fmt::format("--degrees {} do not divide {} GPUs", options.degrees, gpus));
      rest /= degree;
    }
    return rest;
  };
  const std::int64_t replicas = left({tp.value, cp.value, pp.value});
  if (dp.value > 0 && dp.value != replicas)
    throw UserError(
        fmt::format("--degrees {} leave {} replicas of {} GPUs, not {}", options.degrees, replicas, gpus, dp.value));
  const RankOrder order = parse_rank_order(options.order);
  if (of_experts) return {order, {etp.value, 1, ep.value, left({etp.value, ep.value, pp.value}), pp.value}};
  return {order, {tp.value, cp.value, 1, replicas, pp.value}};
}

/// All groups of a kind. Without --degrees: a whole NVLink domain, or one rank of every node.
std::vector<Ranks> groups_of(const Options& options, const GroupName& name, const Cluster& cluster,
                             std::string& title) {
  std::vector<Ranks> groups;
  if (!options.degrees.empty()) {
    if (options.size > 0 || options.stride > 0) throw UserError("--degrees, or --size and --stride, not both");
    const Placement placement = placement_of(options, name.of_experts, cluster.gpus);
    for (const std::int64_t first : placement.first_ranks(name.along))
      groups.push_back(placement.members(first, name.along));
    title = fmt::format("{} in {} ({})", name.name, options.degrees, options.order);
    return groups;
  }
  const std::int64_t node = std::min<std::int64_t>(cluster.gpus, std::max(1, cluster.gpus_per_node));
  std::int64_t size = options.size;
  if (size == 0)
    size = name.neighbours ? std::min<std::int64_t>(cluster.domain_gpus(), cluster.gpus) : cluster.gpus / node;
  if (size < 1 || size > cluster.gpus) throw UserError(fmt::format("--size is a number from 1 to {}", cluster.gpus));
  const std::int64_t stride = options.stride > 0 ? options.stride : name.neighbours ? 1 : cluster.gpus / size;
  if (stride > cluster.gpus / size || cluster.gpus % (stride * size) != 0)
    throw UserError(
        fmt::format("{} GPUs do not divide into groups of {} ranks that are {} apart", cluster.gpus, size, stride));
  for (std::int64_t first = 0; first < cluster.gpus; ++first) {
    if (first / stride % size != 0) continue;
    Ranks& ranks = groups.emplace_back();
    for (std::int64_t i = 0; i < size; ++i) ranks.push_back(first + i * stride);
  }
  title = fmt::format("{}, ranks {} apart", name.name, stride);
  return groups;
}

TopologySummary::Group group_of(const Options& options, const Cluster& cluster, const Topology& topology) {
  TopologySummary::Group group;
  std::vector<Ranks> groups;
  if (!options.ranks.empty()) {
    group.name = "ranks " + options.ranks;
    Ranks& ranks = groups.emplace_back();
    for (const RankRange& range : parse_ranks(options.ranks, cluster.gpus))
      for (std::int64_t rank = range.first; rank <= range.last; ++rank) ranks.push_back(rank);
  } else {
    groups = groups_of(options, chosen("group", options.group, group_names), cluster, group.name);
  }
  group.ranks = static_cast<std::int64_t>(groups.front().size());
  group.alone = ring_routes(topology, std::span(groups).first(1));
  if (groups.size() > 1) group.together = ring_routes(topology, groups);
  return group;
}

Exit topology(const Options& options) {
  const Format& format = chosen("format", options.format, topology_formats);
  if (!options.group.empty() && !options.ranks.empty()) throw UserError("--group or --ranks, not both");
  if (options.group.empty() && (options.size > 0 || options.stride > 0 || !options.degrees.empty()))
    throw UserError("--size, --stride and --degrees say more of a --group: name one");
  const Cluster cluster = read_cluster_option(options.cluster, 0);
  const Topology topology = build_topology(cluster);
  TopologySummary summary;
  const std::int64_t nodes = cluster.gpus / std::max(1, cluster.gpus_per_node);
  summary.cluster = fmt::format("{}{}{} nodes of {}, {} GPUs{}{}", options.cluster.cluster,
                                options.cluster.cluster.empty() ? "" : ": ", count_text(static_cast<double>(nodes)),
                                cluster.node.name, count_text(static_cast<double>(cluster.gpus)),
                                cluster.gpus > cluster.domain_gpus() ? ", " : "",
                                cluster.gpus > cluster.domain_gpus() ? cluster.fabric.name : "");
  if (format.name != "dot") {
    summary.bisection = topology.bisection();
    summary.diameter = topology.diameter();
  }
  if (!options.group.empty() || !options.ranks.empty()) summary.group = group_of(options, cluster, topology);
  print_result(format.write(topology, summary));
  return Exit::done;
}

}  // namespace

Action add_topology(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  add_cluster_options(app, options->cluster, ClusterName::argument);
  app.add_option("--group", options->group, "What such a group gets: " + names_of(group_names))->type_name("KIND");
  app.add_option("--degrees", options->degrees, "... in a plan of tp, cp, ep, etp, pp: tp=8,pp=4")->type_name("LIST");
  app.add_option("--order", options->order, "... with ranks in this order: megatron, torchtitan, tp-cp-pp-dp")
      ->type_name("ORDER")
      ->capture_default_str();
  app.add_option("--size", options->size, "Without --degrees: of how many ranks")->type_name("N");
  app.add_option("--stride", options->stride, "... how far apart")->type_name("N");
  app.add_option("--ranks", options->ranks, "Or these ranks: 0-63 or 0,8,16")->type_name("LIST");
  app.add_option("--format", options->format, names_of(topology_formats))->type_name("FORMAT")->capture_default_str();
  app.footer(
      "Without --degrees a group is a whole NVLink domain (tensor, context, expert) or a rank of every node.\n"
      "Examples:\n"
      "  stepcast topology dgx-h100-superpod --group tensor_parallel\n"
      "  stepcast topology meta-24k-roce --group data_parallel --degrees tp=8,pp=16 --order tp-cp-pp-dp\n"
      "  stepcast topology dgx-h100-superpod --nodes 4 --format dot | dot -Tsvg > cluster.svg");
  return [options] { return topology(*options); };
}

}  // namespace stepcast::cli
