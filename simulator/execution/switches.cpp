#include <memory>
#include <utility>

#include <fmt/format.h>

#include "simulator/cluster/topology.hpp"
#include "simulator/execution/interconnect.hpp"

namespace stepcast {
namespace {

bool is_switch(Device device) { return device >= Device::router; }

}  // namespace

Interconnect with_switches(Interconnect ports, const Cluster& cluster) {
  constexpr LinkId none = UINT32_MAX;
  const auto topology = std::make_shared<const Topology>(build_topology(cluster, {.achieved = true}));
  const auto first = static_cast<LinkId>(ports.links.size());
  auto number = std::make_shared<std::vector<LinkId>>(topology->links().size(), none);
  auto between = std::make_shared<std::vector<LinkIndex>>();
  for (const Link& link : topology->links()) {
    if (!is_switch(topology->vertex(link.from).device) || !is_switch(topology->vertex(link.to).device)) continue;
    (*number)[topology->index_of(link)] = static_cast<LinkId>(ports.links.size());
    between->push_back(topology->index_of(link));
    ports.links.push_back(link.bandwidth);
  }
  const std::int64_t domain = ports.domain_gpus;
  ports.route = [topology, number, domain, out_and_in = std::move(ports.route)](std::int64_t from, std::int64_t to,
                                                                                std::vector<LinkId>& path) {
    out_and_in(from, to, path);
    if (from / domain == to / domain) return;
    const LinkId in = path.back();
    path.pop_back();
    thread_local std::vector<LinkIndex> way;
    way.clear();
    topology->route(from, to, way);
    for (const LinkIndex link : way)
      if ((*number)[link] != none) path.push_back((*number)[link]);
    path.push_back(in);
  };
  ports.name = [topology, between, first, of_port = std::move(ports.name)](LinkId link) {
    if (link < first) return of_port(link);
    const Link& up = topology->links()[(*between)[link - first]];
    const Vertex &from = topology->vertex(up.from), &to = topology->vertex(up.to);
    return fmt::format("{} {} to {} {}", name_of(from.device), from.place, name_of(to.device), to.place);
  };
  return ports;
}

}  // namespace stepcast
