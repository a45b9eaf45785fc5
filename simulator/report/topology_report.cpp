#include "simulator/report/topology_report.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulator/base/error.hpp"
#include "simulator/base/text_table.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

Device device_at(const Topology& topology, std::int32_t vertex) {
  return topology.vertices()[static_cast<std::size_t>(vertex)].device;
}

/// Equal links between two tiers, counted once for both directions.
struct LinkKind {
  Device below, above;
  double bandwidth;

  auto operator<=>(const LinkKind&) const = default;
};

std::map<LinkKind, std::int64_t> link_kinds(const Topology& topology) {
  std::map<LinkKind, std::int64_t> kinds;
  for (const Link& link : topology.links()) {
    if (link.from > link.to) continue;
    const Device from = device_at(topology, link.from);
    const Device to = device_at(topology, link.to);
    ++kinds[{std::min(from, to), std::max(from, to), link.bandwidth.si()}];
  }
  return kinds;
}

std::map<Device, std::int64_t> device_counts(const Topology& topology) {
  std::map<Device, std::int64_t> counts;
  for (const Vertex& vertex : topology.vertices()) ++counts[vertex.device];
  return counts;
}

std::string count(std::int64_t number) { return count_text(static_cast<double>(number)); }

std::string routes_text(const GroupRoutes& routes) {
  std::string text = fmt::format("{} a ring, held back at {}", to_text(routes.ring), routes.busiest);
  if (routes.network_flows > 0) {
    text += fmt::format("; through the network {} flows of {} (the slowest {})", count(routes.network_flows),
                        to_text(routes.mean_network), to_text(routes.slowest_network));
  }
  text += fmt::format("; at most {} hops", routes.most_hops);
  if (routes.shared_links > 0)
    text += fmt::format("; {} links shared by up to {}", count(routes.shared_links), routes.most_shared);
  return text;
}

nlohmann::ordered_json routes_json(const GroupRoutes& routes) {
  return {{"groups", routes.groups},
          {"ring_bytes_per_s", routes.ring.si()},
          {"slowest_link", routes.busiest},
          {"flows", routes.flows},
          {"network_flows", routes.network_flows},
          {"mean_network_flow_bytes_per_s", routes.mean_network.si()},
          {"slowest_network_flow_bytes_per_s", routes.slowest_network.si()},
          {"slowest_inside_flow_bytes_per_s", routes.slowest_inside.si()},
          {"most_hops", routes.most_hops},
          {"shared_links", routes.shared_links},
          {"most_flows_on_a_link", routes.most_shared}};
}

}  // namespace

std::string topology_text(const Topology& topology, const TopologySummary& summary) {
  std::string text = fmt::format("{} ({})\n\n", summary.cluster, topology.name);
  TextTable tiers({{"tier"}, {"how many", Align::right}});
  for (const auto& [device, number] : device_counts(topology)) {
    const bool together = device == Device::nic && topology.nics_of_a_vertex > 1;
    tiers.add_row(
        {fmt::format("{}{}", name_of(device), together ? fmt::format(" x {}", topology.nics_of_a_vertex) : ""),
         count(number)});
  }
  TextTable links({{"links"}, {"how many", Align::right}, {"each, one way", Align::right}, {"together", Align::right}});
  for (const auto& [kind, number] : link_kinds(topology)) {
    links.add_row({fmt::format("{} - {}", name_of(kind.below), name_of(kind.above)), count(number),
                   to_text(BytesPerSecond(kind.bandwidth)),
                   to_text(BytesPerSecond(kind.bandwidth * static_cast<double>(number)))});
  }
  text += tiers.to_string() + "\n" + links.to_string() + "\n";
  const double half = static_cast<double>(topology.gpus().size() / 2);
  text += fmt::format("bisection  {}: {} a GPU between the first and the second half of the ranks (max-flow)\n",
                      to_text(summary.bisection), to_text(half > 0 ? summary.bisection / half : BytesPerSecond(0)));
  text += fmt::format("diameter   {} hops from GPU to GPU{}\n", summary.diameter.hops,
                      summary.diameter.sources < static_cast<std::int64_t>(topology.gpus().size())
                          ? fmt::format(" (from {} of them)", summary.diameter.sources)
                          : "");
  if (!summary.group) return text;
  const TopologySummary::Group& group = *summary.group;
  text += fmt::format("\ngroup      {}: {} ranks in {} NVLink domains, up to {} in one", group.name, group.ranks,
                      group.alone.domains, group.alone.most_in_a_domain);
  if (group.alone.switches > 0) {
    text += fmt::format("; on {} leaf switches, up to {} on one", group.alone.switches, group.alone.most_on_a_switch);
  }
  text += "\nalone      " + routes_text(group.alone) + "\n";
  if (group.together)
    text += fmt::format("all {:<6} {}\n", count(group.together->groups), routes_text(*group.together));
  return text;
}

