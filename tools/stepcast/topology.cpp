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
  std::string group, ranks, format = "text";
  std::int64_t size = 0, stride = 0;
  TopologyOptions shape;
};

/// Ranks apart that the members of a kind of group are, in Megatron's order, where --stride does not say.
struct GroupName {
  std::string_view name;
  bool neighbours;  ///< next to each other; else as far apart as there are groups
};
constexpr GroupName group_names[] = {{"tensor_parallel", true},
                                     {"context_parallel", true},
                                     {"expert_parallel", true},
                                     {"data_parallel", false},
                                     {"pipeline_parallel", false}};

struct Format {
  std::string_view name;
  std::string (*write)(const Topology&, const TopologySummary&);
};
constexpr Format topology_formats[] = {{"text", topology_text}, {"json", topology_json}, {"dot", topology_dot}};

using Ranks = std::vector<std::int64_t>;

TopologySummary::Group listed_group(const Options& options, const Cluster& cluster, const Topology& topology) {
  const std::vector<RankRange> ranges = parse_ranks(options.ranks, cluster.gpus);
  Ranks ranks;
  for (const RankRange& range : ranges)
    for (std::int64_t rank = range.first; rank <= range.last; ++rank) ranks.push_back(rank);
  TopologySummary::Group group;
  group.name = "ranks " + options.ranks;
  group.shape = group_shape(cluster, ranges);
  group.groups = 1;
  group.alone = topology.routes(std::vector<Ranks>{ranks});
  return group;
}

TopologySummary::Group named_group(const Options& options, const Cluster& cluster, const Topology& topology) {
  const GroupName& name = chosen("group", options.group, group_names);
  if (options.size < 2 || options.size > cluster.gpus)
    throw UserError(fmt::format("--group needs its --size, 2 to {}", cluster.gpus));
  const std::int64_t size = options.size;
  const std::int64_t stride = options.stride > 0 ? options.stride : name.neighbours ? 1 : cluster.gpus / size;
  if (stride > cluster.gpus / size || cluster.gpus % (stride * size) != 0)
    throw UserError(
        fmt::format("{} GPUs do not divide into groups of {} ranks that are {} apart", cluster.gpus, size, stride));
  TopologySummary::Group group;
  group.name = fmt::format("{} of {}, ranks {} apart", options.group, size, stride);
  group.shape = group_shape(cluster, size, stride);
  group.groups = cluster.gpus / size;
  std::vector<Ranks> groups;
  for (std::int64_t first = 0; first < cluster.gpus; ++first) {
    if (first / stride % size != 0) continue;
    auto& ranks = groups.emplace_back();
    for (std::int64_t i = 0; i < size; ++i) ranks.push_back(first + i * stride);
    if (groups.size() == 1) group.alone = topology.routes(groups);
    constexpr std::int64_t most_gpus_together = 4096;  // each flow needs a search through the graph
    if (cluster.gpus > most_gpus_together) return group;
  }
  group.together = topology.routes(groups);
  return group;
}

Exit topology(const Options& options) {
  const Format& format = chosen("format", options.format, topology_formats);
  const Cluster cluster = read_cluster_option(options.cluster, 0);
  const Topology topology = build_topology(cluster, options.shape);
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
  if (!options.group.empty() && !options.ranks.empty()) throw UserError("--group or --ranks, not both");
  if (!options.group.empty()) summary.group = named_group(options, cluster, topology);
  if (!options.ranks.empty()) summary.group = listed_group(options, cluster, topology);
  print_result(format.write(topology, summary));
  return Exit::done;
}

}  // namespace

Action add_topology(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  add_cluster_options(app, options->cluster, ClusterName::argument);
  app.add_option("--group", options->group, "What such a group gets: " + names_of(group_names))->type_name("KIND");
  app.add_option("--size", options->size, "... of how many ranks")->type_name("N");
  app.add_option("--stride", options->stride, "... how far apart (1, or as many as there are groups)")->type_name("N");
  app.add_option("--ranks", options->ranks, "Or these ranks: 0-63 or 0,8,16")->type_name("LIST");
  app.add_option("--leaf-oversubscription", options->shape.leaf_oversubscription, "Into a leaf over out of it")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--spine-oversubscription", options->shape.spine_oversubscription, "The same of a pod (Llama 3: 7)")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--format", options->format, names_of(topology_formats))->type_name("FORMAT")->capture_default_str();
  app.footer(
      "Examples:\n"
      "  stepcast topology dgx-h100-superpod --group data_parallel --size 128\n"
      "  stepcast topology dgx-h100-superpod --nodes 4 --format dot | dot -Tsvg > cluster.svg");
  return [options] { return topology(*options); };
}

}  // namespace stepcast::cli
