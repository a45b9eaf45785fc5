#include "simulator/cluster/topology.hpp"

#include <algorithm>
#include <limits>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>

#include "simulator/base/error.hpp"
#include "simulator/cluster/fabrics/fabrics.hpp"

namespace stepcast {
namespace {

constexpr std::int32_t nowhere = -1;

// --- shapes ------------------------------------------------------------------------------------------------------

struct InsideRow {
  std::string_view name;
  std::string_view description;
  void (*join)(Topology&, const NodeVertices&, const Cluster&);
};
constexpr InsideRow insides[] = {
    {"nvswitch", "every GPU to one plane of NVSwitches; NVL72: a rack of trays", nvswitch_node},
    {"nvlink-mesh", "NVLink without switches: DGX-1's hybrid cube mesh of 8, else all to all", nvlink_mesh},
    {"xgmi", "Infinity Fabric, all to all", nvlink_mesh},
    {"pcie", "pairs of GPUs behind PCIe switches", pcie_tree},
};

struct OutsideRow {
  std::string_view name;
  std::string_view description;
  void (*join)(Topology&, const Nodes&, const Cluster&, const TopologyOptions&);
};
constexpr OutsideRow outsides[] = {
    {"rail-optimised", "fat tree with a leaf for each rail of 32 nodes", rail_optimised_fat_tree},
    {"fat-tree", "fat tree with all NICs of a node on one leaf", fat_tree},
    {"cloud", "the same with routes by hash (ECMP)", cloud_ethernet},
    {"dragonfly", "groups of routers, all to all inside, every two groups joined router by router", dragonfly},
    {"torus", "chips in a torus of two or three dimensions (TPU)", torus},
};

template <class Rows>
const auto& shape(std::string_view kind, std::string_view name, const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) {
    if (row.name == name) return row;
    names.emplace_back(row.name);
  }
  throw UserError(unknown_name(kind, name, names));
}

/// NICs of a node behind PCIe switches with the GPUs nearest to them.
void attach_nics(Topology& topology, NodeVertices& node, const Cluster& cluster) {
  const auto gpus = node.gpus.size();
  const auto nics = static_cast<std::size_t>(cluster.fabric.nics_per_node);
  if (nics == 0) return;
  const std::size_t bridges = std::min(gpus, nics);
  const std::int64_t first = topology.vertices()[node.gpus.front()].place;
  // Wide enough for its NICs: more than one behind a bridge have lanes of their own.
  const double lanes = static_cast<double>((nics + bridges - 1) / bridges);
  const BytesPerSecond nic = cluster.fabric.nic.bandwidth;
  const Seconds latency = cluster.fabric.nic.latency.value / 8.0;
  const BytesPerSecond pcie = std::max(*cluster.node.pcie_bandwidth, nic * lanes);
  std::vector<std::int32_t> bridge;
  for (std::size_t i = 0; i < bridges; ++i)
    bridge.push_back(topology.add(Device::pcie_switch, first + static_cast<std::int64_t>(i)));
  for (std::size_t i = 0; i < gpus; ++i) topology.connect(node.gpus[i], bridge[i * bridges / gpus], pcie, latency);
  for (std::size_t i = 0; i < nics; ++i) {
    node.nics.push_back(topology.add(Device::nic, static_cast<int>(i)));
    topology.connect(bridge[i * bridges / nics], node.nics.back(), nic, latency);
  }
}

// --- routes ------------------------------------------------------------------------------------------------------

/// Links by the vertex that they leave: indices in one array, without a vector a vertex.
struct Adjacency {
  std::vector<std::int32_t> begin;
  std::vector<std::int32_t> links;

  std::span<const std::int32_t> of(std::int32_t vertex) const {
    const auto at = static_cast<std::size_t>(vertex);
    return {links.data() + begin[at], static_cast<std::size_t>(begin[at + 1] - begin[at])};
  }
};

template <class End>
Adjacency adjacency(std::size_t vertices, std::span<const Link> links, End end) {
  Adjacency result;
  result.begin.assign(vertices + 1, 0);
  for (const Link& link : links) ++result.begin[static_cast<std::size_t>(end(link)) + 1];
  for (std::size_t i = 1; i <= vertices; ++i) result.begin[i] += result.begin[i - 1];
  std::vector<std::int32_t> next(result.begin.begin(), result.begin.end() - 1);
  result.links.resize(links.size());
  for (std::size_t i = 0; i < links.size(); ++i)
    result.links[static_cast<std::size_t>(next[static_cast<std::size_t>(end(links[i]))]++)] = static_cast<int>(i);
  return result;
}

/// Hops to every vertex; `nowhere` where there is no way. Links go both ways. GPUs do not pass traffic on to the network,
/// but they do inside a mesh or torus: a shortest path through one is a path.
std::vector<std::int32_t> hops_from(std::int32_t source, const Adjacency& leaving, std::span<const Link> links,
                                    std::vector<std::int32_t>& queue) {
  std::vector<std::int32_t> hops(leaving.begin.size() - 1, nowhere);
  queue.clear();
  queue.push_back(source);
  hops[static_cast<std::size_t>(source)] = 0;
  for (std::size_t head = 0; head < queue.size(); ++head) {
    const std::int32_t at = queue[head];
    for (const std::int32_t link : leaving.of(at)) {
      std::int32_t& there = hops[static_cast<std::size_t>(links[static_cast<std::size_t>(link)].to)];
      if (there != nowhere) continue;
      there = hops[static_cast<std::size_t>(at)] + 1;
      queue.push_back(links[static_cast<std::size_t>(link)].to);
    }
  }
  return hops;
}

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c15u) * 0xbf58476d1ce4e5b9u;
  x ^= x >> 31;
  x *= 0x94d049bb133111ebu;
  return x ^ x >> 29;
}

}  // namespace