std::string topology_json(const Topology& topology, const TopologySummary& summary) {
  nlohmann::ordered_json tiers, links = nlohmann::ordered_json::array();
  for (const auto& [device, count] : device_counts(topology)) tiers[std::string(name_of(device))] = count;
  for (const auto& [kind, count] : link_kinds(topology)) {
    links.push_back({{"between", {name_of(kind.below), name_of(kind.above)}},
                     {"count", count},
                     {"bandwidth_bytes_per_s", kind.bandwidth}});
  }
  nlohmann::ordered_json tree = {{"cluster", summary.cluster},
                                 {"shape", topology.name},
                                 {"tiers", tiers},
                                 {"links", links},
                                 {"bisection_bytes_per_s", summary.bisection.si()},
                                 {"diameter_hops", summary.diameter.hops},
                                 {"diameter_sources", summary.diameter.sources}};
  if (summary.group) {
    const TopologySummary::Group& group = *summary.group;
    tree["group"] = {{"name", group.name},
                     {"ranks", group.ranks},
                     {"domains", group.alone.domains},
                     {"most_in_a_domain", group.alone.most_in_a_domain},
                     {"leaf_switches", group.alone.switches},
                     {"most_on_a_switch", group.alone.most_on_a_switch},
                     {"alone", routes_json(group.alone)},
                     {"together", group.together ? routes_json(*group.together) : nlohmann::ordered_json()}};
  }
  return tree.dump(2) + "\n";
}

std::string topology_dot(const Topology& topology, const TopologySummary& summary) {
  constexpr std::size_t most_vertices = 4000;
  if (topology.vertices().size() > most_vertices) {
    throw UserError(fmt::format("a drawing of {} vertices shows nothing: ask for fewer nodes (--nodes 4)",
                                count_text(static_cast<double>(topology.vertices().size()))));
  }
  struct Look {
    std::string_view shape, colour;
  };
  constexpr Look looks[device_count] = {{"box", "#76b900"},     {"ellipse", "#b7d97a"}, {"ellipse", "#dddddd"},
                                        {"box", "#9ecae1"},     {"ellipse", "#6baed6"}, {"ellipse", "#6baed6"},
                                        {"ellipse", "#3182bd"}, {"ellipse", "#08519c"}};
  std::string text = fmt::format(
      "graph topology {{\n  label=\"{}\";\n  rankdir=BT;\n  node [style=filled, fontsize=10];\n", summary.cluster);
  std::map<Device, std::string> ranks;
  for (std::size_t i = 0; i < topology.vertices().size(); ++i) {
    const Vertex& vertex = topology.vertices()[i];
    const Look& look = looks[static_cast<std::size_t>(vertex.device)];
    text += fmt::format("  v{} [label=\"{} {}\", shape={}, fillcolor=\"{}\"];\n", i, name_of(vertex.device),
                        vertex.place, look.shape, look.colour);
    ranks[vertex.device] += fmt::format(" v{};", i);
  }
  for (const auto& [device, members] : ranks) {
    // A mesh or torus of GPUs has no tiers.
    if (ranks.size() > 1) text += fmt::format("  {{ rank=same;{} }}\n", members);
  }
  for (const Link& link : topology.links()) {
    if (link.from > link.to) continue;
    text += fmt::format("  v{} -- v{} [tooltip=\"{}\"];\n", link.from, link.to, to_text(link.bandwidth));
  }
  return text + "}\n";
}

}  // namespace stepcast
