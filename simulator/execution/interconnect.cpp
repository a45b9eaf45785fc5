#include "simulator/execution/interconnect.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace stepcast {
namespace {

BytesPerSecond achieved(const LinkTier& tier) { return *tier.bandwidth * *tier.efficiency; }

}  // namespace

Interconnect ports_of(const Cluster& cluster, bool shares, std::span<const Fault> faults) {
  Interconnect network;
  network.domain_gpus = cluster.domain_gpus();
  const auto gpus = cluster.gpus;
  const std::int64_t node_gpus = std::max(1, cluster.gpus_per_node);
  const std::int64_t nics = cluster.fabric.nics_per_node;
  // As many ports a node as GPUs or NICs: more NICs than GPUs serve one side by side.
  const std::int64_t ports = shares ? node_gpus : std::clamp<std::int64_t>(nics, 1, node_gpus);
  const std::int64_t nodes = (gpus + node_gpus - 1) / node_gpus;
  const BytesPerSecond port = achieved(cluster.fabric.nic) * (static_cast<double>(nics) / static_cast<double>(ports));
  network.links.assign(static_cast<std::size_t>(2 * gpus), achieved(cluster.node.intra));
  if (nics > 0) network.links.resize(network.links.size() + static_cast<std::size_t>(2 * nodes * ports), port);

  // What is left of each port that is not whole, and where the traffic of those of which nothing is left goes.
  std::map<std::int64_t, double> left;
  for (const Fault& fault : faults) {
    if (!fault.of_nic()) continue;
    const std::int64_t nics_of_port = std::max<std::int64_t>(1, nics / ports);
    const std::int64_t port_index = *fault.node * ports + std::min<std::int64_t>(*fault.nic / nics_of_port, ports - 1);
    const double lost = (fault.failed ? 1 : 1 - fault.speed) / static_cast<double>(nics_of_port);
    double& share = left.try_emplace(port_index, 1).first->second;
    share = std::max(0.0, share - lost);
  }
  std::map<std::int64_t, std::int64_t> instead;
  for (const auto& [lost, share] : left) {
    if (share > 1e-9) {
      for (std::int64_t way : {0, 1}) network.impaired[static_cast<LinkId>(2 * (gpus + lost) + way)] = share;
      continue;
    }
    std::int64_t other = lost;
    for (std::int64_t i = 1; i < ports; ++i) {
      other = lost / ports * ports + (lost + i) % ports;
      const auto found = left.find(other);
      if (found == left.end() || found->second > 1e-9) break;
    }
    instead[lost] = other;
  }
  const auto port_of = [=](std::int64_t gpu) {
    const std::int64_t own = gpu / node_gpus * ports + gpu % node_gpus * ports / node_gpus;
    const auto found = instead.find(own);
    return found == instead.end() ? own : found->second;
  };
  // What the switches of a tier pass on together: balanced over the links that leave it.
  constexpr std::int64_t leaf_ports = 32;
  const bool rails = cluster.fabric.topology == "rail-optimised";
  const std::int64_t rail_count = rails ? ports : 1;
  const std::int64_t leaf_nodes = rails ? leaf_ports : std::max<std::int64_t>(1, leaf_ports / ports);
  const std::int64_t pod_nodes = *cluster.fabric.pod_nodes > 0 ? std::int64_t{*cluster.fabric.pod_nodes} : nodes;
  const auto add_tier = [&](std::int64_t switches, std::int64_t ports_below, double oversubscription) -> std::int64_t {
    const auto first = static_cast<std::int64_t>(network.links.size());
    if (shares || nics == 0 || oversubscription <= 1) return -1;
    network.links.resize(network.links.size() + static_cast<std::size_t>(2 * switches),
                         port * (static_cast<double>(ports_below) / oversubscription));
    return first;
  };
  const std::int64_t leaves = (nodes + leaf_nodes - 1) / leaf_nodes * rail_count;
  const std::int64_t first_leaf =
      add_tier(leaves, leaf_nodes * ports / rail_count, *cluster.fabric.leaf_oversubscription);
  const std::int64_t first_pod =
      add_tier((nodes + pod_nodes - 1) / pod_nodes, pod_nodes * ports, *cluster.fabric.spine_oversubscription);
  const auto leaf_of = [=](std::int64_t port_index) {
    return port_index / ports / leaf_nodes * rail_count + (rails ? port_index % ports : 0);
  };
  const auto pod_of = [=](std::int64_t port_index) { return port_index / ports / pod_nodes; };

  const std::int64_t domain = network.domain_gpus;
  network.route = [=](std::int64_t from, std::int64_t to, std::vector<LinkId>& path) {
    if (from == to) return;
    const bool inside = from / domain == to / domain || nics == 0;
    const auto cross = [&](std::int64_t link) { path.push_back(static_cast<LinkId>(link)); };
    if (inside) {
      cross(2 * from);
      cross(2 * to + 1);
      return;
    }
    const std::int64_t out = port_of(from), in = port_of(to);
    cross(2 * (gpus + out));
    if (first_leaf >= 0 && leaf_of(out) != leaf_of(in)) {
      cross(first_leaf + 2 * leaf_of(out));
      cross(first_leaf + 2 * leaf_of(in) + 1);
    }
    if (first_pod >= 0 && pod_of(out) != pod_of(in)) {
      cross(first_pod + 2 * pod_of(out));
      cross(first_pod + 2 * pod_of(in) + 1);
    }
    cross(2 * (gpus + in) + 1);
  };
  network.name = [=](LinkId id) {
    const std::int64_t link = id;
    const char* way = link % 2 == 0 ? "out" : "in";
    const std::int64_t index = link / 2;
    if (first_pod >= 0 && link >= first_pod) return fmt::format("pod {} {}", (link - first_pod) / 2, way);
    if (first_leaf >= 0 && link >= first_leaf) return fmt::format("leaf {} {}", (link - first_leaf) / 2, way);
    if (index < gpus) return fmt::format("GPU {} NVLink {}", index, way);
    return fmt::format("node {} NIC {} {}", (index - gpus) / ports, (index - gpus) % ports, way);
  };
  return network;
}

std::vector<LinkId> ring_path(const Interconnect& network, const std::vector<std::int64_t>& gpus) {
  const std::size_t count = gpus.size();
  const auto domain = [&](std::int64_t gpu) { return gpu / network.domain_gpus; };
  std::size_t step = 1;
  while (step < count && domain(gpus[step]) == domain(gpus[0])) ++step;
  if (step == count) step = 1;
  std::vector<LinkId> path;
  for (std::size_t i = 0; i < count; ++i) network.route(gpus[i], gpus[(i + step) % count], path);
  std::sort(path.begin(), path.end());
  return path;
}

}  // namespace stepcast