std::string_view name_of(Device device) {
  constexpr std::string_view names[device_count] = {"gpu",    "nvswitch", "pcie",  "nic",
                                                    "router", "leaf",     "spine", "core"};
  return names[static_cast<std::size_t>(device)];
}

std::int32_t Topology::add(Device device, std::int64_t place) {
  const auto vertex = static_cast<std::int32_t>(vertices_.size());
  vertices_.push_back({device, static_cast<std::int32_t>(place)});
  if (device == Device::gpu) gpus_.push_back(vertex);
  return vertex;
}

void Topology::connect(std::int32_t a, std::int32_t b, BytesPerSecond bandwidth, Seconds latency) {
  if (!(bandwidth > BytesPerSecond(0))) {
    throw UserError("a link between " + std::string(name_of(vertices_[static_cast<std::size_t>(a)].device)) + " and " +
                    std::string(name_of(vertices_[static_cast<std::size_t>(b)].device)) +
                    " has no bandwidth: it must be above zero");
  }
  links_.push_back({a, b, bandwidth, latency});
  links_.push_back({b, a, bandwidth, latency});
}

void Topology::check_connected() const {
  if (gpus_.empty()) throw UserError("the topology has no GPU");
  const Adjacency leaving = adjacency(vertices_.size(), links_, [](const Link& link) { return link.from; });
  std::vector<std::int32_t> queue;
  const auto hops = hops_from(gpus_.front(), leaving, links_, queue);
  for (std::size_t rank = 0; rank < gpus_.size(); ++rank) {
    if (hops[static_cast<std::size_t>(gpus_[rank])] != nowhere) continue;
    throw UserError("GPU " + std::to_string(rank) + " cannot reach GPU 0: nothing joins their parts of the cluster");
  }
}

BytesPerSecond Topology::bisection() const {
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  using Graph = boost::adjacency_list<
      boost::vecS, boost::vecS, boost::directedS, boost::no_property,
      boost::property<boost::edge_capacity_t, std::int64_t,
                      boost::property<boost::edge_residual_capacity_t, std::int64_t,
                                      boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>>;
  if (gpus_.size() < 2) return BytesPerSecond(0);
  Graph graph(vertices_.size() + 2);
  const auto capacity = get(boost::edge_capacity, graph);
  const auto reverse = get(boost::edge_reverse, graph);
  const auto join = [&](std::size_t a, std::size_t b, std::int64_t rate) {
    const auto forward = add_edge(a, b, graph).first;
    const auto backward = add_edge(b, a, graph).first;
    capacity[forward] = rate;
    capacity[backward] = 0;
    reverse[forward] = backward;
    reverse[backward] = forward;
  };
  // Whole MB/s: sums over a million links stay exact in 64 bits.
  const auto whole = [](BytesPerSecond rate) { return static_cast<std::int64_t>(rate.si() / 1e6); };
  for (const Link& link : links_)
    join(static_cast<std::size_t>(link.from), static_cast<std::size_t>(link.to), whole(link.bandwidth));
  const std::size_t source = vertices_.size(), sink = source + 1;
  constexpr std::int64_t unbounded = std::numeric_limits<std::int64_t>::max() / (1 << 20);
  for (std::size_t rank = 0; rank < gpus_.size(); ++rank) {
    const auto gpu = static_cast<std::size_t>(gpus_[rank]);
    if (rank < gpus_.size() / 2)
      join(source, gpu, unbounded);
    else
      join(gpu, sink, unbounded);
  }
  return BytesPerSecond(static_cast<double>(push_relabel_max_flow(graph, source, sink)) * 1e6);
}

Topology::Diameter Topology::diameter() const {
  constexpr std::size_t most_sources = 256;
  const Adjacency leaving = adjacency(vertices_.size(), links_, [](const Link& link) { return link.from; });
  Diameter diameter;
  const std::size_t step = std::max<std::size_t>(1, gpus_.size() / most_sources);
  std::vector<std::int32_t> queue;
  for (std::size_t rank = 0; rank < gpus_.size(); rank += step) {
    const auto hops = hops_from(gpus_[rank], leaving, links_, queue);
    for (const std::int32_t gpu : gpus_)
      diameter.hops = std::max<std::int64_t>(diameter.hops, hops[static_cast<std::size_t>(gpu)]);
    ++diameter.sources;
  }
  return diameter;
}

