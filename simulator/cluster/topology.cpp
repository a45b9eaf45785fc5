#include "simulator/cluster/topology.hpp"

#include <algorithm>

#include "simulator/base/error.hpp"

namespace stepcast {
namespace {

std::size_t at(VertexIndex vertex) { return static_cast<std::size_t>(vertex); }

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c15u) * 0xbf58476d1ce4e5b9u;
  x ^= x >> 31;
  x *= 0x94d049bb133111ebu;
  return x ^ x >> 29;
}

bool is_switch(Device device) { return device == Device::leaf || device == Device::router; }

}  // namespace

std::string_view name_of(Device device) {
  constexpr std::string_view names[device_count] = {"gpu",    "nvswitch", "pcie",  "nic",
                                                    "router", "leaf",     "spine", "core"};
  return names[static_cast<std::size_t>(device)];
}

// --- building ----------------------------------------------------------------------------------------------------

VertexIndex Topology::add(Device device, std::int64_t place) {
  const auto vertex = static_cast<VertexIndex>(vertices_.size());
  vertices_.push_back({device, static_cast<std::int32_t>(place)});
  if (device == Device::gpu) gpus_.push_back(vertex);
  return vertex;
}

void Topology::connect(VertexIndex a, VertexIndex b, BytesPerSecond bandwidth, Seconds latency) {
  CHECK(first_link_.empty(), "nothing is added to a finished topology");
  if (!(bandwidth > BytesPerSecond(0))) {
    throw UserError("a link between " + std::string(name_of(vertex(a).device)) + " and " +
                    std::string(name_of(vertex(b).device)) + " has no bandwidth: it must be above zero");
  }
  links_.push_back({a, b, bandwidth, latency});
  links_.push_back({b, a, bandwidth, latency});
}

void Topology::set_bridge(VertexIndex gpu, VertexIndex bridge) {
  bridge_.resize(gpus_.size(), -1);
  bridge_[at(vertex(gpu).place)] = bridge;
}

void Topology::finish() {
  if (gpus_.empty()) throw UserError("the topology has no GPU");
  std::sort(links_.begin(), links_.end(),
            [](const Link& a, const Link& b) { return a.from != b.from ? a.from < b.from : a.to < b.to; });
  first_link_.assign(vertices_.size() + 1, 0);
  for (const Link& link : links_) ++first_link_[at(link.from) + 1];
  for (std::size_t i = 1; i < first_link_.size(); ++i) first_link_[i] += first_link_[i - 1];

  const std::vector<std::int32_t> hops = hops_from(gpus_.front());
  for (std::size_t rank = 0; rank < gpus_.size(); ++rank) {
    if (hops[at(gpus_[rank])] >= 0) continue;
    throw UserError("GPU " + std::to_string(rank) + " cannot reach GPU 0: nothing joins their parts of the cluster");
  }
}

// --- the graph ---------------------------------------------------------------------------------------------------

std::span<const Link> Topology::leaving(VertexIndex vertex) const {
  CHECK(!first_link_.empty(), "finish() comes first");
  const auto first = static_cast<std::size_t>(first_link_[at(vertex)]);
  return std::span(links_).subspan(first, static_cast<std::size_t>(first_link_[at(vertex) + 1]) - first);
}

const Link* Topology::between(VertexIndex from, VertexIndex to) const {
  const std::span<const Link> links = leaving(from);
  const auto found =
      std::lower_bound(links.begin(), links.end(), to, [](const Link& link, VertexIndex v) { return link.to < v; });
  return found != links.end() && found->to == to ? &*found : nullptr;
}

std::vector<VertexIndex> Topology::neighbours(VertexIndex of, Device device) const {
  std::vector<VertexIndex> found;
  for (const Link& link : leaving(of)) {
    if (vertex(link.to).device == device) found.push_back(link.to);
  }
  return found;
}

std::vector<std::int32_t> Topology::hops_from(VertexIndex source) const {
  std::vector<std::int32_t> hops(vertices_.size(), -1);
  std::vector<VertexIndex> queue{source};
  hops[at(source)] = 0;
  for (std::size_t head = 0; head < queue.size(); ++head) {
    for (const Link& link : leaving(queue[head])) {
      if (hops[at(link.to)] >= 0) continue;
      hops[at(link.to)] = hops[at(link.from)] + 1;
      queue.push_back(link.to);
    }
  }
  return hops;
}