GroupRoutes Topology::routes(std::span<const std::vector<std::int64_t>> groups) const {
  const Adjacency leaving = adjacency(vertices_.size(), links_, [](const Link& link) { return link.from; });
  std::vector<std::int64_t> flows(links_.size(), 0);
  GroupRoutes result;
  std::vector<std::vector<std::int32_t>> paths;
  std::vector<std::int32_t> queue, equal;
  for (const auto& group : groups) {
    for (std::size_t i = 0; group.size() > 1 && i < group.size(); ++i) {
      const std::int64_t to_rank = group[(i + 1) % group.size()];
      const std::int32_t to = gpus_[static_cast<std::size_t>(to_rank)];
      const auto left = hops_from(to, leaving, links_, queue);
      auto& path = paths.emplace_back();
      std::int32_t at = gpus_[static_cast<std::size_t>(group[i])];
      while (at != to) {
        equal.clear();
        for (const std::int32_t link : leaving.of(at)) {
          const std::int32_t next = links_[static_cast<std::size_t>(link)].to;
          if (left[static_cast<std::size_t>(next)] == left[static_cast<std::size_t>(at)] - 1) equal.push_back(link);
        }
        CHECK(!equal.empty(), "the topology is connected");
        const auto turn = spread == Spread::by_hash
                              ? mixed(static_cast<std::uint64_t>(group[i]), static_cast<std::uint64_t>(to_rank))
                              : static_cast<std::uint64_t>(to_rank);
        path.push_back(equal[turn % equal.size()]);
        at = links_[static_cast<std::size_t>(path.back())].to;
        ++flows[static_cast<std::size_t>(path.back())];
      }
      result.most_hops = std::max(result.most_hops, static_cast<std::int64_t>(path.size()));
    }
  }
  result.flows = static_cast<std::int64_t>(paths.size());
  for (const std::int64_t count : flows) {
    result.shared_links += count > 1;
    result.most_shared = std::max(result.most_shared, count);
  }
  for (const auto& path : paths) {
    for (const std::int32_t index : path) {
      const Link& link = links_[static_cast<std::size_t>(index)];
      const BytesPerSecond share = link.bandwidth / static_cast<double>(flows[static_cast<std::size_t>(index)]);
      if (!result.busiest.empty() && share >= result.bandwidth) continue;
      result.bandwidth = share;
      result.busiest = std::string(name_of(vertices_[static_cast<std::size_t>(link.from)].device)) + "-" +
                       std::string(name_of(vertices_[static_cast<std::size_t>(link.to)].device));
    }
  }
  return result;
}

Topology build_topology(const Cluster& cluster, const TopologyOptions& options) {
  if (cluster.gpus > largest_topology) {
    throw UserError("a topology of " + std::to_string(cluster.gpus) + " GPUs is beyond the " +
                    std::to_string(largest_topology) + " that fit in memory: ask for fewer nodes (--nodes)");
  }
  if (!(options.leaf_oversubscription > 0) || !(options.spine_oversubscription > 0))
    throw UserError("an oversubscription is a number above zero: 7 for 7:1");
  const bool chips = cluster.fabric.topology == "torus";  // they have no NICs
  const bool network = cluster.gpus > cluster.domain_gpus();
  Topology topology;
  Nodes nodes;
  const std::int64_t per_node = std::max(1, cluster.gpus_per_node);
  for (std::int64_t rank = 0; rank < cluster.gpus; ++rank) {
    if (rank % per_node == 0) nodes.emplace_back();
    nodes.back().gpus.push_back(topology.add(Device::gpu, rank));
  }
  if (!chips) {
    const InsideRow& inside = shape("interconnect of a node", cluster.node.interconnect, insides);
    const std::size_t nodes_of_a_domain =
        static_cast<std::size_t>(std::max<std::int64_t>(1, cluster.domain_gpus() / per_node));
    for (std::size_t i = 0; i < nodes.size(); i += nodes_of_a_domain) {
      NodeVertices domain;
      for (std::size_t j = i; j < std::min(i + nodes_of_a_domain, nodes.size()); ++j)
        domain.gpus.insert(domain.gpus.end(), nodes[j].gpus.begin(), nodes[j].gpus.end());
      inside.join(topology, domain, cluster);
    }
    if (network) {
      for (NodeVertices& node : nodes) attach_nics(topology, node, cluster);
    }
    topology.name = std::string(inside.name);
  }
  if (network || chips) {
    const OutsideRow& outside = shape("topology of a fabric", cluster.fabric.topology, outsides);
    outside.join(topology, nodes, cluster, options);
    topology.name += (topology.name.empty() ? "" : ", ") + std::string(outside.name);
  }
  topology.check_connected();
  return topology;
}

std::vector<FabricShape> list_fabric_shapes() {
  std::vector<FabricShape> shapes;
  for (const InsideRow& row : insides) shapes.push_back({row.name, row.description});
  for (const OutsideRow& row : outsides) shapes.push_back({row.name, row.description});
  return shapes;
}

}  // namespace stepcast