Topology::Diameter Topology::diameter() const {
  constexpr std::size_t most_sources = 64;  // the shapes are regular
  Diameter diameter;
  const std::size_t step = std::max<std::size_t>(1, gpus_.size() / most_sources);
  for (std::size_t rank = 0; rank < gpus_.size(); rank += step) {
    const std::vector<std::int32_t> hops = hops_from(gpus_[rank]);
    for (const VertexIndex gpu : gpus_) diameter.hops = std::max<std::int64_t>(diameter.hops, hops[at(gpu)]);
    ++diameter.sources;
  }
  return diameter;
}

// --- routes ------------------------------------------------------------------------------------------------------

void Topology::to_network(VertexIndex gpu, std::uint64_t turn, std::vector<VertexIndex>& path) const {
  VertexIndex bridge = bridge_[at(vertex(gpu).place)];
  path.push_back(bridge);
  // NICs that are fewer than the switches of a PCIe tree hang from its root.
  std::span<const Link> links = leaving(bridge);
  const auto is_nic = [this](const Link& link) { return vertex(link.to).device == Device::nic; };
  if (std::none_of(links.begin(), links.end(), is_nic)) {
    bridge = neighbours(bridge, Device::pcie_switch).front();
    path.push_back(bridge);
    links = leaving(bridge);
  }
  auto number = turn % static_cast<std::uint64_t>(std::count_if(links.begin(), links.end(), is_nic));
  for (const Link& link : links) {
    if (is_nic(link) && number-- == 0) return path.push_back(link.to);
  }
}

void Topology::append_links(std::span<const VertexIndex> way, std::vector<LinkIndex>& path) const {
  for (std::size_t i = 1; i < way.size(); ++i) {
    const Link* link = between(way[i - 1], way[i]);
    CHECK(link != nullptr, "a path goes along links");
    path.push_back(index_of(*link));
  }
}

void Topology::route_to_switch(std::int64_t rank, std::vector<LinkIndex>& path) const {
  const VertexIndex leaf = switch_of(rank);
  CHECK(leaf >= 0, "the rank has a NIC");
  std::vector<VertexIndex> way{gpus_[static_cast<std::size_t>(rank)]};
  to_network(way.front(), 0, way);
  way.push_back(leaf);
  append_links(way, path);
}

VertexIndex Topology::switch_of(std::int64_t rank) const {
  if (bridge_.empty()) return -1;
  std::vector<VertexIndex> path;
  to_network(gpus_[at(static_cast<VertexIndex>(rank))], 0, path);
  for (const Link& link : leaving(path.back()))
    if (is_switch(vertex(link.to).device)) return link.to;
  return -1;
}

void Topology::route(std::int64_t from, std::int64_t to, std::vector<LinkIndex>& path) const {
  if (from == to) return;
  const VertexIndex source = gpus_[static_cast<std::size_t>(from)];
  const VertexIndex target = gpus_[static_cast<std::size_t>(to)];
  const std::uint64_t hash = mixed(static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to));
  thread_local std::vector<VertexIndex> way, back;
  way.assign(1, source);
  if (domain_gpus > 0 && from / domain_gpus == to / domain_gpus) {
    inside(*this, source, target, hash, way);
  } else if (bridge_.empty()) {
    outside(*this, source, target, hash, way);
  } else {
    // A node's NICs take turns over pairs; the same turn at both ends stays on one rail.
    const auto pair = static_cast<std::uint64_t>(from / std::max<std::int64_t>(1, domain_gpus) +
                                                 to / std::max<std::int64_t>(1, domain_gpus));
    to_network(source, pair, way);
    back.assign(1, target);
    to_network(target, pair, back);
    std::uint64_t turn = hash;
    if (spread == Spread::by_destination) {
      // d-mod-k: the destination's port at its switch.
      for (const Link& link : leaving(back.back())) {
        if (!is_switch(vertex(link.to).device)) continue;
        turn = static_cast<std::uint64_t>(between(link.to, back.back()) - leaving(link.to).data());
      }
    }
    outside(*this, way.back(), back.back(), turn, way);
    for (std::size_t i = back.size() - 1; i-- > 0;) way.push_back(back[i]);
  }
  append_links(way, path);
}

}  // namespace stepcast
